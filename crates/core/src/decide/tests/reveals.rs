//! Reveals: which members get which values.

use super::*;

#[test]
fn reveals_name_what_is_there() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, edit(1, "Key", 2));
    let events = given
        .when(OWNER, reveal("Key"))
        .happens(&["secret.revealed"]);
    let Event::SecretRevealed(revealed) = &events[0] else {
        panic!("no reveal")
    };
    assert_eq!(revealed.secrets[0].version, Version(2));
    given.when(OWNER, reveal("key")).rejected(Code::NotFound);
    given
        .when(OWNER, reveal("Nothing"))
        .rejected(Code::NotFound);
    given
        .when(
            OWNER,
            reveal_for(&["Key", "Key"], Purpose::View(Nothing {})),
        )
        .rejected(Code::InvalidField);
    given
        .when(OWNER, reveal_for(&[], Purpose::View(Nothing {})))
        .rejected(Code::InvalidField);
    let exact = |secret: u8, version: u32| {
        let item = RevealItem {
            id: Some(sid(secret)),
            name: name("Key"),
            version: Some(Version(version)),
        };
        let purpose = Purpose::View(Nothing {});
        Action::SecretReveal(SecretReveal {
            names: vec![item],
            reason: None,
            purpose,
            session: session(),
        })
    };
    given.when(OWNER, exact(1, 1)).happens(&["secret.revealed"]);
    given.when(OWNER, exact(1, 3)).rejected(Code::NotFound);
    given.when(OWNER, exact(1, 0)).rejected(Code::NotFound);
    given.when(OWNER, exact(2, 1)).rejected(Code::Conflict);
    let given = given.and(OWNER, delete(1, "Key"));
    given.when(OWNER, reveal("Key")).rejected(Code::Deleted);
    let given = given.and(OWNER, restore(1, "Key"));
    given
        .when(OWNER, reveal("Key"))
        .happens(&["secret.revealed"]);
}

#[test]
fn a_reveal_fits_one_reply() {
    let big = |seed: u8| {
        let size = u32::try_from(crypto::sealed_size(65_535).expect("size")).expect("size");
        let secret = NewSecret {
            size,
            ..new(seed, &format!("Key_{seed}"))
        };
        Action::SecretCreate(SecretCreate {
            secret,
            session: session(),
        })
    };
    let given = (0..15).fold(Given::workspace(), |given, seed| {
        given.and(OWNER, big(seed))
    });
    let names: Vec<String> = (0..15).map(|seed| format!("Key_{seed}")).collect();
    let first = |count: usize| {
        let names: Vec<&str> = names[..count].iter().map(String::as_str).collect();
        reveal_for(&names, Purpose::View(Nothing {}))
    };
    given.when(OWNER, first(14)).happens(&["secret.revealed"]);
    given.when(OWNER, first(15)).rejected(Code::TooLarge);
}

#[test]
fn restricted_secrets_are_for_runners_blocks_alone() {
    let given = Given::workspace()
        .and(OWNER, restricted(1, "Key"))
        .and(OWNER, create(2, "Open"))
        .and(OWNER, add(20, "editor", Role::Editor, &["*"]))
        .and(OWNER, add(22, "reader", Role::Reader, &["*"]))
        .and(OWNER, add(23, "runner", Role::Runner, &["*"]));
    let nothing = Nothing {};
    for purpose in [
        Purpose::View(nothing),
        Purpose::Copy(nothing),
        Purpose::Export(nothing),
        Purpose::Run(nothing),
        agent(),
        block(),
    ] {
        for actor in [OWNER, 20, 22] {
            given
                .when(actor, reveal_for(&["Key"], purpose.clone()))
                .denied(DenialReason::Restricted);
        }
    }
    // A runner uses other secrets in programs and agents, and restricted ones in blocks alone.
    for purpose in [Purpose::Run(nothing), agent()] {
        given
            .when(23, reveal_for(&["Open"], purpose.clone()))
            .happens(&["secret.revealed"]);
        for names in [&["Key"] as &[&str], &["Open", "Key"]] {
            given
                .when(23, reveal_for(names, purpose.clone()))
                .denied(DenialReason::Restricted);
        }
    }
    given.when(23, reveal("Key")).denied(DenialReason::Role);
    given
        .when(23, reveal_for(&["Key"], block()))
        .happens(&["secret.revealed"]);
}

#[test]
fn readers_and_runners_stay_within_their_patterns() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Stripe_Key"))
        .and(OWNER, create(2, "Mail_Key"))
        .and(OWNER, add(22, "reader", Role::Reader, &["stripe_*"]))
        .and(OWNER, add(23, "runner", Role::Runner, &["stripe_*"]));
    for (actor, purpose) in [
        (22, Purpose::View(Nothing {})),
        (22, agent()),
        (23, Purpose::Run(Nothing {})),
        (23, agent()),
    ] {
        given
            .when(actor, reveal_for(&["Stripe_Key"], purpose.clone()))
            .happens(&["secret.revealed"]);
        for name in ["Mail_Key", "Nowhere"] {
            given
                .when(actor, reveal_for(&[name], purpose.clone()))
                .denied(DenialReason::Scope);
        }
    }
}

#[test]
fn rules_before_4_know_neither_reader_nor_agent_and_keep_runners_to_blocks() {
    for rules in [Rules::V1, Rules::V2, Rules::V3] {
        let given = Given::workspace()
            .by(rules)
            .and(OWNER, create(1, "Key"))
            .and(OWNER, add(23, "runner", Role::Runner, &["*"]));
        let reader = |called: &str| record(23, called, Role::Reader, &["*"]);
        given
            .when(OWNER, add(24, "reader", Role::Reader, &["*"]))
            .rejected(Code::Malformed);
        given
            .when(OWNER, Action::MemberChange(reader("runner")))
            .rejected(Code::Malformed);
        for actor in [OWNER, 23] {
            given
                .when(actor, reveal_for(&["Key"], agent()))
                .rejected(Code::Malformed);
        }
        given
            .when(23, reveal_for(&["Key"], Purpose::Run(Nothing {})))
            .denied(DenialReason::Role);
        given
            .when(23, reveal_for(&["Key"], block()))
            .happens(&["secret.revealed"]);
        // The same history by the rules in force.
        let given = given.by(Rules::V4);
        given
            .when(23, reveal_for(&["Key"], Purpose::Run(Nothing {})))
            .happens(&["secret.revealed"]);
        given
            .when(OWNER, Action::MemberChange(reader("runner")))
            .happens(&["member.changed"]);
    }
}
