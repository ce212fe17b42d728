//! The end of a membership ends its sign-ins.

use super::*;

#[test]
fn a_removed_members_sign_ins_end_for_good() {
    let given = team();
    let unused = opening(&given, ANA, PHONE, HOUR);
    let given = given.signed_in(ANA, LAPTOP);
    let remove = Action::MemberRemove(MemberRemove { member: id(ANA) });
    let given = given.and(OWNER, remove);
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .rejected(Code::Denied);
    let given = given
        .later(1_000)
        .and(OWNER, add(ANA, "ana", Role::Editor, &["*"]));
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .denied(DenialReason::SignIn);
    // Nor does a proof from before open anything.
    given.when_opened(ANA, unused).rejected(Code::Denied);
    given.later(1_000).opens(ANA, PHONE);
}

/// A membership of an hour, from now on or longer.
fn until(given: &Given, lasts: u64) -> Action {
    let mut record = record(ANA, "ana", Role::Editor, &["*"]);
    record.expires = Some(Millis(given.at + lasts));
    Action::MemberChange(record)
}

#[test]
fn a_membership_that_ended_and_is_extended_revives_no_sign_in() {
    let given = team();
    let unused = opening(&given, ANA, PHONE, 3 * HOUR);
    let long = opening(&given, ANA, LAPTOP, 3 * HOUR);
    let given = given.and_signed_in(ANA, LAPTOP, Action::SignInOpen(long));
    let change = until(&given, HOUR);
    // An extension in time changes nothing.
    let given = given.and(OWNER, change);
    let change = until(&given, HOUR + 1);
    let given = given.and(OWNER, change);
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .happens(&["secret.revealed"]);
    let given = given.later(HOUR + 1);
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .denied(DenialReason::Expired);
    let change = until(&given, HOUR);
    let given = given.and(OWNER, change).later(1);
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .denied(DenialReason::SignIn);
    given.when_opened(ANA, unused).rejected(Code::Denied);
    given.opens(ANA, PHONE);
}

#[test]
fn the_own_key_of_an_expired_member_closes_its_sign_ins_alone() {
    let given = team();
    let change = until(&given, 1_000);
    let given = given.and(OWNER, change).signed_in(ANA, LAPTOP).later(1_000);
    given
        .when_signed_in(ANA, LAPTOP, close(LAPTOP))
        .denied(DenialReason::Expired);
    given
        .when(ANA, close_of(LAPTOP, BOB))
        .denied(DenialReason::Expired);
    given.when(ANA, reveal("Key")).denied(DenialReason::Expired);
    given.when(ANA, close(LAPTOP)).happens(&["signin.closed"]);
    given.when(ANA, close(PHONE)).happens(&["signin.closed"]);
}

#[test]
fn a_removal_remembers_no_sign_in_that_has_ended() {
    let given = team();
    let given = given.signed_in(ANA, LAPTOP).signed_in(ANA, PHONE);
    let long = opening(&given, ANA, PHONE + 1, 3 * HOUR);
    let given = given.and_signed_in(ANA, PHONE + 1, Action::SignInOpen(long));
    let remove = Action::MemberRemove(MemberRemove { member: id(ANA) });
    let given = given.later(HOUR + 1).and(OWNER, remove);
    let remembered: Vec<Identity> = given
        .state
        .sign_ins_of(id(ANA))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(remembered, [public(PHONE + 1)]);
}

#[test]
fn a_sign_in_from_before_its_member_joined_opens_nothing() {
    let given = Given::workspace();
    // It was opened and closed in other workspaces meanwhile.
    let early = opening(&given, ANA, LAPTOP, HOUR);
    let given = given
        .later(1_000)
        .and(OWNER, add(ANA, "ana", Role::Editor, &["*"]));
    given.when_opened(ANA, early.clone()).rejected(Code::Denied);
    let mut just = early;
    just.from = Millis(given.at);
    prove(&mut just, ANA);
    given.when_opened(ANA, just).happens(&["signin.opened"]);
}
