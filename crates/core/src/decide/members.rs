//! Rules of membership.

use crate::authorize::may;
use crate::command::{DelegationRevoke, MemberRecord, MemberRemove, Nothing, Verified};
use crate::event::{DelegationRevoked, Event};
use crate::ids::{Identity, MemberId, Millis};
use crate::limits;
use crate::names::{Glob, MemberName};
use crate::rejection::{Code, Rejection};
use crate::roles::Permission;
use crate::rules::Rules;
use crate::state::State;

pub(super) fn add(
    rules: Rules,
    state: &State,
    record: &MemberRecord,
    now: Millis,
) -> Result<Vec<Event>, Rejection> {
    if let Some(known) = state.member(&record.member) {
        let message = format!(
            "{} is a member already, called {}",
            record.member, known.name
        );
        return Err(Rejection::new(Code::Conflict, message));
    }
    if state.members().count() >= limits::MEMBERS {
        let message = format!("a workspace has at most {} members", limits::MEMBERS);
        return Err(Rejection::new(Code::TooLarge, message));
    }
    check_record(rules, state, record, now)?;
    Ok(vec![Event::MemberAdded(Nothing {})])
}

pub(super) fn change(
    rules: Rules,
    state: &State,
    record: &MemberRecord,
    now: Millis,
) -> Result<Vec<Event>, Rejection> {
    present(state, &record.member)?;
    check_record(rules, state, record, now)?;
    let lasting = record.role == crate::roles::Role::Owner
        && record.expires.is_none()
        && record.secrets.contains(&Glob::any());
    if !lasting {
        another_owner(state, &record.member)?;
    }
    Ok(vec![Event::MemberChanged(Nothing {})])
}

pub(super) fn remove(state: &State, remove: &MemberRemove) -> Result<Vec<Event>, Rejection> {
    present(state, &remove.member)?;
    another_owner(state, &remove.member)?;
    Ok(vec![Event::MemberRemoved(Nothing {})])
}

/// Revokes the named delegation or, without an identity, those to the key that were seen in use.
pub(super) fn revoke(
    rules: Rules,
    state: &State,
    command: &Verified,
    revoke: &DelegationRevoke,
    now: Millis,
) -> Result<Vec<Event>, Rejection> {
    let ended = match revoke.identity {
        Some(identity) if state.is_revoked(&identity, &revoke.key) => return Err(ended_already()),
        Some(identity) => {
            check_revocations(state, &identity)?;
            DelegationRevoked::default()
        }
        None if rules < Rules::V3 => {
            let message = "rules before 3 want the identity that delegated";
            return Err(Rejection::new(Code::Malformed, message));
        }
        None => {
            let mut identities = in_use(state, command, &revoke.key, now)?;
            let full = |identity: &MemberId| check_revocations(state, identity).err();
            let first = identities.first().and_then(full);
            // An identity at its limit does not prevent the revocation for the others.
            identities.retain(|identity| full(identity).is_none());
            if let (true, Some(rejection)) = (identities.is_empty(), first) {
                return Err(rejection);
            }
            DelegationRevoked { identities }
        }
    };
    Ok(vec![Event::DelegationRevoked(ended)])
}

/// The identities whose delegations to a key were seen in use and still hold, as far as the actor
/// may revoke them.
fn in_use(
    state: &State,
    command: &Verified,
    key: &Identity,
    now: Millis,
) -> Result<Vec<MemberId>, Rejection> {
    let actor = command.actor();
    let manages = state
        .member(&actor)
        .is_some_and(|member| may(member, Permission::Manage, &[], now).is_ok());
    let seen: Vec<(MemberId, Millis)> = state
        .delegations()
        .filter(|((identity, of), _)| of == key && (manages || *identity == actor))
        .map(|((identity, _), end)| (*identity, *end))
        .collect();
    if seen.is_empty() {
        let whose = if manages { "" } else { " by you" };
        let message = format!(
            "no delegation{whose} to {key} has been seen in use: name the member with --of, which works for keys \
             that were never used"
        );
        return Err(Rejection::new(Code::NotFound, message));
    }
    let holds = |(identity, end): &(MemberId, Millis)| {
        (now <= *end && !state.is_revoked(identity, key)).then_some(*identity)
    };
    let open: Vec<MemberId> = seen.iter().filter_map(holds).collect();
    if open.is_empty() {
        return Err(ended_already());
    }
    Ok(open)
}

fn ended_already() -> Rejection {
    Rejection::new(Code::Conflict, "this delegation has ended already")
}

/// Checks that one more delegation of an identity can be revoked.
fn check_revocations(state: &State, identity: &MemberId) -> Result<(), Rejection> {
    let ended = state.revoked().filter(|(of, _)| of == identity).count();
    if ended < limits::REVOCATIONS {
        return Ok(());
    }
    let message = format!(
        "{} delegations of {identity} have been ended, no more are kept: delegations end by themselves within 12 h",
        limits::REVOCATIONS
    );
    Err(Rejection::new(Code::TooLarge, message))
}

fn present(state: &State, member: &MemberId) -> Result<(), Rejection> {
    if state.member(member).is_some() {
        return Ok(());
    }
    Err(Rejection::new(
        Code::NotFound,
        format!("{member} is not a member"),
    ))
}

fn another_owner(state: &State, member: &MemberId) -> Result<(), Rejection> {
    if state.lasting_owners().any(|owner| owner != member) {
        return Ok(());
    }
    let message = "the last owner stays: make another member an owner of * without end first";
    Err(Rejection::new(Code::Conflict, message))
}

fn check_record(
    rules: Rules,
    state: &State,
    record: &MemberRecord,
    now: Millis,
) -> Result<(), Rejection> {
    let present = state.member(&record.member);
    // A name that older rules accepted stays until it is changed.
    let renamed = present.is_none_or(|member| member.name != record.name);
    let terms = Terms {
        name: &record.name,
        expires: record.expires,
        secrets: &record.secrets,
        renamed,
    };
    check_terms(rules, &terms, now)?;
    check_name_is_free(state, &record.name, Some(&record.member), None, now)
}

/// What a membership and an invitation have in common.
pub(super) struct Terms<'a> {
    pub(super) name: &'a MemberName,
    pub(super) expires: Option<Millis>,
    pub(super) secrets: &'a [Glob],
    /// Whether the name is a new one.
    pub(super) renamed: bool,
}

pub(super) fn check_terms(rules: Rules, terms: &Terms<'_>, now: Millis) -> Result<(), Rejection> {
    if rules >= Rules::V2 && terms.renamed {
        terms.name.check_visible()?;
        // Lists and the audit log show names where readers expect keys.
        let folded = terms.name.as_str().to_ascii_lowercase();
        if rules >= Rules::V3 && folded.contains("ed25519:") {
            let message = "a member's name cannot look like a public key";
            return Err(Rejection::new(Code::InvalidName, message));
        }
    }
    let invalid = |message: String| Err(Rejection::new(Code::InvalidField, message));
    if terms.secrets.is_empty() || terms.secrets.len() > limits::GLOBS {
        return invalid(format!(
            "a member has 1 to {} name patterns; * allows every name",
            limits::GLOBS
        ));
    }
    if terms.expires.is_some_and(|end| end <= now) {
        return invalid("the membership would have ended already".to_owned());
    }
    Ok(())
}

/// Checks that a name is neither another member's nor another invitation's.
pub(super) fn check_name_is_free(
    state: &State,
    name: &MemberName,
    of: Option<&MemberId>,
    invitation: Option<&Identity>,
    now: Millis,
) -> Result<(), Rejection> {
    let same = |other: &MemberName| other.as_str().eq_ignore_ascii_case(name.as_str());
    let mut members = state.members();
    if members.any(|(id, other)| Some(id) != of && !other.removed && same(&other.name)) {
        let message = format!("another member is called {name} already");
        return Err(Rejection::new(Code::Conflict, message));
    }
    let mut invited = state.invitations();
    if invited.any(|(key, other)| {
        Some(key) != invitation && !other.is_forgotten(now) && same(&other.name)
    }) {
        let message = format!(
            "{name} is invited already: renew the invitation (`keyroll member invite {name} --renew`), or end it \
             (`keyroll member revoke {name}`)"
        );
        return Err(Rejection::new(Code::Conflict, message));
    }
    Ok(())
}
