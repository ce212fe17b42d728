//! Rules of membership.

use crate::authorize::may;
use crate::command::{DelegationRevoke, MemberRecord, MemberRemove, Nothing, Verified};
use crate::event::{DelegationRevoked, Event};
use crate::ids::{Identity, MemberId, Millis};
use crate::limits;
use crate::names::Glob;
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
    if rules >= Rules::V2 && present.is_none_or(|member| member.name != record.name) {
        record.name.check_visible()?;
        // Lists and the audit log show names where readers expect keys.
        if rules >= Rules::V3
            && record
                .name
                .as_str()
                .to_ascii_lowercase()
                .contains("ed25519:")
        {
            let message = "a member's name cannot look like a public key";
            return Err(Rejection::new(Code::InvalidName, message));
        }
    }
    let invalid = |message: String| Err(Rejection::new(Code::InvalidField, message));
    if record.secrets.is_empty() || record.secrets.len() > limits::GLOBS {
        return invalid(format!(
            "a member has 1 to {} name patterns; * allows every name",
            limits::GLOBS
        ));
    }
    if record.expires.is_some_and(|end| end <= now) {
        return invalid("the membership would have ended already".to_owned());
    }
    let other = |(identity, member): (&MemberId, &crate::state::Member)| {
        *identity != record.member
            && !member.removed
            && member
                .name
                .as_str()
                .eq_ignore_ascii_case(record.name.as_str())
    };
    if state.members().any(other) {
        let message = format!("another member is called {} already", record.name);
        return Err(Rejection::new(Code::Conflict, message));
    }
    Ok(())
}
