//! Rules of secrets.

use std::collections::BTreeSet;

use super::Stop;
use crate::command::{
    NewSecret, Nothing, Purpose, RevealItem, SecretDescribe, SecretEdit, SecretRef, SecretRename,
    SecretReveal, SecretRollback, Verified,
};
use crate::crypto::is_sealed_size;
use crate::event::{DenialReason, Event, Revealed, SecretRevealed, Stored};
use crate::ids::{Digest, ObjectId, SecretId, Version};
use crate::limits;
use crate::names::SecretName;
use crate::rejection::{Code, Rejection};
use crate::roles::{Permission, allows};
use crate::state::{Lifecycle, Secret, State, ValueState};

fn rejected<T>(code: Code, message: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::new(code, message))
}

pub(super) fn create(
    state: &State,
    command: &Verified,
    new: &[NewSecret],
) -> Result<Vec<Event>, Rejection> {
    if new.is_empty() || new.len() > limits::IMPORT_SECRETS {
        let message = format!("one command makes 1 to {} secrets", limits::IMPORT_SECRETS);
        return rejected(Code::InvalidField, message);
    }
    if state.row().last_secret as usize + new.len() > limits::SECRETS {
        return rejected(
            Code::TooLarge,
            format!("a workspace has at most {} secrets", limits::SECRETS),
        );
    }
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut events = Vec::with_capacity(new.len());
    for (item, secret) in (0_u32..).zip(new) {
        check_new(state, secret)?;
        if !ids.insert(secret.id) || !names.insert(secret.name.folded()) {
            return rejected(
                Code::Conflict,
                format!("{} stands twice in one command", secret.name),
            );
        }
        events.push(Event::SecretCreated(stored(
            state,
            command,
            item,
            secret.digest,
        )));
    }
    Ok(events)
}

fn check_new(state: &State, new: &NewSecret) -> Result<(), Rejection> {
    check_hosts(new.hosts.len())?;
    check_size(new.size)?;
    if let Some((_, known)) = state.named(&new.name) {
        return rejected(
            Code::Conflict,
            format!("the name {} is taken (by {})", new.name, known.name),
        );
    }
    if state.secret(&new.id).is_some() {
        return rejected(
            Code::Conflict,
            "the secret id was used before: ids are never used again",
        );
    }
    Ok(())
}

fn check_hosts(count: usize) -> Result<(), Rejection> {
    if count <= limits::HOSTS {
        return Ok(());
    }
    rejected(
        Code::InvalidField,
        format!("a secret is bound to at most {} hosts", limits::HOSTS),
    )
}

fn check_size(size: u32) -> Result<(), Rejection> {
    if is_sealed_size(size) {
        return Ok(());
    }
    rejected(
        Code::InvalidField,
        format!("no sealed value has {size} bytes"),
    )
}

fn stored(state: &State, command: &Verified, item: u32, digest: Digest) -> Stored {
    let place = ObjectId::of(&command.actor(), &command.command().id, item, &digest);
    Stored {
        item,
        epoch: state.epoch(),
        place,
    }
}

/// The active secret that a command names by id and name.
fn active<'a>(state: &'a State, id: &SecretId, name: &SecretName) -> Result<&'a Secret, Rejection> {
    let secret = known(state, id, name)?;
    match secret.lifecycle {
        Lifecycle::Active => Ok(secret),
        Lifecycle::Deleted => rejected(
            Code::Deleted,
            format!("{name} is deleted: restore it first"),
        ),
        Lifecycle::Destroyed => rejected(Code::Destroyed, format!("{name} is destroyed")),
    }
}

pub(super) fn known<'a>(
    state: &'a State,
    id: &SecretId,
    name: &SecretName,
) -> Result<&'a Secret, Rejection> {
    let Some(secret) = state.secret(id) else {
        return rejected(
            Code::NotFound,
            format!("there is no secret {name} with id {id}"),
        );
    };
    if secret.name != *name {
        return rejected(
            Code::Conflict,
            format!("the secret {id} is not called {name} (any more)"),
        );
    }
    Ok(secret)
}

pub(super) fn edit(
    state: &State,
    command: &Verified,
    edit: &SecretEdit,
) -> Result<Vec<Event>, Rejection> {
    let secret = active(state, &edit.id, &edit.name)?;
    check_size(edit.size)?;
    if edit.version != secret.current().next() {
        let message = format!(
            "{} is at version {} now: look at it before you replace it",
            edit.name,
            secret.current()
        );
        return rejected(Code::Conflict, message);
    }
    Ok(vec![Event::SecretEdited(stored(
        state,
        command,
        0,
        edit.digest,
    ))])
}

pub(super) fn rollback(
    state: &State,
    command: &Verified,
    rollback: &SecretRollback,
) -> Result<Vec<Event>, Rejection> {
    let secret = active(state, &rollback.edit.id, &rollback.edit.name)?;
    live(secret, &rollback.edit.name, rollback.from)?;
    edit(state, command, &rollback.edit)
}

pub(super) fn describe(state: &State, describe: &SecretDescribe) -> Result<Vec<Event>, Rejection> {
    let secret = active(state, &describe.id, &describe.name)?;
    // Otherwise a member who may write could lift the restriction and then see the value.
    if secret.restricted && describe.restricted == Some(false) {
        let message = format!(
            "{} stays restricted, as its values were given for blocks alone: make another secret",
            describe.name
        );
        return rejected(Code::Conflict, message);
    }
    check_hosts(describe.hosts.as_ref().map_or(0, Vec::len))?;
    let nothing = describe.hosts.is_none()
        && describe.restricted.is_none()
        && describe.description.is_none()
        && describe.rotate_every.is_none();
    if nothing {
        return rejected(
            Code::InvalidField,
            "nothing to change: give at least one field",
        );
    }
    Ok(vec![Event::SecretDescribed(Nothing {})])
}

pub(super) fn rename(state: &State, rename: &SecretRename) -> Result<Vec<Event>, Rejection> {
    active(state, &rename.id, &rename.name)?;
    if rename.to == rename.name {
        return rejected(
            Code::InvalidField,
            format!("it is called {} already", rename.name),
        );
    }
    if state
        .named(&rename.to)
        .is_some_and(|(id, _)| id != rename.id)
    {
        return rejected(Code::Conflict, format!("the name {} is taken", rename.to));
    }
    Ok(vec![Event::SecretRenamed(Nothing {})])
}

pub(super) fn delete(state: &State, secret: &SecretRef) -> Result<Vec<Event>, Rejection> {
    active(state, &secret.id, &secret.name)?;
    Ok(vec![Event::SecretDeleted(Nothing {})])
}

pub(super) fn restore(state: &State, secret: &SecretRef) -> Result<Vec<Event>, Rejection> {
    match known(state, &secret.id, &secret.name)?.lifecycle {
        Lifecycle::Active => rejected(Code::Conflict, format!("{} is not deleted", secret.name)),
        Lifecycle::Destroyed => rejected(Code::Destroyed, format!("{} is destroyed", secret.name)),
        Lifecycle::Deleted => match state.named(&secret.name) {
            Some((other, _)) => {
                let message = format!(
                    "another secret has the name {} now ({other}): rename that one first, then restore {}",
                    secret.name, secret.id
                );
                rejected(Code::Conflict, message)
            }
            None => Ok(vec![Event::SecretRestored(Nothing {})]),
        },
    }
}

pub(super) fn reveal(
    state: &State,
    command: &Verified,
    reveal: &SecretReveal,
) -> Result<Vec<Event>, Stop> {
    if reveal.names.is_empty() || reveal.names.len() > limits::REVEAL_SECRETS {
        let message = format!("one command reveals 1 to {} values", limits::REVEAL_SECRETS);
        return Err(Rejection::new(Code::InvalidField, message).into());
    }
    let mut seen = BTreeSet::new();
    let (mut bytes, mut around) = (0_u64, limits::REPLY_OVERHEAD + command.bytes().len() as u64);
    let mut secrets = Vec::with_capacity(reveal.names.len());
    for item in &reveal.names {
        if !seen.insert((item.name.folded(), item.version)) {
            let message = format!("{} stands twice in one command", item.name);
            return Err(Rejection::new(Code::InvalidField, message).into());
        }
        let (one, size) = reveal_one(state, command, reveal, item)?;
        bytes += u64::from(size);
        let hosts: usize = one.hosts.iter().map(|host| host.as_str().len() + 3).sum();
        around += limits::RELEASED_OVERHEAD + hosts as u64 + 2 * one.name.as_str().len() as u64;
        secrets.push(one);
    }
    if bytes > limits::REVEAL_BYTES || bytes + around > limits::REPLY_BYTES {
        let message = format!("{bytes} sealed bytes do not fit one reply: reveal fewer at once");
        return Err(Rejection::new(Code::TooLarge, message).into());
    }
    Ok(vec![Event::SecretRevealed(SecretRevealed { secrets })])
}

fn reveal_one(
    state: &State,
    command: &Verified,
    reveal: &SecretReveal,
    item: &RevealItem,
) -> Result<(Revealed, u32), Stop> {
    let name = &item.name;
    let (id, secret) = find(state, name)?;
    if item.id.is_some_and(|expected| expected != id) {
        let message = format!("{name} is another secret now");
        return Err(Rejection::new(Code::Conflict, message).into());
    }
    // A restricted secret is for blocks alone, whoever asks: whoever stored it was told so.
    let allowed = state
        .member(&command.actor())
        .is_some_and(|member| allows(member.role, Permission::UseRestricted));
    if secret.restricted && !(allowed && matches!(reveal.purpose, Purpose::Block(_))) {
        return Err(Stop::Denied(DenialReason::Restricted));
    }
    let version = item.version.unwrap_or_else(|| secret.current());
    let info = live(secret, name, version)?;
    let revealed = Revealed {
        id,
        name: secret.name.clone(),
        hosts: secret.hosts.clone(),
        digest: info.digest,
        version,
    };
    Ok((revealed, info.size))
}

/// The active secret under exactly this name.
fn find<'a>(state: &'a State, name: &SecretName) -> Result<(SecretId, &'a Secret), Rejection> {
    match state.named(name) {
        Some((id, secret)) if secret.name == *name => Ok((id, secret)),
        Some((_, secret)) => {
            let message = format!("there is no secret {name}; there is {}", secret.name);
            rejected(Code::NotFound, message)
        }
        None => match state.formerly_named(name) {
            Some((_, secret)) if secret.lifecycle == Lifecycle::Deleted => {
                rejected(Code::Deleted, format!("{name} is deleted"))
            }
            Some(_) => rejected(Code::Destroyed, format!("{name} is destroyed")),
            None => rejected(Code::NotFound, format!("there is no secret {name}")),
        },
    }
}

fn live<'a>(
    secret: &'a Secret,
    name: &SecretName,
    version: Version,
) -> Result<&'a crate::state::VersionInfo, Rejection> {
    let Some(info) = secret.version(version) else {
        return rejected(Code::NotFound, format!("{name} has no version {version}"));
    };
    match info.state {
        ValueState::Live => Ok(info),
        ValueState::Destroyed | ValueState::Erased => rejected(
            Code::Destroyed,
            format!("version {version} of {name} is destroyed"),
        ),
        ValueState::Lost => rejected(
            Code::ValueLost,
            format!("version {version} of {name} was lost"),
        ),
    }
}
