//! The blocks that use a secret, according to saved workflows.

use keyroll_core::Action;
use keyroll_core::command::{BlockUse, WorkflowRemove, WorkflowSave};
use keyroll_wire::query::{Question, SecretList, SecretShow};
use keyroll_wire::reply::{Answer, SecretRow};

use crate::support::{World, advance, name, owner};

fn save(workflow: &str, block: &str, names: &[&str]) -> Action {
    Action::WorkflowSave(WorkflowSave {
        blocks: vec![BlockUse {
            name: block.parse().expect("label"),
            secrets: names.iter().map(|called| name(called)).collect(),
        }],
        workflow: workflow.parse().expect("label"),
    })
}

async fn shown(world: &World, called: &str) -> SecretRow {
    let ask = Question::SecretShow(SecretShow {
        at: None,
        name: name(called),
    });
    let Ok(Answer::SecretShow(row)) = world.ask(&owner(), ask).await else {
        panic!("no row of {called}")
    };
    *row
}

async fn uses(world: &World, called: &str) -> Vec<String> {
    let place = |used: keyroll_wire::reply::UsedBy| format!("{}/{}", used.workflow, used.block);
    shown(world, called)
        .await
        .used_by
        .into_iter()
        .map(place)
        .collect()
}

#[tokio::test]
async fn a_secret_says_which_blocks_use_it() {
    let world = World::with_demo().await;
    for called in ["Key", "Key_2"] {
        world.create(&owner(), called, b"v").await.expect("created");
    }
    for action in [
        save("bills", "post", &["Key", "Key_2"]),
        save("alarms", "send", &["Key"]),
    ] {
        world.act(&owner(), action).await.expect("saved");
    }
    assert_eq!(uses(&world, "Key").await, ["alarms/send", "bills/post"]);
    assert_eq!(uses(&world, "Key_2").await, ["bills/post"]);
    let list = SecretList {
        limit: 10,
        ..SecretList::default()
    };
    let Ok(Answer::SecretList(page)) = world.ask(&owner(), Question::SecretList(list)).await else {
        panic!("no list")
    };
    let counts: Vec<usize> = page.rows.iter().map(|row| row.used_by.len()).collect();
    assert_eq!(counts, [2, 1]);
    // A workflow that is saved again loses its former uses; one that is removed loses all.
    let again = save("bills", "post", &["Key_2"]);
    world.act(&owner(), again).await.expect("saved");
    assert_eq!(uses(&world, "Key").await, ["alarms/send"]);
    let remove = Action::WorkflowRemove(WorkflowRemove {
        workflow: "alarms".parse().expect("label"),
    });
    world.act(&owner(), remove).await.expect("removed");
    assert_eq!(uses(&world, "Key").await, [""; 0]);
}

#[tokio::test]
async fn what_a_workflow_uses_is_not_unused() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    advance(91 * 24 * 60 * 60 * 1_000);
    assert!(shown(&world, "Key").await.unused);
    let saved = world.act(&owner(), save("bills", "post", &["Key"])).await;
    saved.expect("saved");
    assert!(!shown(&world, "Key").await.unused);
}
