//! Entries: a command together with its events. An entry's bytes are a Merkle leaf.

use keyroll_merkle::{Hash, leaf_hash};
use serde::{Deserialize, Serialize};

use crate::cbor;
use crate::command::SignedCommand;
use crate::event::Event;
use crate::ids::{Blob, Index, Millis};
use crate::rejection::Rejection;

/// An entry as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When the ledger decided.
    pub at: Millis,
    /// The events of the command; never empty.
    pub events: Vec<Event>,
    /// The signed command, verbatim.
    pub command: Blob,
}

/// A decoded entry with its index.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its position in the workspace.
    pub index: Index,
    /// When the ledger decided.
    pub at: Millis,
    /// The events of the command.
    pub events: Vec<Event>,
    /// The command. Its signature may be unverified: the follower relies on the ledger's signature
    /// over the commit, full verification does not.
    pub command: SignedCommand,
    /// The Merkle leaf of the entry's bytes.
    pub leaf: Hash,
}

impl Recorded {
    /// Decodes an entry from a commit whose signature holds.
    ///
    /// # Errors
    /// As [`cbor::decode`].
    pub fn decode(index: Index, bytes: &[u8]) -> Result<Self, Rejection> {
        let entry: Entry = cbor::decode_trusted(bytes)?;
        let command = SignedCommand::decode_trusted(&entry.command.0)?;
        Ok(Self {
            index,
            at: entry.at,
            events: entry.events,
            command,
            leaf: leaf_hash(bytes),
        })
    }

    /// As [`Recorded::decode`], and requires every byte to be canonical: for verification.
    ///
    /// # Errors
    /// As [`cbor::decode`].
    pub fn decode_strict(index: Index, bytes: &[u8]) -> Result<Self, Rejection> {
        let entry: Entry = cbor::decode(bytes)?;
        let command = SignedCommand::decode(&entry.command.0)?;
        Ok(Self {
            index,
            at: entry.at,
            events: entry.events,
            command,
            leaf: leaf_hash(bytes),
        })
    }
}
