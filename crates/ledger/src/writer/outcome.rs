//! A command on its way to the writer, and its outcome.

use std::sync::Arc;

use keyroll_core::{Blob, Epoch, Event, Index, ObjectId, Rejection, TreeSize, Verified};
use keyroll_merkle::Hash;

/// A command to carry out.
pub struct Submission {
    /// The command.
    pub command: Arc<Verified>,
    /// The size that its caller has seen.
    pub trusted_size: TreeSize,
    /// The epoch that its values are stored under, once they are.
    pub stored: Option<Epoch>,
    /// Why it must be refused, unless it was carried out before: then it gets its receipt all the
    /// same.
    pub inadmissible: Option<Rejection>,
    /// The epoch that must still be retiring when it is decided: the command rests on that.
    pub while_retiring: Option<Epoch>,
    /// Whether it is a dry run: then it is decided, and nothing is written.
    pub dry_run: bool,
}

/// The outcome of a command.
#[derive(Debug)]
pub enum CommandOutcome {
    /// It became an entry.
    Committed(Box<Committed>),
    /// The same bytes became this entry before.
    Duplicate(Index),
    /// Its values must be stored under this epoch first.
    StoreFirst(Epoch),
    /// The events of a dry run, and the tree head that it was decided on.
    DryRun(Vec<Event>, Option<TreeHead>),
    /// It is refused. The tree head that this was decided on, if there was one.
    Refused(Rejection, Option<TreeHead>),
}

/// The tree that a refusal was decided on.
#[derive(Debug, Clone)]
pub struct TreeHead {
    /// Number of entries.
    pub size: TreeSize,
    /// Root over them.
    pub root: Hash,
    /// Proof from the size that the caller has seen; `None` when that is older than the memory.
    pub consistency: Option<Vec<Hash>>,
}

/// A command that became an entry, with the proof.
#[derive(Debug)]
pub struct Committed {
    /// The entry's index.
    pub index: Index,
    /// The entry's bytes.
    pub entry: Blob,
    /// The events of the command.
    pub events: Vec<Event>,
    /// Inclusion path.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: Arc<str>,
    /// Proof from the size that the caller has seen; `None` when that is older than the memory.
    pub consistency: Option<Vec<Hash>>,
    /// The checkpoint's size.
    pub size: TreeSize,
    /// Where the values of a reveal lie, in its order.
    pub locations: Vec<ValueLocation>,
}

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueLocation {
    /// Its object.
    pub place: ObjectId,
    /// The epoch of its key, until that is retired.
    pub epoch: Epoch,
    /// The epoch of its key after that.
    pub next_epoch: Option<Epoch>,
}
