//! Rules of the ledger's records of a recovery: lost entries and lost values.

use std::collections::BTreeSet;

use crate::command::{LogTruncate, Nothing, ValuesLose};
use crate::event::Event;
use crate::rejection::{Code, Rejection};
use crate::state::{State, ValueState};

/// The highest known size must be at least the current size: a smaller one records no loss.
pub(super) fn truncate(state: &State, truncate: LogTruncate) -> Result<Vec<Event>, Rejection> {
    if truncate.size < state.size() {
        let message = format!(
            "there are {} entries, {} cannot be the most there were",
            state.size(),
            truncate.size
        );
        return Err(Rejection::new(Code::InvalidField, message));
    }
    Ok(vec![Event::LogTruncated(Nothing {})])
}

/// Only a value that can still be revealed can be lost, and only once.
pub(super) fn lose(state: &State, lose: &ValuesLose) -> Result<Vec<Event>, Rejection> {
    let mut named = BTreeSet::new();
    for lost in &lose.values {
        let info = state.version(&lost.id, lost.version).ok_or_else(|| {
            let message = format!("there is no version {} of {}", lost.version, lost.id);
            Rejection::new(Code::NotFound, message)
        })?;
        if info.state != ValueState::Live || !named.insert((lost.id, lost.version)) {
            let message = format!(
                "version {} of {} is {} already",
                lost.version,
                lost.id,
                info.state.as_str()
            );
            return Err(Rejection::new(Code::Conflict, message));
        }
    }
    if named.is_empty() {
        let message = "the command names no lost value";
        return Err(Rejection::new(Code::InvalidField, message));
    }
    Ok(vec![Event::ValuesLost(Nothing {})])
}
