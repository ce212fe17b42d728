//! Members and their permissions.

use super::*;

#[test]
fn strangers_and_former_members_are_refused_without_an_entry() {
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given.when(66, reveal("Key")).rejected(Code::Denied);
    given.when(66, reveal("Nothing")).rejected(Code::Denied);
    let given = given.and(OWNER, add(20, "ana", Role::Editor, &["*"]));
    given.when(20, reveal("Key")).happens(&["secret.revealed"]);
    let given = given.and(OWNER, Action::MemberRemove(MemberRemove { member: id(20) }));
    given.when(20, reveal("Key")).rejected(Code::Denied);
}

#[test]
fn each_role_may_what_the_table_says() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, add(20, "editor", Role::Editor, &["*"]))
        .and(OWNER, add(21, "viewer", Role::Viewer, &["*"]))
        .and(OWNER, add(22, "auditor", Role::Auditor, &["*"]))
        .and(OWNER, add(23, "runner", Role::Runner, &["*"]))
        .and(OWNER, add(24, "reader", Role::Reader, &["*"]))
        .and(OWNER, add(25, "other", Role::Viewer, &["*"]));
    // Columns: owner, editor, reader, viewer, auditor, runner.
    let actions: [(Action, &str); 13] = [
        (reveal("Key"), "+++---"),
        (reveal_for(&["Key"], Purpose::Copy(Nothing {})), "+++---"),
        (reveal_for(&["Key"], Purpose::Export(Nothing {})), "+++---"),
        (reveal_for(&["Key"], Purpose::Run(Nothing {})), "+++--+"),
        (reveal_for(&["Key"], agent()), "+++--+"),
        (reveal_for(&["Key"], block()), "+++--+"),
        (create(9, "Other"), "++----"),
        (edit(1, "Key", 2), "++----"),
        (rename(1, "Key", "Other"), "++----"),
        (delete(1, "Key"), "++----"),
        (add(30, "new", Role::Viewer, &["*"]), "+-----"),
        (
            Action::MemberRemove(MemberRemove { member: id(21) }),
            "+-----",
        ),
        (
            Action::SignInClose(SignInClose {
                key: public(40),
                member: Some(id(25)),
            }),
            "+-----",
        ),
    ];
    for (action, row) in actions {
        for (actor, cell) in [OWNER, 20, 24, 21, 22, 23].into_iter().zip(row.chars()) {
            let then = given.when(actor, action.clone());
            if cell == '-' {
                then.denied(DenialReason::Role);
            } else {
                let events = then.0.expect("allowed");
                assert!(
                    !matches!(events[0], Event::AccessDenied(_)),
                    "{} by {actor}",
                    action.name()
                );
            }
        }
    }
}

#[test]
fn scopes_hold_for_every_name_and_for_names_that_do_not_exist() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Stripe_Key"))
        .and(OWNER, create(2, "Other"))
        .and(OWNER, add(20, "ana", Role::Editor, &["stripe_*"]));
    given
        .when(20, reveal("Stripe_Key"))
        .happens(&["secret.revealed"]);
    given.when(20, reveal("Other")).denied(DenialReason::Scope);
    given
        .when(20, reveal("Nowhere"))
        .denied(DenialReason::Scope);
    given
        .when(
            20,
            reveal_for(&["Stripe_Key", "Other"], Purpose::View(Nothing {})),
        )
        .denied(DenialReason::Scope);
    given
        .when(20, rename(1, "Stripe_Key", "Mine"))
        .denied(DenialReason::Scope);
    given
        .when(20, rename(1, "Stripe_Key", "Stripe_New"))
        .happens(&["secret.renamed"]);
    given
        .when(20, create(3, "Mine"))
        .denied(DenialReason::Scope);
}

#[test]
fn memberships_end_by_the_time_of_the_log() {
    let ends = MemberRecord {
        expires: Some(Millis(START + 1_000)),
        ..record(20, "ana", Role::Editor, &["*"])
    };
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, Action::MemberAdd(ends.clone()))
        .later(999);
    given.when(20, reveal("Key")).happens(&["secret.revealed"]);
    let given = given.later(1);
    given.when(20, reveal("Key")).denied(DenialReason::Expired);
    given
        .when(OWNER, Action::MemberChange(ends))
        .rejected(Code::InvalidField);
}

#[test]
fn one_lasting_owner_stays() {
    let given = Given::workspace();
    let remove = |seed| Action::MemberRemove(MemberRemove { member: id(seed) });
    given.when(OWNER, remove(OWNER)).rejected(Code::Conflict);
    given
        .when(
            OWNER,
            Action::MemberChange(record(OWNER, "o", Role::Editor, &["*"])),
        )
        .rejected(Code::Conflict);
    given
        .when(
            OWNER,
            Action::MemberChange(record(OWNER, "o", Role::Owner, &["a*"])),
        )
        .rejected(Code::Conflict);
    let ends = MemberRecord {
        expires: Some(Millis(START + 9)),
        ..record(OWNER, "o", Role::Owner, &["*"])
    };
    given
        .when(OWNER, Action::MemberChange(ends.clone()))
        .rejected(Code::Conflict);
    let given = given.and(OWNER, add(20, "ana", Role::Owner, &["*"]));
    given.when(20, remove(OWNER)).happens(&["member.removed"]);
    given
        .when(OWNER, Action::MemberChange(ends))
        .happens(&["member.changed"]);
}

#[test]
fn an_owner_with_bounds_manages_nobody() {
    let ends = MemberRecord {
        expires: Some(Millis(START + 9)),
        ..record(21, "bea", Role::Owner, &["*"])
    };
    let given = Given::workspace()
        .and(OWNER, create(1, "Zzz"))
        .and(OWNER, add(20, "ana", Role::Owner, &["zzz*"]))
        .and(OWNER, Action::MemberAdd(ends));
    for actor in [20, 21] {
        given
            .when(actor, reveal("Zzz"))
            .happens(&["secret.revealed"]);
        let lift = Action::MemberChange(record(actor, "free", Role::Owner, &["*"]));
        given.when(actor, lift).denied(DenialReason::Scope);
        given
            .when(actor, add(30, "new", Role::Viewer, &["*"]))
            .denied(DenialReason::Scope);
    }
}

#[test]
fn members_are_one_per_key_and_name() {
    let given = Given::workspace().and(OWNER, add(20, "ana", Role::Viewer, &["*"]));
    given
        .when(OWNER, add(20, "bob", Role::Viewer, &["*"]))
        .rejected(Code::Conflict);
    given
        .when(OWNER, add(21, "ANA", Role::Viewer, &["*"]))
        .rejected(Code::Conflict);
    given
        .when(OWNER, add(21, "bob", Role::Viewer, &[]))
        .rejected(Code::InvalidField);
    given
        .when(OWNER, Action::MemberRemove(MemberRemove { member: id(21) }))
        .rejected(Code::NotFound);
    given
        .when(
            OWNER,
            Action::MemberChange(record(21, "bob", Role::Viewer, &["*"])),
        )
        .rejected(Code::NotFound);
    // A removed member can come back, and the name can be used again.
    let given = given.and(OWNER, Action::MemberRemove(MemberRemove { member: id(20) }));
    given
        .when(OWNER, add(21, "ana", Role::Viewer, &["*"]))
        .happens(&["member.added"]);
    given
        .when(OWNER, add(20, "ana", Role::Viewer, &["*"]))
        .happens(&["member.added"]);
}

#[test]
fn a_members_refusals_are_on_record_ten_times_a_minute() {
    let mut given = Given::workspace().and(OWNER, add(20, "vera", Role::Viewer, &["*"]));
    for _ in 0..limits::DENIALS_PER_MINUTE {
        given.when(20, reveal("Key")).denied(DenialReason::Role);
        given = given.and(20, reveal("Key"));
    }
    given.when(20, reveal("Key")).rejected(Code::Denied);
    given
        .later(60_000)
        .when(20, reveal("Key"))
        .denied(DenialReason::Role);
}

#[test]
fn a_refusal_does_not_keep_a_large_command() {
    let given = Given::workspace().and(OWNER, add(20, "vera", Role::Viewer, &["*"]));
    let many: Vec<String> = (0..200)
        .map(|at| format!("Key_with_a_rather_long_name_{at}"))
        .collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    given
        .when(20, reveal_for(&names, Purpose::View(Nothing {})))
        .rejected(Code::Denied);
}

#[test]
fn new_names_show_by_the_rules_in_force_and_old_ones_stay() {
    let odd = |seed| add(seed, "Zo\u{200b}e", Role::Viewer, &["*"]);
    let change = |called: &str, role| Action::MemberChange(record(20, called, role, &["*"]));
    let given = Given::workspace().by(Rules::V1);
    given.when(OWNER, odd(20)).happens(&["member.added"]);
    let given = given.and(OWNER, odd(20));
    given
        .when(OWNER, change("Zo\u{200d}e", Role::Viewer))
        .happens(&["member.changed"]);
    let given = given.by(Rules::V2);
    given
        .when(OWNER, add(21, "Ze\u{200b}", Role::Viewer, &["*"]))
        .rejected(Code::InvalidName);
    given
        .when(OWNER, change("Zo\u{200d}e", Role::Viewer))
        .rejected(Code::InvalidName);
    // An existing name does not prevent other changes of the member.
    given
        .when(OWNER, change("Zo\u{200b}e", Role::Auditor))
        .happens(&["member.changed"]);
    let given = given
        .and(OWNER, change("Zoe", Role::Viewer))
        .and(OWNER, Action::MemberRemove(MemberRemove { member: id(20) }));
    given.when(OWNER, odd(20)).rejected(Code::InvalidName);
    // Permission comes first: a member who may not add members learns nothing about names.
    let given = given.and(OWNER, add(22, "viewer", Role::Viewer, &["*"]));
    given.when(22, odd(23)).denied(DenialReason::Role);
}

#[test]
fn the_state_knows_which_rules_decided_last() {
    let given = Given::nothing().by(Rules::V1);
    assert_eq!(given.state.rules(), Rules::V1);
    let given = given.and(OWNER, Action::WorkspaceCreate(Nothing {}));
    assert_eq!(given.state.rules(), Rules::V1);
    let given = given.by(Rules::V2).and(OWNER, create(1, "Key"));
    assert_eq!(given.state.rules(), Rules::V2);
}

#[test]
fn a_name_that_looks_like_a_key_is_refused() {
    let given = Given::workspace();
    for name in [
        "ed25519:MlHl3gR5hq_qAm9lerJRYVU8CCVWHquNHJJXTZqMm6Sg",
        "Ed25519:x",
        "bob ed25519:x",
    ] {
        let member = add(20, name, Role::Editor, &["*"]);
        given
            .when(OWNER, member.clone())
            .rejected(Code::InvalidName);
        // Earlier logs hold such names.
        let before = Given::workspace().by(Rules::V2);
        before.when(OWNER, member).happens(&["member.added"]);
    }
}
