//! `decide` turns a command on a state into events or a refusal. It is pure: the same rules, state,
//! command and time give everybody the same result.

mod erasure;
mod invitations;
mod members;
mod recovery;
mod secrets;
mod sign_ins;
#[cfg(test)]
mod tests;
mod workflows;

pub use invitations::no_such_invitation;

use crate::authorize::{Refusal, authorize};
use crate::command::{Action, Command, Nothing, Purpose, Verified};
use crate::event::{AccessDenied, DenialReason, Event, WorkspaceCreated};
use crate::ids::Millis;
use crate::limits;
use crate::names::WorkspaceName;
use crate::rejection::{Code, Rejection};
use crate::roles::Role;
use crate::rules::Rules;
use crate::state::State;

/// Largest refused command that is kept in an entry: a refusal must not cost more log than this.
const DENIED_BYTES: usize = 4 * 1024;

/// Facts that a decision needs and the state does not have.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Whether the ledger's configuration names the actor as an operator.
    pub operator: bool,
    /// The ledger's online key, for a workspace's first entry.
    pub key: WorkspaceCreated,
}

/// Decides a command by `rules`: [`Rules::CURRENT`] for a new command, those of its commit for a
/// command in the log.
///
/// The order of checks is: address (this ledger and workspace), freshness, permission (on the names
/// in the command), and only then existence.
///
/// # Errors
/// The refusal. A member's refusal for lack of permission is not an error but the event
/// `access.denied`, up to a number of such entries per minute.
pub fn decide(
    rules: Rules,
    state: &State,
    command: &Verified,
    now: Millis,
    authority: &Authority,
) -> Result<Vec<Event>, Rejection> {
    addressed(state, command)?;
    fresh(command, now)?;
    known_by(rules, command.command())?;
    if let Action::WorkspaceCreate(_) = command.command().action {
        return create_workspace(state, command, authority);
    }
    if let Action::MemberAccept(accept) = &command.command().action {
        return invitations::accept(state, command, accept, now);
    }
    if state.created().is_none() {
        let message = format!("there is no workspace {}", state.workspace());
        return Err(Rejection::new(Code::NotFound, message));
    }
    match authorize(rules, state, command, now) {
        Ok(()) => {}
        Err(Refusal::Stranger) => return Err(not_a_member(state.workspace())),
        Err(Refusal::Member(reason)) => return deny(state, command, now, reason),
    }
    match decide_action(rules, state, command, now) {
        Err(Stop::Denied(reason)) => deny(state, command, now, reason),
        Err(Stop::Rejected(rejection)) => Err(rejection),
        Ok(events) => Ok(events),
    }
}

/// Why a permitted action is still refused.
enum Stop {
    /// The secret itself is restricted.
    Denied(DenialReason),
    /// Anything else.
    Rejected(Rejection),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

fn decide_action(
    rules: Rules,
    state: &State,
    command: &Verified,
    now: Millis,
) -> Result<Vec<Event>, Stop> {
    let one = |event: Event| Ok(vec![event]);
    match &command.command().action {
        Action::MemberAdd(record) => Ok(members::add(rules, state, record, now)?),
        Action::MemberChange(record) => Ok(members::change(rules, state, record, now)?),
        Action::MemberRemove(remove) => Ok(members::remove(state, remove)?),
        Action::MemberInvite(invite) => Ok(invitations::invite(rules, state, invite, now)?),
        Action::MemberConfirm(confirm) => Ok(invitations::confirm(state, *confirm, now)?),
        Action::MemberRevoke(revoke) => Ok(invitations::revoke(state, *revoke)?),
        Action::SecretCreate(create) => Ok(secrets::create(
            state,
            command,
            std::slice::from_ref(&create.secret),
        )?),
        Action::SecretImport(import) => Ok(secrets::create(state, command, &import.secrets)?),
        Action::SecretEdit(edit) => Ok(secrets::edit(state, command, edit)?),
        Action::SecretRollback(rollback) => Ok(secrets::rollback(state, command, rollback)?),
        Action::SecretDescribe(describe) => Ok(secrets::describe(state, describe)?),
        Action::SecretRename(rename) => Ok(secrets::rename(state, rename)?),
        Action::SecretReveal(reveal) => secrets::reveal(state, command, reveal),
        Action::SecretDelete(secret) => Ok(secrets::delete(state, secret)?),
        Action::SecretRestore(secret) => Ok(secrets::restore(state, secret)?),
        Action::WorkflowSave(save) => workflows::save(state, command, save),
        Action::WorkflowRemove(remove) => workflows::remove(state, command, remove),
        Action::DelegationRevoke(revoke) => {
            Ok(members::revoke(rules, state, command, revoke, now)?)
        }
        Action::SignInOpen(open) => Ok(sign_ins::open(state, command, open, now)?),
        Action::SignInClose(close) => sign_ins::close(state, command, close, now),
        Action::SecretDestroy(destroy) => Ok(erasure::destroy(state, destroy)?),
        Action::KeyRotate(_) => Ok(erasure::rotate(state)?),
        Action::ValueErase(erase) => Ok(erasure::erase(state, erase)?),
        Action::ValuesSweep(sweep) => Ok(erasure::sweep(state, sweep)?),
        Action::ValuesLose(lose) => Ok(recovery::lose(state, lose)?),
        Action::KeyErase(erase) => Ok(erasure::erase_key(state, *erase)?),
        Action::LogTruncate(truncate) => Ok(recovery::truncate(state, *truncate)?),
        Action::DenialsSummarize(_) => one(Event::DenialsSummarized(Nothing {})),
        // Neither needs a permission, so they were decided before.
        Action::MemberAccept(_) => Err(not_a_member(state.workspace()).into()),
        Action::WorkspaceCreate(_) => {
            let message = format!("workspace {} exists already", state.workspace());
            Err(Rejection::new(Code::Conflict, message).into())
        }
    }
}

fn addressed(state: &State, command: &Verified) -> Result<(), Rejection> {
    let command = command.command();
    if command.ledger != *state.ledger() {
        let message = format!(
            "the command is for ledger {}, this is {}",
            command.ledger,
            state.ledger()
        );
        return Err(Rejection::new(Code::WrongLedger, message));
    }
    if command.workspace != *state.workspace() {
        let message = format!("the command is for workspace {}", command.workspace);
        return Err(Rejection::new(Code::WrongWorkspace, message));
    }
    Ok(())
}

fn fresh(command: &Verified, now: Millis) -> Result<(), Rejection> {
    let apart = command.command().at.0.abs_diff(now.0);
    if apart <= limits::FRESH_MS {
        return Ok(());
    }
    let side = if command.command().at < now {
        "old"
    } else {
        "from the future"
    };
    let message = format!(
        "the command is {} s {side}, at most {} s are allowed: check the clocks, sign it again",
        apart / 1_000,
        limits::FRESH_MS / 1_000
    );
    Err(Rejection::new(Code::Stale, message))
}

/// Refuses forms that later rules brought, as programs of these rules did: such a program could not
/// read them. Rules 4 have no delegations: members sign in.
fn known_by(rules: Rules, command: &Command) -> Result<(), Rejection> {
    let action = &command.action;
    if rules >= Rules::V4 {
        let revokes = matches!(action, Action::DelegationRevoke(_));
        return if command.delegation.is_some() || revokes {
            Err(delegations_ended())
        } else {
            Ok(())
        };
    }
    let signs_in = matches!(action, Action::SignInOpen(_) | Action::SignInClose(_));
    let invites = matches!(
        action,
        Action::MemberInvite(_)
            | Action::MemberAccept(_)
            | Action::MemberConfirm(_)
            | Action::MemberRevoke(_)
    );
    let later = if command.member.is_some() || signs_in {
        Some("sign-ins")
    } else if invites {
        Some("invitations")
    } else if let Action::MemberAdd(record) | Action::MemberChange(record) = action {
        (record.role == Role::Reader).then_some("role reader")
    } else if let Action::SecretReveal(reveal) = action {
        matches!(reveal.purpose, Purpose::Agent(_)).then_some("purpose agent")
    } else {
        matches!(action, Action::SignInOpen(_) | Action::SignInClose(_)).then_some("sign-ins")
    };
    let later = later.or_else(|| command.member.map(|_| "sign-ins"));
    later.map_or(Ok(()), |later| {
        let message = format!("rules before 4 have no {later}");
        Err(Rejection::new(Code::Malformed, message))
    })
}

/// The refusal of everything that belongs to delegations.
pub fn delegations_ended() -> Rejection {
    let message = "delegations have ended: sign in with `keyroll login`, or with `keyroll console login` for a \
                   console, both of this version of keyroll";
    Rejection::new(Code::Denied, message)
}

fn create_workspace(
    state: &State,
    command: &Verified,
    authority: &Authority,
) -> Result<Vec<Event>, Rejection> {
    // The actor becomes the owner, and a claim to be somebody else's sign-in proves nothing here.
    if !authority.operator || command.command().member.is_some() {
        let message = "only operators named in the ledger's configuration may create workspaces";
        return Err(Rejection::new(Code::Denied, message));
    }
    if state.created().is_some() {
        let message = format!("workspace {} exists already", state.workspace());
        return Err(Rejection::new(Code::Conflict, message));
    }
    Ok(vec![Event::WorkspaceCreated(authority.key.clone())])
}

/// The refusal for strangers, the same whether or not the workspace exists.
pub fn not_a_member(workspace: &WorkspaceName) -> Rejection {
    let message = format!("you are not a member of workspace {workspace}");
    Rejection::new(Code::Denied, message)
}

/// The message for a refused member, the same whether or not anything exists under the names.
pub fn denial_message(action: &str, reason: DenialReason) -> String {
    let why = match reason {
        DenialReason::Expired => "your membership has ended",
        DenialReason::Role => "your role does not allow it",
        DenialReason::Scope => "a name is outside the patterns you were given",
        DenialReason::Restricted => {
            "a secret is restricted: only blocks of members with the role runner can use it"
        }
        DenialReason::Delegation => "the delegated key may not do this, or no longer",
        DenialReason::SignIn => "your sign-in has ended: sign in again with `keyroll login`",
        DenialReason::OwnKey => {
            "this needs your own key: use your identity file, at a terminal, not a sign-in"
        }
    };
    format!("{action}: {why}")
}

/// The answer to a command whose only result is a recorded refusal.
pub fn denied(action: &Action, events: &[Event]) -> Option<Rejection> {
    match events {
        [Event::AccessDenied(denied)] => {
            let message = denial_message(action.name(), denied.reason);
            Some(Rejection::new(Code::Denied, message))
        }
        _ => None,
    }
}

fn deny(
    state: &State,
    command: &Verified,
    now: Millis,
    reason: DenialReason,
) -> Result<Vec<Event>, Rejection> {
    if command.bytes().len() <= DENIED_BYTES && state.records_denial(&command.actor(), now) {
        return Ok(vec![Event::AccessDenied(AccessDenied { reason })]);
    }
    let message = denial_message(command.command().action.name(), reason);
    Err(Rejection::new(Code::Denied, message))
}
