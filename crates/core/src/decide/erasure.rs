//! Rules of destruction: destroyed values, retired wrapping keys, and the records of their erasure.

use std::collections::BTreeSet;

use super::secrets::known;
use crate::command::{KeyErase, Nothing, SecretDestroy, ValueErase, ValuesSweep};
use crate::event::{Event, KeyRotated, SecretDestroyed};
use crate::ids::{Epoch, Version};
use crate::limits;
use crate::names::SecretName;
use crate::rejection::{Code, Rejection};
use crate::state::{Lifecycle, Secret, State, ValueState};

fn rejected<T>(code: Code, message: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::new(code, message))
}

/// Checks the list in a command: it is not empty, not too long, and has no duplicates.
fn distinct<T: Ord>(named: impl ExactSizeIterator<Item = T>, what: &str) -> Result<(), Rejection> {
    let count = named.len();
    if count == 0 || count > limits::ENDED_AT_ONCE {
        let message = format!("a command names 1 to {} {what}", limits::ENDED_AT_ONCE);
        return rejected(Code::InvalidField, message);
    }
    if named.collect::<BTreeSet<T>>().len() < count {
        return rejected(
            Code::InvalidField,
            format!("a command names each of its {what} once"),
        );
    }
    Ok(())
}

pub(super) fn destroy(state: &State, destroy: &SecretDestroy) -> Result<Vec<Event>, Rejection> {
    let name = &destroy.name;
    let secret = known(state, &destroy.id, name)?;
    if secret.lifecycle == Lifecycle::Destroyed {
        return rejected(Code::Destroyed, format!("{name} is destroyed already"));
    }
    let versions = match &destroy.versions {
        None => all_left(secret, name)?,
        Some(versions) => {
            distinct(versions.iter(), "versions")?;
            for version in versions {
                check_left(secret, name, *version)?;
            }
            versions.clone()
        }
    };
    Ok(vec![Event::SecretDestroyed(SecretDestroyed { versions })])
}

/// Whether a value can be destroyed. A lost value can be: a copy of it may come back.
const fn is_left(state: ValueState) -> bool {
    matches!(state, ValueState::Live | ValueState::Lost)
}

fn all_left(secret: &Secret, name: &SecretName) -> Result<Vec<Version>, Rejection> {
    let numbered = (1_u32..).map(Version).zip(&secret.versions);
    let left = numbered.filter(|(_, info)| is_left(info.state));
    let left: Vec<Version> = left.map(|(version, _)| version).collect();
    if left.len() > limits::ENDED_AT_ONCE {
        let message = format!(
            "{name} has {} versions, one act destroys {}: name versions, some at a time",
            left.len(),
            limits::ENDED_AT_ONCE
        );
        return rejected(Code::TooLarge, message);
    }
    Ok(left)
}

fn check_left(secret: &Secret, name: &SecretName, version: Version) -> Result<(), Rejection> {
    match secret.version(version) {
        None => rejected(Code::NotFound, format!("{name} has no version {version}")),
        Some(info) if is_left(info.state) => Ok(()),
        Some(_) => {
            let message = format!("version {version} of {name} is destroyed already");
            rejected(Code::Destroyed, message)
        }
    }
}

pub(super) fn rotate(state: &State) -> Result<Vec<Event>, Rejection> {
    if let Some(old) = state.row().retiring {
        let message = format!(
            "a key rotation is under way: values are copied from epoch {old} to {}",
            state.epoch()
        );
        return rejected(Code::Conflict, message);
    }
    let epoch = Epoch(state.epoch().0.saturating_add(1));
    Ok(vec![Event::KeyRotated(KeyRotated { epoch })])
}

pub(super) fn erase(state: &State, erase: &ValueErase) -> Result<Vec<Event>, Rejection> {
    distinct(erase.versions.iter(), "versions")?;
    if let Some(old) = state.row().retiring {
        // A copy under way could bring the value back.
        let message = format!("epoch {old} is being retired: erasures are recorded after that");
        return rejected(Code::Conflict, message);
    }
    for version in &erase.versions {
        match state.version(&erase.id, *version).map(|info| info.state) {
            Some(ValueState::Destroyed) => {}
            Some(other) => {
                let message = format!("version {version} of {} is {}", erase.id, other.as_str());
                return rejected(Code::Conflict, message);
            }
            None => {
                let message = format!("there is no version {version} of {}", erase.id);
                return rejected(Code::NotFound, message);
            }
        }
    }
    Ok(vec![Event::ValueErased(Nothing {})])
}

pub(super) fn sweep(state: &State, sweep: &ValuesSweep) -> Result<Vec<Event>, Rejection> {
    distinct(sweep.places.iter(), "stored values")?;
    let swept: BTreeSet<_> = sweep.places.iter().map(|stored| stored.place).collect();
    let mut versions = state.secrets().flat_map(|(_, secret)| &secret.versions);
    if let Some(info) = versions.find(|info| swept.contains(&info.place)) {
        let message = format!("a version refers to {}", info.place);
        return rejected(Code::Conflict, message);
    }
    Ok(vec![Event::ValuesSwept(Nothing {})])
}

pub(super) fn erase_key(state: &State, erase: KeyErase) -> Result<Vec<Event>, Rejection> {
    if state.row().retiring != Some(erase.epoch) {
        let message = format!("epoch {} is not being retired", erase.epoch);
        return rejected(Code::Conflict, message);
    }
    Ok(vec![Event::KeyErased(Nothing {})])
}
