//! Rules of invitations.

use super::members::{Terms, check_name_is_free, check_terms};
use crate::authorize::may;
use crate::command::{MemberAccept, MemberConfirm, MemberInvite, MemberRevoke, Nothing, Verified};
use crate::event::{Event, MemberAccepted, MemberInvited};
use crate::ids::{Identity, MemberId, Millis};
use crate::limits;
use crate::rejection::{Code, Rejection};
use crate::roles::Permission;
use crate::rules::Rules;
use crate::state::{Invitation, State};

fn rejected<T>(code: Code, message: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::new(code, message))
}

/// The refusal of an acceptance: the same for every reason, and for a workspace that does not exist.
/// Whoever guesses codes learns nothing of members and invitations.
pub fn no_such_invitation() -> Rejection {
    let message = "this invitation cannot be accepted: it was used, ended or renewed, or is older than seven days. \
                   Ask the person who invited you for a new link";
    Rejection::new(Code::Denied, message)
}

pub(super) fn invite(
    rules: Rules,
    state: &State,
    invite: &MemberInvite,
    now: Millis,
) -> Result<Vec<Event>, Rejection> {
    if state.invitation(&invite.key).is_some() {
        let message = "an invitation with this code exists already: make a new code for each";
        return rejected(Code::Conflict, message);
    }
    if let Some(old) = &invite.renews {
        check_renews(state, old, invite)?;
    }
    let terms = Terms {
        name: &invite.name,
        expires: invite.expires,
        secrets: &invite.secrets,
        renamed: true,
    };
    check_terms(rules, &terms, now)?;
    check_name_is_free(state, &invite.name, None, invite.renews.as_ref(), now)?;
    let remembered = state.invitations();
    let others = remembered
        .filter(|(key, known)| Some(*key) != invite.renews.as_ref() && !known.is_forgotten(now))
        .count();
    if others >= limits::INVITATIONS {
        let message = format!(
            "a workspace has at most {} invitations: end some with `keyroll member revoke`",
            limits::INVITATIONS
        );
        return rejected(Code::TooLarge, message);
    }
    check_members(state, None)?;
    let until = Millis(now.0.saturating_add(limits::INVITATION_MS));
    Ok(vec![Event::MemberInvited(MemberInvited { until })])
}

fn check_renews(state: &State, old: &Identity, invite: &MemberInvite) -> Result<(), Rejection> {
    let old = find(state, old)?;
    if old.name.as_str().eq_ignore_ascii_case(invite.name.as_str()) {
        return Ok(());
    }
    let message = format!("the invitation to renew is for {}", old.name);
    rejected(Code::InvalidField, message)
}

/// Decides an acceptance, by whoever has a code. A refusal makes no entry: otherwise anybody could
/// fill the log. The proof of the new member was verified with the command's signature.
pub(super) fn accept(
    state: &State,
    command: &Verified,
    accept: &MemberAccept,
    now: Millis,
) -> Result<Vec<Event>, Rejection> {
    let member = accept.member();
    // Only the member itself learns this, as its own key signed the proof.
    if state.member(&member).is_some() {
        let message = format!("you are a member of {} already", state.workspace());
        return rejected(Code::Conflict, message);
    }
    let invitation = state.invitation(&command.signer());
    let open = invitation.filter(|invitation| is_open(state, invitation, now));
    let Some(invitation) = open else {
        return Err(no_such_invitation());
    };
    if let Some(rule) = &invitation.principal
        && *rule != accept.principal
    {
        return Err(no_such_invitation());
    }
    match invitation.accepted {
        Some(accepted) if accepted.member == member => {
            let message = "you have accepted already: an owner has to confirm your fingerprint";
            return rejected(Code::Conflict, message);
        }
        Some(_) => return Err(no_such_invitation()),
        None => {}
    }
    check_members(state, Some(&member))?;
    if invitation.needs_confirmation() {
        let until = Some(Millis(now.0.saturating_add(limits::INVITATION_MS)));
        return Ok(vec![Event::MemberAccepted(MemberAccepted {
            until,
            member,
        })]);
    }
    let until = None;
    Ok(vec![
        Event::MemberAccepted(MemberAccepted { until, member }),
        Event::MemberAdded(Nothing {}),
    ])
}

/// Whether an invitation leads to a membership at `now`.
fn is_open(state: &State, invitation: &Invitation, now: Millis) -> bool {
    let inviter = state.member(&invitation.by);
    !invitation.has_lapsed(now)
        && invitation.expires.is_none_or(|end| end > now)
        && inviter.is_some_and(|inviter| may(inviter, Permission::Manage, &[], now).is_ok())
}

pub(super) fn confirm(
    state: &State,
    confirm: MemberConfirm,
    now: Millis,
) -> Result<Vec<Event>, Rejection> {
    let invitation = find(state, &confirm.key)?;
    let name = &invitation.name;
    let Some(accepted) = invitation.accepted else {
        return rejected(Code::Conflict, format!("{name} has not accepted yet"));
    };
    if accepted.member != confirm.member {
        let message = format!(
            "another key has accepted the invitation of {name}: compare its fingerprint, {}",
            crate::invitation::fingerprint(&accepted.member)
        );
        return rejected(Code::Conflict, message);
    }
    if state.member(&confirm.member).is_some() {
        let message = format!("{} is a member already", confirm.member);
        return rejected(Code::Conflict, message);
    }
    if !is_open(state, invitation, now) {
        let message = format!(
            "the acceptance by {name} is too old: renew the invitation with `keyroll member invite {name} --renew`"
        );
        return rejected(Code::Conflict, message);
    }
    check_members(state, Some(&confirm.member))?;
    Ok(vec![
        Event::MemberConfirmed(Nothing {}),
        Event::MemberAdded(Nothing {}),
    ])
}

pub(super) fn revoke(state: &State, revoke: MemberRevoke) -> Result<Vec<Event>, Rejection> {
    find(state, &revoke.key)?;
    Ok(vec![Event::MemberRevoked(Nothing {})])
}

fn find<'a>(state: &'a State, key: &Identity) -> Result<&'a Invitation, Rejection> {
    state.invitation(key).ok_or_else(|| {
        let message = "there is no such invitation: it was used, ended or renewed";
        Rejection::new(Code::NotFound, message)
    })
}

/// Checks that there is room for one more member, unless it was one before.
fn check_members(state: &State, member: Option<&MemberId>) -> Result<(), Rejection> {
    let known = member.is_some_and(|member| state.any_member(member).is_some());
    if known || state.members().count() < limits::MEMBERS {
        return Ok(());
    }
    let message = format!("a workspace has at most {} members", limits::MEMBERS);
    rejected(Code::TooLarge, message)
}
