//! Destroyed values, retired keys, and the records of their erasure.

use super::*;
use crate::state::ValueState;

fn destroy(seed: u8, called: &str, versions: Option<&[u32]>) -> Action {
    Action::SecretDestroy(SecretDestroy {
        id: sid(seed),
        name: name(called),
        versions: versions.map(|versions| versions.iter().copied().map(Version).collect()),
    })
}

fn erase(seed: u8, versions: &[u32]) -> Action {
    Action::ValueErase(ValueErase {
        id: sid(seed),
        versions: versions.iter().copied().map(Version).collect(),
    })
}

fn rotate() -> Action {
    Action::KeyRotate(Nothing {})
}

fn erase_key(epoch: u32) -> Action {
    let epoch = Epoch(epoch);
    Action::KeyErase(KeyErase { epoch })
}

fn sweep(places: &[ObjectId]) -> Action {
    let stored = |place: &ObjectId| StoredAt {
        epoch: Epoch(1),
        place: *place,
    };
    let places = places.iter().map(stored).collect();
    Action::ValuesSweep(ValuesSweep { places })
}

fn lose(values: &[(u8, u32)]) -> Action {
    let lost = |(seed, version): &(u8, u32)| LostValue {
        id: sid(*seed),
        version: Version(*version),
    };
    let values = values.iter().map(lost).collect();
    Action::ValuesLose(ValuesLose { values })
}

fn reveal_version(called: &str, version: u32) -> Action {
    let Action::SecretReveal(mut reveal) = reveal(called) else {
        panic!("no reveal")
    };
    reveal.names[0].version = Some(Version(version));
    Action::SecretReveal(reveal)
}

fn two_versions() -> Given {
    Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, edit(1, "Key", 2))
}

fn states(given: &Given, seed: u8) -> Vec<ValueState> {
    let secret = given.state.secret(&sid(seed)).expect("there");
    secret.versions.iter().map(|info| info.state).collect()
}

#[test]
fn one_version_is_destroyed_and_the_others_stay() {
    let given = two_versions();
    let events = given
        .when(OWNER, destroy(1, "Key", Some(&[1])))
        .happens(&["secret.destroyed"]);
    let Event::SecretDestroyed(destroyed) = &events[0] else {
        panic!("not destroyed")
    };
    assert_eq!(destroyed.versions, [Version(1)]);
    let given = given.and(OWNER, destroy(1, "Key", Some(&[1])));
    assert_eq!(states(&given, 1), [ValueState::Destroyed, ValueState::Live]);
    assert_eq!(given.state.row().ending, 1);
    given
        .when(OWNER, reveal("Key"))
        .happens(&["secret.revealed"]);
    given
        .when(OWNER, reveal_version("Key", 1))
        .rejected(Code::Destroyed);
    let from_destroyed = SecretRollback {
        edit: edit_fields(1, "Key", 3),
        from: Version(1),
    };
    given
        .when(OWNER, Action::SecretRollback(from_destroyed))
        .rejected(Code::Destroyed);
    given
        .when(OWNER, destroy(1, "Key", Some(&[1])))
        .rejected(Code::Destroyed);
    given
        .when(OWNER, destroy(1, "Key", Some(&[2, 1])))
        .rejected(Code::Destroyed);
    given
        .when(OWNER, destroy(1, "Key", Some(&[3])))
        .rejected(Code::NotFound);
    given
        .when(OWNER, destroy(1, "Key", Some(&[0])))
        .rejected(Code::NotFound);
    given
        .when(OWNER, destroy(1, "Key", Some(&[2, 2])))
        .rejected(Code::InvalidField);
    given
        .when(OWNER, destroy(1, "Key", Some(&[])))
        .rejected(Code::InvalidField);
}

#[test]
fn a_current_version_that_is_destroyed_leaves_a_secret_to_edit() {
    let given = two_versions().and(OWNER, destroy(1, "Key", Some(&[2])));
    given.when(OWNER, reveal("Key")).rejected(Code::Destroyed);
    given
        .and(OWNER, edit(1, "Key", 3))
        .when(OWNER, reveal("Key"))
        .happens(&["secret.revealed"]);
}

#[test]
fn a_destroyed_secret_is_at_its_end() {
    let given = two_versions().and(OWNER, destroy(1, "Key", None));
    let secret = given.state.secret(&sid(1)).expect("there");
    assert_eq!(secret.lifecycle, Lifecycle::Destroyed);
    assert_eq!(given.state.row().ending, 2);
    given.when(OWNER, reveal("Key")).rejected(Code::Destroyed);
    given
        .when(OWNER, edit(1, "Key", 3))
        .rejected(Code::Destroyed);
    given
        .when(OWNER, restore(1, "Key"))
        .rejected(Code::Destroyed);
    given
        .when(OWNER, destroy(1, "Key", None))
        .rejected(Code::Destroyed);
    // Its name can be used again, its id never.
    given.when(OWNER, create(1, "Key")).rejected(Code::Conflict);
    let given = given.and(OWNER, create(2, "Key"));
    given
        .when(OWNER, destroy(1, "Key", None))
        .rejected(Code::Destroyed);
}

#[test]
fn every_version_one_by_one_is_the_whole_secret() {
    let given = two_versions()
        .and(OWNER, destroy(1, "Key", Some(&[2])))
        .and(OWNER, destroy(1, "Key", Some(&[1])));
    let secret = given.state.secret(&sid(1)).expect("there");
    assert_eq!(secret.lifecycle, Lifecycle::Destroyed);
}

#[test]
fn a_deleted_secret_can_be_destroyed_beside_another_of_its_name() {
    let given = two_versions()
        .and(OWNER, delete(1, "Key"))
        .and(OWNER, create(2, "Key"))
        .and(OWNER, destroy(1, "Key", None));
    assert_eq!(states(&given, 2), [ValueState::Live]);
    given
        .when(OWNER, reveal("Key"))
        .happens(&["secret.revealed"]);
}

#[test]
fn destroying_names_the_secret_it_means() {
    let given = two_versions().and(OWNER, create(2, "Other"));
    given
        .when(OWNER, destroy(2, "Key", None))
        .rejected(Code::Conflict);
    given
        .when(OWNER, destroy(3, "Key", None))
        .rejected(Code::NotFound);
}

#[test]
fn destroying_and_rotating_are_for_owners_without_bounds() {
    let given = two_versions()
        .and(OWNER, add(20, "editor", Role::Editor, &["*"]))
        .and(OWNER, add(21, "viewer", Role::Viewer, &["*"]))
        .and(OWNER, add(22, "auditor", Role::Auditor, &["*"]))
        .and(OWNER, add(23, "runner", Role::Runner, &["*"]))
        .and(OWNER, add(24, "bounded", Role::Owner, &["key"]));
    for action in [
        destroy(1, "Key", None),
        destroy(9, "Nowhere", None),
        rotate(),
    ] {
        for actor in [20, 21, 22, 23] {
            given.when(actor, action.clone()).denied(DenialReason::Role);
        }
        given.when(24, action.clone()).denied(DenialReason::Scope);
        given.when(66, action).rejected(Code::Denied);
    }
}

#[test]
fn too_many_versions_are_destroyed_in_parts() {
    let most = u32::try_from(limits::ENDED_AT_ONCE).expect("small");
    let given = (2..=most + 1).fold(
        Given::workspace().and(OWNER, create(1, "Key")),
        |given, version| given.and(OWNER, edit(1, "Key", version)),
    );
    given
        .when(OWNER, destroy(1, "Key", None))
        .rejected(Code::TooLarge);
    let all: Vec<u32> = (1..=most + 1).collect();
    given
        .when(OWNER, destroy(1, "Key", Some(&all)))
        .rejected(Code::InvalidField);
    let given = given.and(OWNER, destroy(1, "Key", Some(&all[1..])));
    given
        .when(OWNER, destroy(1, "Key", None))
        .happens(&["secret.destroyed"]);
}

#[test]
fn erased_is_said_of_what_is_destroyed_once() {
    let given = two_versions().and(OWNER, destroy(1, "Key", Some(&[1])));
    given.when(ONLINE, erase(1, &[2])).rejected(Code::Conflict);
    given.when(ONLINE, erase(1, &[3])).rejected(Code::NotFound);
    given.when(ONLINE, erase(2, &[1])).rejected(Code::NotFound);
    given
        .when(ONLINE, erase(1, &[]))
        .rejected(Code::InvalidField);
    given
        .when(ONLINE, erase(1, &[1, 1]))
        .rejected(Code::InvalidField);
    let given = given.and(ONLINE, erase(1, &[1]));
    assert_eq!(states(&given, 1), [ValueState::Erased, ValueState::Live]);
    assert_eq!(given.state.row().ending, 0);
    given.when(ONLINE, erase(1, &[1])).rejected(Code::Conflict);
    given
        .when(OWNER, reveal_version("Key", 1))
        .rejected(Code::Destroyed);
    given
        .when(OWNER, destroy(1, "Key", Some(&[1])))
        .rejected(Code::Destroyed);
}

#[test]
fn a_key_rotates_one_generation_at_a_time() {
    let given = two_versions();
    let events = given.when(OWNER, rotate()).happens(&["key.rotated"]);
    let Event::KeyRotated(rotated) = &events[0] else {
        panic!("not rotated")
    };
    assert_eq!(rotated.epoch, Epoch(2));
    given.when(ONLINE, erase_key(1)).rejected(Code::Conflict);
    let given = given.and(OWNER, rotate()).and(OWNER, edit(1, "Key", 3));
    let row = given.state.row();
    assert_eq!((row.retiring, row.epoch), (Some(Epoch(1)), Epoch(2)));
    // Earlier values are stored under either generation, later values under the new one.
    let secret = given.state.secret(&sid(1)).expect("there");
    assert_eq!(
        row.epochs_of(&secret.versions[0]),
        (Epoch(1), Some(Epoch(2)))
    );
    assert_eq!(row.epochs_of(&secret.versions[2]), (Epoch(2), None));
    given.when(OWNER, rotate()).rejected(Code::Conflict);
    given.when(ONLINE, erase_key(2)).rejected(Code::Conflict);
    let given = given.and(ONLINE, erase_key(1));
    let row = given.state.row();
    assert_eq!((row.retiring, row.epoch), (None, Epoch(2)));
    let secret = given.state.secret(&sid(1)).expect("there");
    assert_eq!(row.epochs_of(&secret.versions[0]), (Epoch(2), None));
    given.when(ONLINE, erase_key(1)).rejected(Code::Conflict);
    given.when(OWNER, rotate()).happens(&["key.rotated"]);
}

#[test]
fn erased_is_not_said_while_a_copy_could_come_back() {
    let given = two_versions()
        .and(OWNER, rotate())
        .and(OWNER, destroy(1, "Key", Some(&[1])));
    given.when(ONLINE, erase(1, &[1])).rejected(Code::Conflict);
    given
        .and(ONLINE, erase_key(1))
        .when(ONLINE, erase(1, &[1]))
        .happens(&["value.erased"]);
}

#[test]
fn only_what_no_version_refers_to_is_swept() {
    let given = two_versions().and(OWNER, destroy(1, "Key", Some(&[1])));
    let secret = given.state.secret(&sid(1)).expect("there");
    let known: Vec<ObjectId> = secret.versions.iter().map(|info| info.place).collect();
    let orphan = ObjectId([7; 32]);
    given
        .when(ONLINE, sweep(&[orphan]))
        .happens(&["values.swept"]);
    for place in known {
        given
            .when(ONLINE, sweep(&[orphan, place]))
            .rejected(Code::Conflict);
    }
    given.when(ONLINE, sweep(&[])).rejected(Code::InvalidField);
    given
        .when(ONLINE, sweep(&[orphan, orphan]))
        .rejected(Code::InvalidField);
    let many: Vec<ObjectId> = (0..=limits::ENDED_AT_ONCE)
        .map(|at| {
            let mut place = [0; 32];
            place[..8].copy_from_slice(&at.to_be_bytes());
            ObjectId(place)
        })
        .collect();
    given
        .when(ONLINE, sweep(&many))
        .rejected(Code::InvalidField);
}

#[test]
fn what_is_lost_can_be_destroyed_all_the_same() {
    // A copy of the lost value may come back.
    let given = two_versions()
        .and(ONLINE, lose(&[(1, 1)]))
        .and(OWNER, destroy(1, "Key", None));
    assert_eq!(given.state.row().ending, 2);
    given.when(ONLINE, lose(&[(1, 2)])).rejected(Code::Conflict);
}

#[test]
fn nobody_but_the_ledger_says_what_is_erased() {
    let given = two_versions()
        .and(OWNER, add(20, "editor", Role::Editor, &["*"]))
        .and(OWNER, destroy(1, "Key", Some(&[1])))
        .and(OWNER, rotate());
    let own = [
        erase(1, &[1]),
        sweep(&[ObjectId([7; 32])]),
        lose(&[(1, 2)]),
        erase_key(1),
    ];
    for action in own {
        for actor in [OWNER, 20] {
            given.when(actor, action.clone()).denied(DenialReason::Role);
        }
        given.when(66, action).rejected(Code::Denied);
    }
}
