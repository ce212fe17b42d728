//! Invitations: a code, an acceptance by a key of one's own, and a confirmation where it matters.

use super::*;
use crate::invitation::{AcceptanceProof, AcceptanceStatement, binding, fingerprint};
use crate::sign_in::Principal;

const ANA: u8 = 20;
const BOB: u8 = 21;
const EVE: u8 = 22;
const OLGA: u8 = 23;
/// Keys of codes.
const CODE: u8 = 60;
const CODE_2: u8 = 61;
const DAY: u64 = 24 * 60 * 60 * 1_000;

fn invitation(code: u8, called: &str, role: Role) -> MemberInvite {
    MemberInvite {
        key: public(code),
        name: called.parse().expect("name"),
        role,
        renews: None,
        expires: None,
        secrets: vec!["stripe_*".parse().expect("glob")],
        principal: None,
    }
}

fn invite(code: u8, called: &str, role: Role) -> Action {
    Action::MemberInvite(invitation(code, called, role))
}

fn revoke(code: u8) -> Action {
    Action::MemberRevoke(MemberRevoke { key: public(code) })
}

fn confirm(code: u8, member: u8) -> Action {
    let (key, member) = (public(code), id(member));
    Action::MemberConfirm(MemberConfirm { key, member })
}

fn remove(member: u8) -> Action {
    Action::MemberRemove(MemberRemove { member: id(member) })
}

fn demo() -> WorkspaceName {
    "demo".parse().expect("name")
}

fn principal(of: u8) -> Principal {
    Principal::Key(public(of))
}

/// An acceptance by `member`, whose proof `prover` signs.
fn acceptance(bound: Digest, member: u8, prover: u8) -> Action {
    let statement = AcceptanceStatement {
        v: 1,
        binding: bound,
    };
    Action::MemberAccept(MemberAccept {
        proof: AcceptanceProof::Key(Blob(cose::sign(&statement, &key(prover)))),
        principal: principal(member),
    })
}

fn accept(code: u8, member: u8) -> Action {
    let bound = binding(&LEDGER, &demo(), &public(code), &principal(member));
    acceptance(bound, member, member)
}

impl Given {
    fn accepted(self, code: u8, member: u8) -> Self {
        self.and(code, accept(code, member))
    }

    fn when_accepted(&self, code: u8, member: u8) -> Then {
        self.when(code, accept(code, member))
    }

    /// The message of the refusal that `code` and `member` get.
    #[track_caller]
    fn refusal(&self, code: u8, member: u8) -> Rejection {
        self.when_accepted(code, member).0.expect_err("a refusal")
    }

    fn role(&self, member: u8) -> Option<Role> {
        self.state.member(&id(member)).map(|member| member.role)
    }
}

fn invited(role: Role) -> Given {
    Given::workspace().and(OWNER, invite(CODE, "ana", role))
}

#[test]
fn whoever_has_the_code_joins_with_a_key_of_their_own() {
    for role in [Role::Reader, Role::Viewer, Role::Auditor, Role::Runner] {
        let given = invited(role);
        assert_eq!(given.role(ANA), None, "an invitation is no membership");
        given
            .when_accepted(CODE, ANA)
            .happens(&["member.accepted", "member.added"]);
        let given = given.accepted(CODE, ANA);
        let ana = given.state.member(&id(ANA)).expect("a member");
        assert_eq!((ana.name.as_str(), ana.role), ("ana", role));
        let globs: Vec<&str> = ana.secrets.iter().map(Glob::as_str).collect();
        assert_eq!(globs, ["stripe_*"]);
        assert_eq!(given.state.invitations().count(), 0);
    }
}

#[test]
fn owners_and_editors_wait_until_an_owner_confirms_the_key() {
    for role in [Role::Owner, Role::Editor] {
        let given = invited(role).and(OWNER, create(1, "Stripe_Key"));
        given
            .when(OWNER, confirm(CODE, ANA))
            .rejected(Code::Conflict);
        given.when_accepted(CODE, ANA).happens(&["member.accepted"]);
        let given = given.accepted(CODE, ANA);
        assert_eq!(given.role(ANA), None);
        given.when(ANA, reveal("Stripe_Key")).rejected(Code::Denied);
        // Whoever asks again learns that it waits; nobody confirms their own acceptance.
        given.when_accepted(CODE, ANA).rejected(Code::Conflict);
        given.when(ANA, confirm(CODE, ANA)).rejected(Code::Denied);
        given.when(CODE, confirm(CODE, ANA)).rejected(Code::Denied);
        // The owner names the key whose fingerprint both compared.
        given
            .when(OWNER, confirm(CODE, EVE))
            .rejected(Code::Conflict);
        given
            .when(OWNER, confirm(CODE, ANA))
            .happens(&["member.confirmed", "member.added"]);
        let given = given.and(OWNER, confirm(CODE, ANA));
        assert_eq!(given.role(ANA), Some(role));
        given
            .when(OWNER, confirm(CODE, ANA))
            .rejected(Code::NotFound);
    }
}

#[test]
fn a_stolen_link_that_is_used_second_is_refused_and_used_first_is_not_confirmed() {
    let given = invited(Role::Reader).accepted(CODE, ANA);
    given.when_accepted(CODE, EVE).rejected(Code::Denied);
    // Eve was first, but her fingerprint is not Ana's.
    let given = invited(Role::Editor).accepted(CODE, EVE);
    given.when_accepted(CODE, ANA).rejected(Code::Denied);
    given
        .when(OWNER, confirm(CODE, ANA))
        .rejected(Code::Conflict);
    assert_ne!(fingerprint(&id(EVE)), fingerprint(&id(ANA)));
    let given = given.and(OWNER, revoke(CODE));
    given
        .when(OWNER, confirm(CODE, EVE))
        .rejected(Code::NotFound);
    assert_eq!(given.role(EVE), None);
}

#[test]
fn an_invitation_with_a_principal_is_for_that_key_alone_and_waits_for_nobody() {
    let given = Given::workspace().and(
        OWNER,
        Action::MemberInvite(MemberInvite {
            principal: Some(principal(ANA)),
            ..invitation(CODE, "ana", Role::Editor)
        }),
    );
    given.when_accepted(CODE, EVE).rejected(Code::Denied);
    given
        .when_accepted(CODE, ANA)
        .happens(&["member.accepted", "member.added"]);
}

#[test]
fn all_refusals_of_codes_are_the_same_and_make_no_entry() {
    let used = invited(Role::Viewer).accepted(CODE, ANA);
    let revoked = invited(Role::Viewer).and(OWNER, revoke(CODE));
    let lapsed = invited(Role::Viewer).later(7 * DAY);
    let taken = invited(Role::Editor).accepted(CODE, ANA);
    let nothing = Given::nothing();
    let wrong = Given::workspace();
    let refusal = wrong.refusal(CODE, EVE);
    assert_eq!(refusal.code, Code::Denied);
    for given in [used, revoked, lapsed, taken, nothing] {
        assert_eq!(given.refusal(CODE, EVE), refusal);
    }
    assert!(!refusal.message.contains("ana"), "{}", refusal.message);
}

#[test]
fn a_code_lasts_seven_days_and_a_confirmation_may_take_as_long() {
    let given = invited(Role::Editor).later(7 * DAY - 1);
    given.when_accepted(CODE, ANA).happens(&["member.accepted"]);
    given
        .later(1)
        .when_accepted(CODE, ANA)
        .rejected(Code::Denied);
    let given = invited(Role::Editor).later(7 * DAY - 1).accepted(CODE, ANA);
    let given = given.later(7 * DAY - 1);
    given
        .when(OWNER, confirm(CODE, ANA))
        .happens(&["member.confirmed", "member.added"]);
    given
        .later(1)
        .when(OWNER, confirm(CODE, ANA))
        .rejected(Code::Conflict);
}

#[test]
fn the_end_of_the_membership_ends_its_invitation_too() {
    let ends = |at: u64| {
        Action::MemberInvite(MemberInvite {
            expires: Some(Millis(at)),
            ..invitation(CODE, "ana", Role::Viewer)
        })
    };
    let given = Given::workspace();
    given.when(OWNER, ends(START)).rejected(Code::InvalidField);
    let given = given.and(OWNER, ends(START + DAY)).later(DAY - 1);
    given
        .when_accepted(CODE, ANA)
        .happens(&["member.accepted", "member.added"]);
    given
        .later(1)
        .when_accepted(CODE, ANA)
        .rejected(Code::Denied);
}

#[test]
fn a_renewed_invitation_has_another_code_and_the_old_one_ends() {
    let renewal = |called: &str| {
        Action::MemberInvite(MemberInvite {
            renews: Some(public(CODE)),
            ..invitation(CODE_2, called, Role::Viewer)
        })
    };
    let given = invited(Role::Viewer);
    given
        .when(OWNER, invite(CODE_2, "ana", Role::Viewer))
        .rejected(Code::Conflict);
    given
        .when(OWNER, renewal("bob"))
        .rejected(Code::InvalidField);
    // Also late, as people come late.
    for days in [0, 36] {
        let given = invited(Role::Viewer)
            .later(days * DAY)
            .and(OWNER, renewal("Ana"));
        given.when_accepted(CODE, EVE).rejected(Code::Denied);
        given
            .when_accepted(CODE_2, ANA)
            .happens(&["member.accepted", "member.added"]);
        given.when(OWNER, renewal("ana")).rejected(Code::Conflict);
    }
    // An acceptance that nobody confirmed ends with its invitation.
    let given = invited(Role::Editor).accepted(CODE, EVE);
    let given = given.and(OWNER, renewal("ana"));
    given
        .when(OWNER, confirm(CODE, EVE))
        .rejected(Code::NotFound);
    let given = Given::workspace();
    given.when(OWNER, renewal("ana")).rejected(Code::NotFound);
}

#[test]
fn names_are_unique_among_members_and_invitations() {
    let given = invited(Role::Viewer).and(OWNER, add(BOB, "bob", Role::Viewer, &["*"]));
    for name in ["ANA", "Bob", "owner"] {
        given
            .when(OWNER, invite(CODE_2, name, Role::Viewer))
            .rejected(Code::Conflict);
    }
    given
        .when(OWNER, add(EVE, "ana", Role::Viewer, &["*"]))
        .rejected(Code::Conflict);
    let renamed = Action::MemberChange(record(BOB, "Ana", Role::Viewer, &["*"]));
    given.when(OWNER, renamed).rejected(Code::Conflict);
    // A lapsed invitation keeps its name for as long as it can be renewed.
    let given = given.later(37 * DAY - 1);
    given
        .when(OWNER, add(EVE, "ana", Role::Viewer, &["*"]))
        .rejected(Code::Conflict);
    let given = given.later(1);
    given
        .when(OWNER, add(EVE, "ana", Role::Viewer, &["*"]))
        .happens(&["member.added"]);
    let given = given.and(OWNER, invite(CODE_2, "ana", Role::Viewer));
    assert_eq!(given.state.invitations().count(), 1);
}

#[test]
fn names_and_patterns_follow_the_rules_of_members() {
    let given = Given::workspace();
    for name in ["Zo\u{200b}e", "ed25519:x"] {
        given
            .when(OWNER, invite(CODE, name, Role::Viewer))
            .rejected(Code::InvalidName);
    }
    let none = MemberInvite {
        secrets: vec![],
        ..invitation(CODE, "ana", Role::Viewer)
    };
    given
        .when(OWNER, Action::MemberInvite(none))
        .rejected(Code::InvalidField);
    let given = given.and(OWNER, invite(CODE, "ana", Role::Viewer));
    given
        .when(OWNER, invite(CODE, "bob", Role::Viewer))
        .rejected(Code::Conflict);
}

#[test]
fn only_unbounded_owners_invite_confirm_and_revoke() {
    let given = invited(Role::Editor)
        .and(OWNER, add(BOB, "bob", Role::Editor, &["*"]))
        .and(OWNER, add(OLGA, "olga", Role::Owner, &["a*"]))
        .accepted(CODE, ANA);
    for (actor, reason) in [(BOB, DenialReason::Role), (OLGA, DenialReason::Scope)] {
        for action in [
            invite(CODE_2, "new", Role::Viewer),
            confirm(CODE, ANA),
            revoke(CODE),
        ] {
            given.when(actor, action).denied(reason);
        }
    }
}

#[test]
fn invitations_end_when_their_inviter_may_manage_no_longer() {
    let team = || {
        Given::workspace()
            .and(OWNER, add(OLGA, "olga", Role::Owner, &["*"]))
            .and(OLGA, invite(CODE, "ana", Role::Viewer))
            .and(OWNER, invite(CODE_2, "bob", Role::Viewer))
    };
    let change = |role, globs: &[&str]| Action::MemberChange(record(OLGA, "olga", role, globs));
    for end in [
        remove(OLGA),
        change(Role::Editor, &["*"]),
        change(Role::Owner, &["a*"]),
    ] {
        let given = team().and(OWNER, end);
        given.when_accepted(CODE, ANA).rejected(Code::Denied);
        given
            .when_accepted(CODE_2, BOB)
            .happens(&["member.accepted", "member.added"]);
        // They do not come back with the right.
        let again = if given.role(OLGA).is_some() {
            change(Role::Owner, &["*"])
        } else {
            add(OLGA, "olga", Role::Owner, &["*"])
        };
        let given = given.and(OWNER, again);
        given.when_accepted(CODE, ANA).rejected(Code::Denied);
    }
    let given = team().and(OWNER, change(Role::Owner, &["*"]));
    given
        .when_accepted(CODE, ANA)
        .happens(&["member.accepted", "member.added"]);
}

#[test]
fn members_cannot_accept_and_former_ones_can() {
    let given = invited(Role::Viewer).and(OWNER, add(ANA, "other", Role::Viewer, &["*"]));
    given.when_accepted(CODE, ANA).rejected(Code::Conflict);
    let given = given.and(OWNER, remove(ANA));
    given
        .when_accepted(CODE, ANA)
        .happens(&["member.accepted", "member.added"]);
    let ordinal = |given: &Given| given.state.any_member(&id(ANA)).map(|ana| ana.ordinal);
    let before = ordinal(&given);
    assert_eq!(ordinal(&given.accepted(CODE, ANA)), before);
}

#[test]
fn invitations_have_a_bound() {
    let mut given = Given::workspace();
    for number in 0..limits::INVITATIONS {
        let one = MemberInvite {
            key: Identity(Digest::of(&number.to_be_bytes()).0),
            ..invitation(CODE, &format!("guest {number}"), Role::Viewer)
        };
        given = given.and(OWNER, Action::MemberInvite(one));
    }
    let more = invite(CODE, "ana", Role::Viewer);
    given.when(OWNER, more.clone()).rejected(Code::TooLarge);
    // They are forgotten after a while.
    let given = given.later(37 * DAY).and(OWNER, more);
    assert_eq!(given.state.invitations().count(), 1);
}

/// The bytes of an acceptance signed by `code`, with a flipped bit nowhere.
fn signed(given: &Given, code: u8, action: Action) -> Vec<u8> {
    cose::sign(&given.command(action), &key(code))
}

#[track_caller]
fn refused(bytes: &[u8], code: Code) {
    let verified = SignedCommand::decode(bytes).and_then(SignedCommand::verify);
    assert_eq!(verified.map(drop).map_err(|why| why.code), Err(code));
}

#[test]
fn the_proof_is_by_the_new_member_for_this_code_workspace_and_ledger() {
    let given = invited(Role::Viewer);
    let (code, ana) = (public(CODE), principal(ANA));
    let bound = binding(&LEDGER, &demo(), &code, &ana);
    // Another key's signature: nobody is made a member without their own consent.
    let other = signed(&given, CODE, acceptance(bound, ANA, EVE));
    refused(&other, Code::BadSignature);
    // Another principal under the same code and proof.
    let swapped = signed(&given, CODE, acceptance(bound, EVE, ANA));
    refused(&swapped, Code::BadSignature);
    for elsewhere in [
        binding(&LedgerId([9; 32]), &demo(), &code, &ana),
        binding(&LEDGER, &"other".parse().expect("name"), &code, &ana),
        binding(&LEDGER, &demo(), &public(CODE_2), &ana),
        binding(&LEDGER, &demo(), &code, &principal(EVE)),
    ] {
        let replayed = signed(&given, CODE, acceptance(elsewhere, ANA, ANA));
        refused(&replayed, Code::BadSignature);
    }
    // The code's key is no new member: whoever sent the code has it too.
    let own = signed(&given, CODE, accept(CODE, CODE));
    refused(&own, Code::Malformed);
    let mut claim = given.command(accept(CODE, ANA));
    claim.member = Some(id(OWNER));
    refused(&cose::sign(&claim, &key(CODE)), Code::Malformed);
}

#[test]
fn a_flipped_bit_in_an_acceptance_is_found() {
    let bytes = signed(&invited(Role::Viewer), CODE, accept(CODE, ANA));
    assert!(
        SignedCommand::decode(&bytes)
            .and_then(SignedCommand::verify)
            .is_ok()
    );
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let verified = SignedCommand::decode(&flipped).and_then(SignedCommand::verify);
        assert!(verified.is_err(), "byte {at}");
    }
}

#[test]
fn rules_before_4_know_no_invitations() {
    let given = Given::workspace().by(Rules::V3);
    for action in [
        invite(CODE, "ana", Role::Viewer),
        confirm(CODE, ANA),
        revoke(CODE),
    ] {
        given.when(OWNER, action).rejected(Code::Malformed);
    }
    given.when_accepted(CODE, ANA).rejected(Code::Malformed);
}
