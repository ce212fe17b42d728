//! Invitations: the code's key, acceptances, and what is shown of them.

use ed25519_dalek::SigningKey;
use keyroll_core::command::{MemberAccept, MemberConfirm, MemberInvite, MemberRevoke, Nothing};
use keyroll_core::event::{MemberAccepted, MemberInvited};
use keyroll_core::invitation::{
    AcceptanceProof, AcceptanceStatement, InvitationCode, binding, fingerprint,
};
use keyroll_core::roles::Role;
use keyroll_core::sign_in::Principal;
use keyroll_core::{Action, Digest, Event, Identity, Millis, cose};
use keyroll_wire::query::{InvitationList, Question};
use keyroll_wire::reply::{AcceptedRow, InvitationRow, InvitationRows};
use serde_json::{Value, json};

use crate::forms;
use crate::world::{START, World, fixed, member, public};

/// When an invitation ends, or the confirmation of one that was accepted.
const UNTIL: Millis = Millis(START + 604_800_005);

type Act = (Action, Vec<Event>);

fn code() -> InvitationCode {
    InvitationCode::new(fixed("invitation code"))
}

/// The key that the code makes.
pub(crate) fn code_key(world: &World) -> SigningKey {
    code().key(&world.ledger, &world.workspace)
}

fn principal(key: &SigningKey) -> Principal {
    Principal::Key(public(key))
}

/// What bob consents to when he accepts.
pub(crate) fn bound(world: &World, who: &SigningKey) -> Digest {
    let code = public(&code_key(world));
    binding(&world.ledger, &world.workspace, &code, &principal(who))
}

/// The statement of `signer` over a binding.
pub(crate) fn statement(signer: &SigningKey, binding: Digest) -> Vec<u8> {
    cose::sign(&AcceptanceStatement { v: 1, binding }, signer)
}

/// Accepts for bob, by the proof of `proof`.
pub(crate) fn accept(world: &World, proof: Vec<u8>) -> Action {
    Action::MemberAccept(MemberAccept {
        proof: AcceptanceProof::Key(proof.into()),
        principal: principal(&world.bob),
    })
}

fn invite(key: Identity, renews: Option<Identity>, world: &World) -> Action {
    Action::MemberInvite(MemberInvite {
        key,
        name: "Bob".parse().expect("a member's name"),
        role: Role::Reader,
        expires: renews.map(|_| Millis(START + 7_200_000)),
        secrets: vec!["STRIPE_*".parse().expect("a pattern")],
        principal: renews.map(|_| principal(&world.bob)),
        renews,
    })
}

/// What an owner does.
pub(crate) fn of_owner(world: &World) -> Vec<Act> {
    let none = Nothing {};
    let key = public(&code_key(world));
    let invited = || vec![Event::MemberInvited(MemberInvited { until: UNTIL })];
    let confirm = MemberConfirm {
        key,
        member: member(&world.bob),
    };
    vec![
        (invite(key, None, world), invited()),
        (invite(key, Some(public(&world.nightly)), world), invited()),
        (
            Action::MemberConfirm(confirm),
            vec![Event::MemberConfirmed(none), Event::MemberAdded(none)],
        ),
        (
            Action::MemberRevoke(MemberRevoke { key }),
            vec![Event::MemberRevoked(none)],
        ),
    ]
}

/// What the code's key signs: one acceptance that makes a member, and one that an owner has to
/// confirm.
pub(crate) fn of_code(world: &World) -> Vec<Act> {
    let action = accept(world, statement(&world.bob, bound(world, &world.bob)));
    let accepted = |until| {
        Event::MemberAccepted(MemberAccepted {
            until,
            member: member(&world.bob),
        })
    };
    let joined = vec![accepted(None), Event::MemberAdded(Nothing {})];
    vec![
        (action.clone(), joined),
        (action, vec![accepted(Some(UNTIL))]),
    ]
}

/// The statement of an acceptance.
pub(crate) fn form(world: &World) -> Value {
    let bytes = statement(&world.bob, bound(world, &world.bob));
    forms::signed::<AcceptanceStatement>("acceptance", "signed-acceptance", &bytes)
}

/// A code with the key that it makes, and a fingerprint.
pub(crate) fn codes(world: &World) -> Value {
    json!([{
        "name": "an invitation's code and the new member's fingerprint",
        "code": code().to_text().as_str(),
        "ledger": world.ledger,
        "workspace": world.workspace,
        "key": public(&code_key(world)),
        "member": member(&world.bob),
        "fingerprint": fingerprint(&member(&world.bob)),
    }])
}

pub(crate) fn list(after: Option<Identity>) -> Question {
    let limit = 1_000;
    Question::InvitationList(InvitationList { after, limit })
}

pub(crate) fn rows(world: &World) -> InvitationRows {
    let key = public(&code_key(world));
    let row = |accepted: Option<AcceptedRow>| InvitationRow {
        by: member(&world.alice),
        key,
        name: "Bob".parse().expect("a member's name"),
        role: Role::Editor,
        until: UNTIL,
        by_name: "owner".parse().expect("a member's name"),
        expires: accepted.map(|_| Millis(START + 7_200_000)),
        secrets: vec!["STRIPE_*".parse().expect("a pattern")],
        accepted,
    };
    let accepted = AcceptedRow {
        at: Millis(START + 5),
        member: member(&world.bob),
    };
    InvitationRows {
        next: Some(key),
        rows: vec![row(None), row(Some(accepted))],
    }
}
