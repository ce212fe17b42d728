//! Commits: entries appended together, under one signature of the ledger that also covers all
//! history before them.

use keyroll_merkle::Hash;
use serde::{Deserialize, Serialize};

use crate::cose::{self, Form, Unchecked};
use crate::ids::{Blob, Digest, LedgerId, Millis, TreeSize};
use crate::names::WorkspaceName;
use crate::rejection::{Code, Rejection};

/// The version of the commit form that this program writes.
pub const COMMIT_V: u32 = 1;

/// The version of [`crate::decide()`] that this program has.
pub const RULES: u32 = 1;

/// "These entries come next, after this root."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Version of the form, 1.
    pub v: u32,
    /// When the ledger decided the first of them.
    pub at: Millis,
    /// Merkle root over the entries before `first`.
    pub root: Digest,
    /// Index of the first entry here.
    pub first: TreeSize,
    /// Version of the rules that decided them.
    pub rules: u32,
    /// The ledger.
    pub ledger: LedgerId,
    /// The entries' bytes; never empty.
    pub entries: Vec<Blob>,
    /// The workspace.
    pub workspace: WorkspaceName,
}

impl Form for Commit {
    const NAME: &'static str = "keyroll/commit/v1";
    const TYP: &'static str = "application/vnd.keyroll.commit";
    const V: u32 = COMMIT_V;
}

impl Commit {
    /// The root before it, as a tree hash.
    pub const fn root_before(&self) -> Hash {
        Hash(self.root.0)
    }

    /// Decodes a commit that the log holds; its signature is still to be verified.
    ///
    /// # Errors
    /// [`Code::Malformed`] when it is no commit, [`Code::UpgradeNeeded`] for a later version.
    pub fn decode(bytes: &[u8]) -> Result<Unchecked<Self>, Rejection> {
        known_rules(cose::open_trusted(bytes)?)
    }

    /// As [`Commit::decode`], and demands that every byte is canonical: for verification.
    ///
    /// # Errors
    /// As [`Commit::decode`].
    pub fn decode_strict(bytes: &[u8]) -> Result<Unchecked<Self>, Rejection> {
        known_rules(cose::open(bytes)?)
    }
}

fn known_rules(opened: Unchecked<Commit>) -> Result<Unchecked<Commit>, Rejection> {
    if opened.payload.rules <= RULES {
        return Ok(opened);
    }
    let message = format!(
        "the commit was decided by rules {}, this program has {RULES}",
        opened.payload.rules
    );
    Err(Rejection::new(Code::UpgradeNeeded, message))
}
