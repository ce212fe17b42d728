//! Authorization: whether the signer of a command may do what it asks for, by the role table of
//! [`crate::roles`], the member's patterns, and the key that signed for the member.

use crate::command::{Action, Purpose, SignedCommand};
use crate::event::DenialReason;
use crate::ids::{MemberId, Millis};
use crate::names::SecretName;
use crate::roles::{Permission, allows};
use crate::rules::Rules;
use crate::state::{Member, Signing, State};

/// A refusal for lack of permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The actor is not a member. There is no entry: otherwise anybody could fill the log.
    Stranger,
    /// The actor is a member. The refusal is recorded.
    Member(DenialReason),
}

/// The permission that an action needs; `None` for the ledger's own actions.
fn needed(rules: Rules, action: &Action, actor: MemberId) -> Option<Permission> {
    match action {
        Action::SecretReveal(reveal) => Some(match reveal.purpose {
            // Before rules 4, runners did not run programs.
            Purpose::Run(_) if rules < Rules::V4 => Permission::Reveal,
            Purpose::Run(_) | Purpose::Agent(_) | Purpose::Block(_) => Permission::Use,
            Purpose::View(_) | Purpose::Copy(_) | Purpose::Export(_) => Permission::Reveal,
        }),
        Action::SecretCreate(_)
        | Action::SecretImport(_)
        | Action::SecretEdit(_)
        | Action::SecretDescribe(_)
        | Action::SecretRename(_)
        | Action::SecretRollback(_)
        | Action::SecretDelete(_)
        | Action::SecretRestore(_)
        | Action::WorkflowSave(_)
        | Action::WorkflowRemove(_) => Some(Permission::Write),
        // Without an identity, `decide` revokes only delegations that the actor may revoke.
        Action::DelegationRevoke(revoke) if revoke.identity.is_none_or(|of| of == actor) => {
            Some(Permission::Read)
        }
        // Nobody needs a permission to sign in, or out.
        Action::SignInOpen(_) => Some(Permission::Read),
        Action::SignInClose(close) if close.member.is_none_or(|of| of == actor) => {
            Some(Permission::Read)
        }
        Action::SecretDestroy(_)
        | Action::KeyRotate(_)
        | Action::MemberAdd(_)
        | Action::MemberChange(_)
        | Action::MemberRemove(_)
        | Action::MemberInvite(_)
        | Action::MemberConfirm(_)
        | Action::MemberRevoke(_)
        | Action::DelegationRevoke(_)
        | Action::SignInClose(_) => Some(Permission::Manage),
        // Whoever accepts is no member yet: `decide` looks at the invitation instead.
        Action::MemberAccept(_)
        | Action::WorkspaceCreate(_)
        | Action::ValueErase(_)
        | Action::ValuesSweep(_)
        | Action::ValuesLose(_)
        | Action::KeyErase(_)
        | Action::LogTruncate(_)
        | Action::DenialsSummarize(_) => None,
    }
}

/// Whether the signer of a command may do what it asks for, by the state before it. The decision
/// depends on the names in the command, never on which secrets exist.
///
/// # Errors
/// The refusal.
pub fn authorize(
    rules: Rules,
    state: &State,
    signed: &SignedCommand,
    now: Millis,
) -> Result<(), Refusal> {
    let actor = signed.actor();
    let action = &signed.command().action;
    let Some(permission) = needed(rules, action, actor) else {
        let own = state.signing_key() == Some(signed.signer()) && signed.acts_for_itself();
        return if own {
            Ok(())
        } else {
            Err(refusal(state, signed, now))
        };
    };
    let member = state.member(&actor).ok_or(Refusal::Stranger)?;
    let signing = state.signing(signed, now);
    match signing {
        Signing::Delegated if !delegation_holds(state, signed, permission, now) => {
            return Err(Refusal::Member(DenialReason::Delegation));
        }
        // On a shared console a sign-in that manages would make the console an owner.
        Signing::SignIn if permission == Permission::Manage => {
            return Err(Refusal::Member(DenialReason::OwnKey));
        }
        Signing::Ended => return Err(Refusal::Member(DenialReason::SignIn)),
        Signing::Unknown => return Err(Refusal::Stranger),
        Signing::OwnKey | Signing::Delegated | Signing::SignIn => {}
    }
    // A membership that has ended may be extended: until then its sign-ins can be closed.
    let closes_own = matches!(action, Action::SignInClose(_)) && permission == Permission::Read;
    if closes_own && signing == Signing::OwnKey {
        return Ok(());
    }
    may(member, permission, &action.names(), now).map_err(Refusal::Member)
}

fn refusal(state: &State, signed: &SignedCommand, now: Millis) -> Refusal {
    if state.member(&signed.actor()).is_some() && state.is_of_member(signed, now) {
        Refusal::Member(DenialReason::Role)
    } else {
        Refusal::Stranger
    }
}

/// Whether `member` has `permission` for all of `names` at `now`. Queries use this too.
///
/// # Errors
/// The reason.
pub fn may(
    member: &Member,
    permission: Permission,
    names: &[&SecretName],
    now: Millis,
) -> Result<(), DenialReason> {
    if member.has_expired(now) {
        return Err(DenialReason::Expired);
    }
    if !allows(member.role, permission) {
        return Err(DenialReason::Role);
    }
    // A bounded owner could remove her own bounds, so managing members needs an unbounded owner.
    let bounded = permission == Permission::Manage && !member.is_lasting_owner();
    if bounded || names.iter().any(|name| !member.covers(name)) {
        return Err(DenialReason::Scope);
    }
    Ok(())
}

/// Whether the delegation, if there is one, allows the command. A delegated key may neither manage
/// nor revoke delegations.
fn delegation_holds(
    state: &State,
    signed: &SignedCommand,
    permission: Permission,
    now: Millis,
) -> bool {
    let Some(delegation) = signed.delegation() else {
        return true;
    };
    let revokes = matches!(signed.command().action, Action::DelegationRevoke(_));
    delegation.covers(state.ledger(), state.workspace(), now)
        && !state.is_revoked(&delegation.identity.into(), &delegation.key)
        && permission != Permission::Manage
        && !revokes
}
