//! Fresh keys that act for a member for a while.

mod memberships;

use super::*;
use crate::event::SignInOpened;
use crate::sign_in::{SignInProof, SignInStatement};
use crate::state::Signing;

const ANA: u8 = 20;
const BOB: u8 = 21;
const LAPTOP: u8 = 40;
const PHONE: u8 = 41;
const HOUR: u64 = 3_600_000;

/// An owner, two editors and a secret. All that happens later happens at least a second later.
fn team() -> Given {
    Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, add(ANA, "ana", Role::Editor, &["*"]))
        .and(OWNER, add(BOB, "bob", Role::Editor, &["*"]))
        .later(1_000)
}

/// A sign-in with `to` from now on, with a proof by `by`.
fn opening(given: &Given, by: u8, to: u8, lasts: u64) -> SignInOpen {
    let mut open = SignInOpen {
        key: public(to),
        from: Millis(given.at),
        proof: SignInProof::Key(Blob(vec![])),
        until: Millis(given.at + lasts),
        origin: "keyroll on a laptop".parse().expect("an origin"),
    };
    prove(&mut open, by);
    open
}

fn prove(open: &mut SignInOpen, by: u8) {
    let binding = open.terms().binding(&LEDGER);
    let statement = SignInStatement { v: 1, binding };
    open.proof = SignInProof::Key(Blob(cose::sign(&statement, &key(by))));
}

fn close(to: u8) -> Action {
    let (key, member) = (public(to), None);
    Action::SignInClose(SignInClose { key, member })
}

fn close_of(to: u8, of: u8) -> Action {
    let (key, member) = (public(to), Some(id(of)));
    Action::SignInClose(SignInClose { key, member })
}

impl Given {
    /// An action for `member`, signed by the sign-in key `signer`.
    fn as_signed_in(&self, member: u8, signer: u8, action: Action) -> Result<Verified, Rejection> {
        let mut command = self.command(action);
        command.member = Some(id(member));
        SignedCommand::decode(&cose::sign(&command, &key(signer)))?.verify()
    }

    fn when_signed_in(&self, member: u8, signer: u8, action: Action) -> Then {
        let command = self.as_signed_in(member, signer, action);
        let (at, authority) = (Millis(self.at), authority(true));
        Then(command.and_then(|command| decide(self.rules, &self.state, &command, at, &authority)))
    }

    fn and_signed_in(mut self, member: u8, signer: u8, action: Action) -> Self {
        let events = self.when_signed_in(member, signer, action.clone()).0;
        let command = self.as_signed_in(member, signer, action).expect("signed");
        self.record(&command, events.expect("given"));
        self
    }

    fn when_opened(&self, member: u8, open: SignInOpen) -> Then {
        let signer = (0..=u8::MAX).find(|seed| public(*seed) == open.key);
        self.when_signed_in(member, signer.expect("a key"), Action::SignInOpen(open))
    }

    /// A sign-in of `member` with `to`, for an hour.
    fn signed_in(self, member: u8, to: u8) -> Self {
        let open = Action::SignInOpen(opening(&self, member, to, HOUR));
        self.and_signed_in(member, to, open)
    }

    fn closed(self, by: u8, action: Action) -> Self {
        self.and(by, action)
    }

    #[track_caller]
    fn opens(&self, member: u8, to: u8) {
        let open = opening(self, member, to, HOUR);
        self.when_opened(member, open).happens(&["signin.opened"]);
    }
}

#[test]
fn a_sign_in_acts_for_its_member_until_its_end() {
    let given = team();
    let open = opening(&given, ANA, LAPTOP, HOUR);
    let events = given.when_opened(ANA, open).happens(&["signin.opened"]);
    let until = Millis(given.at + HOUR);
    let member = id(ANA);
    assert_eq!(
        events,
        [Event::SignInOpened(SignInOpened { until, member })]
    );
    // Before the entry the key is a stranger's.
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .rejected(Code::Denied);
    let given = given.signed_in(ANA, LAPTOP);
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .happens(&["secret.revealed"]);
    given
        .when_signed_in(ANA, LAPTOP, edit(1, "Key", 2))
        .happens(&["secret.edited"]);
    // The member's own key goes on as before.
    given.when(ANA, reveal("Key")).happens(&["secret.revealed"]);
    let given = given.later(HOUR);
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .happens(&["secret.revealed"]);
    given
        .later(1)
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .denied(DenialReason::SignIn);
}

#[test]
fn a_sign_in_has_its_members_role_and_patterns_as_they_are_now() {
    let given = team().signed_in(ANA, LAPTOP);
    let change = Action::MemberChange(record(ANA, "ana", Role::Viewer, &["*"]));
    let given = given.and(OWNER, change);
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .denied(DenialReason::Role);
    // A change of role is no new membership.
    given.opens(ANA, PHONE);
}

#[test]
fn only_the_members_own_key_proves_a_sign_in() {
    let given = team().signed_in(ANA, LAPTOP);
    // Signed by a stranger, by another member, by a sign-in of the member.
    for by in [66, BOB, LAPTOP] {
        let open = opening(&given, by, PHONE, HOUR);
        given.when_opened(ANA, open).rejected(Code::Denied);
    }
    // For a member who is none, with a proof by the key that it names.
    let open = opening(&given, 66, PHONE, HOUR);
    given.when_opened(66, open).rejected(Code::Denied);
    // Without the member's id the fresh key acts for itself, and is a stranger.
    let open = Action::SignInOpen(opening(&given, ANA, PHONE, HOUR));
    given.when(PHONE, open).rejected(Code::Denied);
}

#[test]
fn a_proof_is_for_one_key_ledger_time_and_place() {
    let given = team();
    let changed = |change: &dyn Fn(&mut SignInOpen)| {
        let mut open = opening(&given, ANA, LAPTOP, HOUR);
        change(&mut open);
        let command = given.as_signed_in(ANA, LAPTOP, Action::SignInOpen(open));
        command.map(drop).map_err(|refused| refused.code)
    };
    let refused = Err(Code::BadSignature);
    assert_eq!(changed(&|_| {}), Ok(()));
    assert_eq!(changed(&|open| open.key = public(PHONE)), refused);
    assert_eq!(changed(&|open| open.from.0 -= 1), refused);
    assert_eq!(changed(&|open| open.until.0 += 1), refused);
    let elsewhere = || "elsewhere".parse().expect("an origin");
    assert_eq!(changed(&|open| open.origin = elsewhere()), refused);
    let flip = |open: &mut SignInOpen| {
        let SignInProof::Key(Blob(statement)) = &mut open.proof;
        *statement.last_mut().expect("bytes") ^= 1;
    };
    assert_eq!(changed(&flip), refused);
    // Another form of the same content.
    let other_form = |open: &mut SignInOpen| {
        let at = Millis(given.at);
        let mut command = given.command(reveal("Key"));
        command.at = at;
        open.proof = SignInProof::Key(Blob(cose::sign(&command, &key(ANA))));
    };
    assert_eq!(changed(&other_form), Err(Code::Malformed));
    // For another ledger.
    let mut open = opening(&given, ANA, LAPTOP, HOUR);
    let binding = open.terms().binding(&LedgerId([9; 32]));
    let statement = SignInStatement { v: 1, binding };
    open.proof = SignInProof::Key(Blob(cose::sign(&statement, &key(ANA))));
    given.when_opened(ANA, open).rejected(Code::BadSignature);
    // Another key than the sign-in's sends it.
    let open = opening(&given, ANA, LAPTOP, HOUR);
    given
        .when_signed_in(ANA, PHONE, Action::SignInOpen(open))
        .rejected(Code::BadSignature);
}

#[test]
fn a_sign_in_lasts_twelve_hours_at_most_and_is_never_shortened() {
    let given = team();
    let with = |from: u64, until: u64| {
        let mut open = opening(&given, ANA, LAPTOP, HOUR);
        (open.from, open.until) = (Millis(from), Millis(until));
        prove(&mut open, ANA);
        given.when_opened(ANA, open)
    };
    let now = given.at;
    with(now, now + limits::SIGN_IN_MS).happens(&["signin.opened"]);
    with(now, now + limits::SIGN_IN_MS + 1).rejected(Code::InvalidField);
    with(now, u64::MAX).rejected(Code::InvalidField);
    with(now, now).rejected(Code::InvalidField);
    with(now + 2, now + 1).rejected(Code::InvalidField);
    with(now - 100, now - 1).rejected(Code::InvalidField);
    with(now + limits::FRESH_MS, now + HOUR).happens(&["signin.opened"]);
    with(now + limits::FRESH_MS + 1, now + HOUR).rejected(Code::InvalidField);
}

#[test]
fn a_key_is_opened_once_and_never_after_it_was_closed() {
    let given = team();
    let open = opening(&given, ANA, LAPTOP, HOUR);
    let given = given.and_signed_in(ANA, LAPTOP, Action::SignInOpen(open.clone()));
    given
        .when_opened(ANA, open.clone())
        .rejected(Code::Conflict);
    // Not even for another time.
    let again = opening(&given, ANA, LAPTOP, 2 * HOUR);
    given.when_opened(ANA, again).rejected(Code::Conflict);
    let given = given.closed(ANA, close(LAPTOP));
    given
        .when_opened(ANA, open.clone())
        .rejected(Code::Conflict);
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .denied(DenialReason::SignIn);
    given.when(ANA, close(LAPTOP)).rejected(Code::Conflict);
    // After its end its own proof is worth nothing.
    let given = given.later(HOUR + 1);
    given.when_opened(ANA, open).rejected(Code::InvalidField);
}

#[test]
fn a_key_that_was_closed_before_it_was_opened_never_opens() {
    let given = team();
    let open = opening(&given, ANA, LAPTOP, limits::SIGN_IN_MS);
    let given = given.closed(ANA, close(LAPTOP));
    given
        .when_opened(ANA, open.clone())
        .rejected(Code::Conflict);
    // To the last moment at which the proof is worth something.
    let given = given.later(limits::SIGN_IN_MS);
    given.when_opened(ANA, open).rejected(Code::Conflict);
    // For another member the same key is another one.
    given.opens(BOB, LAPTOP);
}

#[test]
fn a_member_closes_its_own_sign_ins_and_an_owner_those_of_others() {
    let given = team().signed_in(ANA, LAPTOP).signed_in(ANA, PHONE);
    // By its own key, by the sign-in itself, by another one of the member.
    given.when(ANA, close(LAPTOP)).happens(&["signin.closed"]);
    for by in [LAPTOP, PHONE] {
        given
            .when_signed_in(ANA, by, close(LAPTOP))
            .happens(&["signin.closed"]);
    }
    given
        .when(BOB, close_of(LAPTOP, ANA))
        .denied(DenialReason::Role);
    given
        .when(OWNER, close_of(LAPTOP, ANA))
        .happens(&["signin.closed"]);
    // Without a name it is the owner's own, and the other member's stays open.
    let given = given.closed(OWNER, close(LAPTOP));
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .happens(&["secret.revealed"]);
    let given = given.closed(OWNER, close_of(LAPTOP, ANA));
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .denied(DenialReason::SignIn);
    given.when(66, close_of(PHONE, ANA)).rejected(Code::Denied);
    given
        .when(OWNER, close_of(PHONE, 66))
        .rejected(Code::NotFound);
}

#[test]
fn sensitive_acts_need_the_members_own_key() {
    let given = team().signed_in(OWNER, LAPTOP).signed_in(ANA, PHONE);
    let destroy = Action::SecretDestroy(SecretDestroy {
        id: sid(1),
        name: name("Key"),
        versions: None,
    });
    let acts = [
        add(30, "eve", Role::Owner, &["*"]),
        Action::MemberChange(record(ANA, "ana", Role::Owner, &["*"])),
        Action::MemberRemove(MemberRemove { member: id(ANA) }),
        destroy,
        Action::KeyRotate(Nothing {}),
        close_of(PHONE, ANA),
    ];
    for act in acts {
        given
            .when_signed_in(OWNER, LAPTOP, act.clone())
            .denied(DenialReason::OwnKey);
        let decided = given.when(OWNER, act).0.expect("accepted");
        assert!(!matches!(decided.as_slice(), [Event::AccessDenied(_)]));
    }
    // A workspace's creator becomes its owner.
    Given::nothing()
        .when_signed_in(OWNER, LAPTOP, Action::WorkspaceCreate(Nothing {}))
        .rejected(Code::Denied);
    // Keys that nobody knows here: a stolen sign-in would fill the memory with them.
    given
        .when_signed_in(OWNER, LAPTOP, close(99))
        .denied(DenialReason::OwnKey);
}

#[test]
fn whoever_claims_to_act_for_a_member_makes_no_entry() {
    let given = team().signed_in(ANA, LAPTOP);
    for member in [OWNER, ANA, BOB, ONLINE, 66] {
        given
            .when_signed_in(member, 67, reveal("Key"))
            .rejected(Code::Denied);
    }
    // A sign-in of one member is nobody else's.
    given
        .when_signed_in(OWNER, LAPTOP, reveal("Key"))
        .rejected(Code::Denied);
    // Nor does it, or a stranger's key, become the ledger's by a claim.
    let summary = Action::DenialsSummarize(DenialsSummarize { denials: vec![] });
    for signer in [LAPTOP, 67] {
        given
            .when_signed_in(ONLINE, signer, summary.clone())
            .rejected(Code::Denied);
    }
    given
        .when_signed_in(ANA, LAPTOP, summary)
        .denied(DenialReason::Role);
}

#[test]
fn the_member_is_named_only_where_another_key_signs() {
    let given = team();
    given
        .when_signed_in(ANA, ANA, reveal("Key"))
        .rejected(Code::Malformed);
}

#[test]
fn beyond_sixteen_the_oldest_sign_in_is_closed_by_the_entry() {
    let mut given = team();
    for to in 100..116 {
        given = given.later(10).signed_in(ANA, to);
    }
    // Those of others do not count, nor do those that are closed.
    let given = given.signed_in(BOB, LAPTOP).closed(ANA, close(115));
    let given = given.later(10).signed_in(ANA, 116);
    let open = opening(&given, ANA, PHONE, HOUR);
    let events = given
        .when_opened(ANA, open.clone())
        .happens(&["signin.closed", "signin.opened"]);
    let Some(Event::SignInClosed(closed)) = events.first() else {
        panic!("{events:?}")
    };
    assert_eq!(closed.key, Some(public(100)));
    let given = given.and_signed_in(ANA, PHONE, Action::SignInOpen(open));
    given
        .when_signed_in(ANA, 100, reveal("Key"))
        .denied(DenialReason::SignIn);
    for to in [101, 116, PHONE] {
        given
            .when_signed_in(ANA, to, reveal("Key"))
            .happens(&["secret.revealed"]);
    }
}

#[test]
fn sixty_sign_ins_are_opened_or_closed_in_a_minute() {
    let mut given = team();
    given.at += 60_000 - given.at % 60_000;
    for to in 100..130 {
        given = given.signed_in(ANA, to).closed(ANA, close(to));
    }
    let open = opening(&given, ANA, PHONE, HOUR);
    given.when_opened(ANA, open).rejected(Code::Busy);
    given.when(ANA, close(PHONE)).rejected(Code::Busy);
    given.opens(BOB, LAPTOP);
    given.later(60_000).opens(ANA, PHONE);
}

#[test]
fn no_more_than_256_keys_of_a_member_are_remembered() {
    let mut given = team();
    for number in 0..limits::REMEMBERED_SIGN_INS {
        let byte = u8::try_from(number).expect("a byte");
        let close = SignInClose {
            key: Identity([byte; 32]),
            member: None,
        };
        given = given.later(2_000).closed(ANA, Action::SignInClose(close));
    }
    let open = opening(&given, ANA, PHONE, HOUR);
    given.when_opened(ANA, open).rejected(Code::TooLarge);
    given.when(ANA, close(PHONE)).rejected(Code::TooLarge);
    given.opens(BOB, LAPTOP);
    // They are forgotten when nothing that anybody has could still open them.
    let given = given
        .later(limits::SIGN_IN_MS + limits::FRESH_MS + 1)
        .signed_in(ANA, LAPTOP);
    assert_eq!(given.state.sign_ins_of(id(ANA)).count(), 1);
}

#[test]
fn what_a_key_may_do_is_known_from_the_state_alone() {
    let given = team().signed_in(ANA, LAPTOP).signed_in(ANA, PHONE);
    let given = given.closed(ANA, close(PHONE));
    let signing = |member: u8, signer: u8| {
        let command = given
            .as_signed_in(member, signer, reveal("Key"))
            .expect("signed");
        given.state.signing(&command, Millis(given.at))
    };
    assert_eq!(signing(ANA, LAPTOP), Signing::SignIn);
    assert_eq!(signing(ANA, PHONE), Signing::Ended);
    assert_eq!(signing(BOB, LAPTOP), Signing::Unknown);
    let own = Given::sign(&given.command(reveal("Key")), ANA);
    assert_eq!(given.state.signing(&own, Millis(given.at)), Signing::OwnKey);
}

#[test]
fn earlier_rules_know_no_sign_ins() {
    let given = team().signed_in(ANA, LAPTOP).by(Rules::V3);
    given
        .when_signed_in(ANA, LAPTOP, reveal("Key"))
        .rejected(Code::Malformed);
    given.when(ANA, close(LAPTOP)).rejected(Code::Malformed);
}
