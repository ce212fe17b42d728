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
fn restricted_secrets_are_for_runners_blocks() {
    let given = Given::workspace()
        .and(OWNER, restricted(1, "Key"))
        .and(OWNER, add(23, "runner", Role::Runner, &["*"]));
    given
        .when(OWNER, reveal("Key"))
        .denied(DenialReason::Restricted);
    given
        .when(OWNER, reveal_for(&["Key"], block()))
        .denied(DenialReason::Restricted);
    given.when(23, reveal("Key")).denied(DenialReason::Role);
    given
        .when(23, reveal_for(&["Key"], block()))
        .happens(&["secret.revealed"]);
}
