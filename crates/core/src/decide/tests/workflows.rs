//! Saved workflows.

use super::*;

fn label(text: &str) -> Label {
    text.parse().expect("label")
}

fn uses(block: &str, names: &[&str]) -> BlockUse {
    BlockUse {
        name: label(block),
        secrets: names.iter().map(|called| name(called)).collect(),
    }
}

fn save(workflow: &str, blocks: Vec<BlockUse>) -> Action {
    Action::WorkflowSave(WorkflowSave {
        blocks,
        workflow: label(workflow),
    })
}

fn remove(workflow: &str) -> Action {
    let workflow = label(workflow);
    Action::WorkflowRemove(WorkflowRemove { workflow })
}

#[test]
fn a_workflow_is_saved_replaced_and_removed() {
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given
        .when(OWNER, save("bills", vec![uses("post", &["Key", "Later"])]))
        .happens(&["workflow.saved"]);
    given.when(OWNER, remove("bills")).rejected(Code::NotFound);
    let given = given
        .and(OWNER, save("bills", vec![uses("post", &["Key"])]))
        .and(OWNER, save("bills", vec![uses("send", &[])]));
    let kept = given.state.workflow(&label("bills")).expect("saved");
    assert_eq!(kept.blocks, [uses("send", &[])]);
    assert_eq!((kept.actor, kept.at), (id(OWNER), Millis(START)));
    let given = given.and(OWNER, remove("bills"));
    assert_eq!(given.state.workflows().count(), 0);
}

#[test]
fn a_workflow_is_for_owners_and_editors() {
    let given = Given::workspace()
        .and(OWNER, save("bills", vec![uses("post", &[])]))
        .and(OWNER, add(20, "editor", Role::Editor, &["*"]))
        .and(OWNER, add(21, "viewer", Role::Viewer, &["*"]))
        .and(OWNER, add(22, "auditor", Role::Auditor, &["*"]))
        .and(OWNER, add(23, "runner", Role::Runner, &["*"]));
    for action in [save("bills", vec![uses("post", &[])]), remove("bills")] {
        for allowed in [OWNER, 20] {
            let events = given.when(allowed, action.clone()).0.expect("allowed");
            assert!(!matches!(events[0], Event::AccessDenied(_)));
        }
        for denied in [21, 22, 23] {
            given
                .when(denied, action.clone())
                .denied(DenialReason::Role);
        }
        given.when(66, action).rejected(Code::Denied);
    }
}

#[test]
fn a_workflow_is_for_who_may_touch_all_its_names() {
    let given = Given::workspace()
        .and(OWNER, add(20, "ana", Role::Editor, &["stripe_*"]))
        .and(OWNER, save("bills", vec![uses("post", &["Other"])]));
    given
        .when(20, save("mine", vec![uses("a", &["Stripe_Key", "Other"])]))
        .denied(DenialReason::Scope);
    given
        .when(20, save("bills", vec![uses("a", &["Stripe_Key"])]))
        .denied(DenialReason::Scope);
    given.when(20, remove("bills")).denied(DenialReason::Scope);
    given
        .when(20, save("mine", vec![uses("a", &["Stripe_Key"])]))
        .happens(&["workflow.saved"]);
}

#[test]
fn who_may_touch_some_names_is_not_told_which_workflows_there_are() {
    let given = Given::workspace()
        .and(OWNER, add(20, "ana", Role::Editor, &["stripe_*"]))
        .and(OWNER, add(21, "bo", Role::Editor, &["stripe_*", "*"]))
        .and(OWNER, save("bills", vec![uses("post", &["Other"])]))
        .and(OWNER, save("own", vec![uses("post", &["Stripe_Key"])]));
    given.when(20, remove("bills")).denied(DenialReason::Scope);
    given.when(20, remove("none")).denied(DenialReason::Scope);
    given.when(20, remove("own")).happens(&["workflow.removed"]);
    // Members who may use all secrets learn nothing new from this answer.
    for unbounded in [OWNER, 21] {
        given
            .when(unbounded, remove("none"))
            .rejected(Code::NotFound);
    }
}

#[test]
fn a_workflow_has_bounds() {
    let given = Given::workspace();
    let blocks = |count: usize| (0..count).map(|at| uses(&format!("b{at}"), &[])).collect();
    given
        .when(OWNER, save("w", blocks(limits::WORKFLOW_BLOCKS)))
        .happens(&["workflow.saved"]);
    given
        .when(OWNER, save("w", blocks(limits::WORKFLOW_BLOCKS + 1)))
        .rejected(Code::InvalidField);
    given
        .when(OWNER, save("w", vec![]))
        .rejected(Code::InvalidField);
    let twice = vec![uses("a", &[]), uses("a", &[])];
    given
        .when(OWNER, save("w", twice))
        .rejected(Code::InvalidField);
    given
        .when(OWNER, save("w", vec![uses("a", &["Key", "Key"])]))
        .rejected(Code::InvalidField);
    let names: Vec<String> = (0..=limits::WORKFLOW_SECRETS)
        .map(|at| format!("Key_{at}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    given
        .when(OWNER, save("w", vec![uses("a", &names[1..])]))
        .happens(&["workflow.saved"]);
    given
        .when(OWNER, save("w", vec![uses("a", &names)]))
        .rejected(Code::InvalidField);
}

#[test]
fn a_workspace_has_so_many_workflows() {
    let given = (0..limits::WORKFLOWS).fold(Given::workspace(), |given, at| {
        given.and(OWNER, save(&format!("w{at}"), vec![uses("a", &[])]))
    });
    given
        .when(OWNER, save("one more", vec![uses("a", &[])]))
        .rejected(Code::TooLarge);
    given
        .when(OWNER, save("w7", vec![uses("b", &[])]))
        .happens(&["workflow.saved"]);
    given
        .and(OWNER, remove("w7"))
        .when(OWNER, save("one more", vec![uses("a", &[])]))
        .happens(&["workflow.saved"]);
}
