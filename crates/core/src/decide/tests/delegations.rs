//! Keys that act for an identity.

use super::*;

#[test]
fn ended_delegations_are_kept_once_and_not_without_end() {
    let revoke = |key: u8| {
        Action::DelegationRevoke(DelegationRevoke {
            key: Identity([key; 32]),
            identity: id(OWNER),
        })
    };
    let mut given = Given::workspace().and(OWNER, revoke(0));
    given.when(OWNER, revoke(0)).rejected(Code::Conflict);
    for key in 1..=255 {
        given = given.and(OWNER, revoke(key));
    }
    let one_more = DelegationRevoke {
        key: id(1),
        identity: id(OWNER),
    };
    given
        .when(OWNER, Action::DelegationRevoke(one_more))
        .rejected(Code::TooLarge);
}

#[test]
fn delegated_keys_act_for_their_identity_within_limits() {
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    let delegation = |change: &dyn Fn(&mut Delegation)| {
        let mut delegation = Delegation {
            v: 1,
            key: id(40),
            place: "console.example".parse().expect("label"),
            ledger: LEDGER,
            identity: id(OWNER),
            not_after: Millis(START + 1_000),
            workspace: "demo".parse().expect("name"),
            not_before: Millis(START),
        };
        change(&mut delegation);
        Blob(cose::sign(&delegation, &key(OWNER)))
    };
    let when = |given: &Given, action: Action, change: &dyn Fn(&mut Delegation)| {
        let mut command = given.command(action);
        command.delegation = Some(delegation(change));
        Then(decide(
            given.rules,
            &given.state,
            &Given::sign(&command, 40),
            Millis(given.at),
            &authority(true),
        ))
    };
    when(&given, reveal("Key"), &|_| {}).happens(&["secret.revealed"]);
    when(&given, delete(1, "Key"), &|_| {}).happens(&["secret.deleted"]);
    let denied = DenialReason::Delegation;
    when(&given, add(20, "ana", Role::Viewer, &["*"]), &|_| {}).denied(denied);
    let revoke = Action::DelegationRevoke(DelegationRevoke {
        key: id(40),
        identity: id(OWNER),
    });
    when(&given, revoke.clone(), &|_| {}).denied(denied);
    when(&given, reveal("Key"), &|d| d.not_before = Millis(START + 1)).denied(denied);
    when(&given, reveal("Key"), &|d| d.not_after = Millis(START - 1)).denied(denied);
    when(&given, reveal("Key"), &|d| {
        d.not_after = Millis(START + limits::DELEGATION_MS + 1);
    })
    .denied(denied);
    when(&given, reveal("Key"), &|d| {
        d.workspace = "other".parse().expect("name");
    })
    .denied(denied);
    when(&given, reveal("Key"), &|d| d.ledger = LedgerId([9; 32])).denied(denied);
    let given = given.and(OWNER, revoke);
    when(&given, reveal("Key"), &|_| {}).denied(denied);
}

#[test]
fn nobody_else_ends_a_delegation() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, add(21, "vera", Role::Viewer, &["*"]));
    // A viewer may end what it delegated itself: that says nothing of the owner's delegation.
    let own = Action::DelegationRevoke(DelegationRevoke {
        key: id(40),
        identity: id(21),
    });
    let given = given.and(21, own);
    assert!(given.state.is_revoked(&id(21), &id(40)));
    assert!(!given.state.is_revoked(&id(OWNER), &id(40)));
    let others = Action::DelegationRevoke(DelegationRevoke {
        key: id(40),
        identity: id(OWNER),
    });
    given.when(21, others).denied(DenialReason::Role);
}

#[test]
fn a_delegation_is_for_the_key_and_by_the_identity_it_names() {
    let given = Given::workspace();
    let mut command = given.command(reveal("Key"));
    let delegation = Delegation {
        v: 1,
        key: id(40),
        place: "x".parse().expect("label"),
        ledger: LEDGER,
        identity: id(OWNER),
        not_after: Millis(START + 1_000),
        workspace: "demo".parse().expect("name"),
        not_before: Millis(START),
    };
    for (by, signer) in [(OWNER, 41), (41, 40)] {
        command.delegation = Some(Blob(cose::sign(&delegation, &key(by))));
        let bytes = cose::sign(&command, &key(signer));
        let verified = SignedCommand::decode(&bytes).and_then(SignedCommand::verify);
        assert_eq!(
            verified.map(|_| ()).map_err(|r| r.code),
            Err(Code::BadSignature),
            "{by} {signer}"
        );
    }
}
