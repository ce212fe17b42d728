//! Keys that act for an identity.

use super::*;

#[test]
fn ended_delegations_are_kept_once_and_not_without_end() {
    let revoke = |key: u8| {
        Action::DelegationRevoke(DelegationRevoke {
            key: Identity([key; 32]),
            identity: Some(id(OWNER)),
        })
    };
    let mut given = Given::workspace().by(Rules::V3).and(OWNER, revoke(0));
    given.when(OWNER, revoke(0)).rejected(Code::Conflict);
    for key in 1..=255 {
        given = given.and(OWNER, revoke(key));
    }
    let one_more = DelegationRevoke {
        key: public(1),
        identity: Some(id(OWNER)),
    };
    given
        .when(OWNER, Action::DelegationRevoke(one_more))
        .rejected(Code::TooLarge);
}

#[test]
fn delegated_keys_act_for_their_identity_within_limits() {
    let given = Given::workspace()
        .by(Rules::V3)
        .and(OWNER, create(1, "Key"));
    let delegation = |change: &dyn Fn(&mut Delegation)| {
        let mut delegation = Delegation {
            v: 1,
            key: public(40),
            place: "console.example".parse().expect("label"),
            ledger: LEDGER,
            identity: public(OWNER),
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
        key: public(40),
        identity: Some(id(OWNER)),
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
        .by(Rules::V3)
        .and(OWNER, create(1, "Key"))
        .and(OWNER, add(21, "vera", Role::Viewer, &["*"]));
    // A viewer may revoke its own delegation; the owner's delegation stays in force.
    let own = Action::DelegationRevoke(DelegationRevoke {
        key: public(40),
        identity: Some(id(21)),
    });
    let given = given.and(21, own);
    assert!(given.state.is_revoked(&id(21), &public(40)));
    assert!(!given.state.is_revoked(&id(OWNER), &public(40)));
    let others = Action::DelegationRevoke(DelegationRevoke {
        key: public(40),
        identity: Some(id(OWNER)),
    });
    given.when(21, others).denied(DenialReason::Role);
}

#[test]
fn a_delegation_is_for_the_key_and_by_the_identity_it_names() {
    let given = Given::workspace().by(Rules::V3);
    let mut command = given.command(reveal("Key"));
    let delegation = Delegation {
        v: 1,
        key: public(40),
        place: "x".parse().expect("label"),
        ledger: LEDGER,
        identity: public(OWNER),
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

fn delegated(by: u8, to: u8, not_after: u64) -> Blob {
    let delegation = Delegation {
        v: 1,
        key: public(to),
        place: "console.example".parse().expect("label"),
        ledger: LEDGER,
        identity: public(by),
        not_after: Millis(not_after),
        workspace: "demo".parse().expect("name"),
        not_before: Millis(not_after - limits::DELEGATION_MS),
    };
    Blob(cose::sign(&delegation, &key(by)))
}

impl Given {
    /// Adds a reveal by `by`, signed with its delegated key `to`, to the history.
    fn used(mut self, by: u8, to: u8, not_after: u64) -> Self {
        let mut command = self.command(reveal("Key"));
        command.delegation = Some(delegated(by, to, not_after));
        let command = Self::sign(&command, to);
        let (at, authority) = (Millis(self.at), authority(true));
        let events = decide(self.rules, &self.state, &command, at, &authority).expect("given");
        self.record(&command, events);
        self
    }
}

fn end(to: u8) -> Action {
    Action::DelegationRevoke(DelegationRevoke {
        key: public(to),
        identity: None,
    })
}

/// An owner, two editors and a secret.
fn team() -> Given {
    Given::workspace()
        .by(Rules::V3)
        .and(OWNER, create(1, "Key"))
        .and(OWNER, add(20, "ana", Role::Editor, &["*"]))
        .and(OWNER, add(21, "bob", Role::Editor, &["*"]))
}

fn ended(then: Then) -> Vec<MemberId> {
    let events = then.happens(&["delegation.revoked"]);
    let [Event::DelegationRevoked(revoked)] = events.as_slice() else {
        panic!("{events:?}")
    };
    revoked.identities.clone()
}

#[test]
fn a_key_alone_ends_the_delegation_that_was_seen_in_use() {
    let hour = START + 3_600_000;
    let given = team().used(20, 40, hour);
    assert_eq!(ended(given.when(OWNER, end(40))), [id(20)]);
    assert_eq!(ended(given.when(20, end(40))), [id(20)]);
    let given = given.and(OWNER, end(40));
    assert!(given.state.is_revoked(&id(20), &public(40)));
    assert!(!given.state.is_revoked(&id(OWNER), &public(40)));
    let mut command = given.command(reveal("Key"));
    command.delegation = Some(delegated(20, 40, hour));
    let (at, authority) = (Millis(given.at), authority(true));
    let command = Given::sign(&command, 40);
    Then(decide(given.rules, &given.state, &command, at, &authority))
        .denied(DenialReason::Delegation);
    given.when(OWNER, end(40)).rejected(Code::Conflict);
}

#[test]
fn a_key_that_was_never_used_needs_its_identity() {
    let given = team();
    let then = given.when(OWNER, end(40));
    let refused = then.0.expect_err("refused");
    assert_eq!(refused.code, Code::NotFound);
    assert!(refused.message.contains("--of"), "{}", refused.message);
    let named = Action::DelegationRevoke(DelegationRevoke {
        key: public(40),
        identity: Some(id(20)),
    });
    assert_eq!(ended(given.when(OWNER, named)), []);
}

#[test]
fn a_key_alone_ends_no_more_than_the_actor_may_end() {
    let hour = START + 3_600_000;
    // To other members it looks like an unused key.
    let given = team().used(20, 40, hour);
    given.when(21, end(40)).rejected(Code::NotFound);
    // One key for two identities: an owner revokes both delegations, each identity only its own.
    let given = given.used(21, 40, hour);
    let both = ended(given.when(OWNER, end(40)));
    assert_eq!(both.len(), 2);
    assert!(both.contains(&id(20)) && both.contains(&id(21)));
    assert_eq!(ended(given.when(21, end(40))), [id(21)]);
    let given = given.and(20, end(40));
    assert_eq!(ended(given.when(OWNER, end(40))), [id(21)]);
    // A bounded owner does not manage members.
    let given = given.and(OWNER, add(22, "cleo", Role::Owner, &["K*"]));
    given.when(22, end(40)).rejected(Code::NotFound);
    // A delegated key revokes nothing, not even itself.
    let mut command = given.command(end(40));
    command.delegation = Some(delegated(21, 40, hour));
    let (at, authority) = (Millis(given.at), authority(true));
    let command = Given::sign(&command, 40);
    Then(decide(given.rules, &given.state, &command, at, &authority))
        .denied(DenialReason::Delegation);
}

#[test]
fn delegations_are_remembered_until_they_are_over() {
    let hour = START + 3_600_000;
    let given = team().used(20, 40, hour).later(3_600_001);
    given.when(OWNER, end(40)).rejected(Code::Conflict);
    // The next delegation in use removes those that have ended.
    let mut given = given.used(20, 41, hour + 3_600_000);
    given.when(OWNER, end(40)).rejected(Code::NotFound);
    assert_eq!(given.state.delegations().count(), 1);
    // A renewed delegation ends with the later statement.
    given = given.used(20, 41, hour + 7_200_000).later(7_000_000);
    assert_eq!(ended(given.when(OWNER, end(41))), [id(20)]);
}

#[test]
fn no_more_are_remembered_than_can_be_ended() {
    let mut given = team();
    let last = START + limits::DELEGATION_MS;
    let keys: Vec<SigningKey> = (0..=limits::SEEN_DELEGATIONS)
        .map(|number| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
            SigningKey::from_bytes(&seed)
        })
        .collect();
    let public = |key: &SigningKey| Identity(key.verifying_key().to_bytes());
    // The second delegation ends before all others.
    for (number, one) in keys.iter().enumerate() {
        let mut command = given.command(reveal("Key"));
        command.id.0[1..9].copy_from_slice(&(number as u64).to_be_bytes());
        let delegation = Delegation {
            v: 1,
            key: public(one),
            place: "x".parse().expect("label"),
            ledger: LEDGER,
            identity: public(&key(20)),
            not_after: Millis(if number == 1 { last - 1 } else { last }),
            workspace: "demo".parse().expect("name"),
            not_before: Millis(START),
        };
        command.delegation = Some(Blob(cose::sign(&delegation, &key(20))));
        let bytes = cose::sign(&command, one);
        let command = SignedCommand::decode(&bytes).and_then(SignedCommand::verify);
        let command = command.expect("signed");
        let (at, authority) = (Millis(given.at), authority(true));
        let events = decide(given.rules, &given.state, &command, at, &authority).expect("given");
        given.record(&command, events);
    }
    assert_eq!(given.state.delegations().count(), limits::SEEN_DELEGATIONS);
    assert_eq!(given.state.delegation(&(id(20), public(&keys[1]))), None);
    assert!(
        given
            .state
            .delegation(&(id(20), public(&keys[0])))
            .is_some()
    );
}

#[test]
fn earlier_rules_want_the_identity() {
    let given = team().used(20, 40, START + 3_600_000).by(Rules::V2);
    given.when(OWNER, end(40)).rejected(Code::Malformed);
}

#[test]
fn who_can_end_no_more_keeps_nobody_elses_delegation_going() {
    let hour = START + 3_600_000;
    let mut given = team().used(20, 40, hour).used(21, 40, hour);
    for key in 0..limits::REVOCATIONS {
        let key = Identity([u8::try_from(key % 256).expect("a byte"); 32]);
        let identity = Some(id(21));
        let revoke = DelegationRevoke { key, identity };
        given = given.and(OWNER, Action::DelegationRevoke(revoke));
    }
    assert_eq!(ended(given.when(OWNER, end(40))), [id(20)]);
    // For this identity alone, the limit is reported.
    given.when(21, end(40)).rejected(Code::TooLarge);
}

#[test]
fn rules_4_refuse_delegations_and_say_what_to_do() {
    let given = team().by(Rules::V4);
    let mut command = given.command(reveal("Key"));
    command.delegation = Some(delegated(20, 40, START + 3_600_000));
    let command = Given::sign(&command, 40);
    let (at, authority) = (Millis(given.at), authority(true));
    let decided = decide(given.rules, &given.state, &command, at, &authority);
    for refused in [decided, given.when(OWNER, end(40)).0] {
        let refused = refused.expect_err("refused");
        assert_eq!(refused.code, Code::Denied);
        assert!(refused.message.contains("keyroll login"), "{refused}");
    }
}
