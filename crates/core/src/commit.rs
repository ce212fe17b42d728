//! Commits: entries appended together, under one signature of the ledger that also covers all
//! history before them.

use keyroll_merkle::Hash;
use serde::{Deserialize, Serialize};

use crate::cbor;
use crate::cose::{self, Form, Unverified};
use crate::ids::{Blob, Digest, LedgerId, Millis, TreeSize};
use crate::names::WorkspaceName;
use crate::rejection::Rejection;
use crate::rules::Rules;

/// The version of the commit form that this program writes.
pub const COMMIT_V: u32 = 1;

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
    /// Number of the [`Rules`] that decided them; this program does not know those of a later one.
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

    /// The rules that decided its entries. Check them before decoding the entries: this program may
    /// be unable to decode what later rules allow.
    ///
    /// # Errors
    /// As [`Rules::of`].
    pub fn rules(&self) -> Result<Rules, Rejection> {
        Rules::of(self.rules)
    }

    /// Decodes a commit from the log. Its signature is not verified yet.
    ///
    /// # Errors
    /// As [`cose::open`].
    pub fn decode(bytes: &[u8]) -> Result<Unverified<Self>, Rejection> {
        cose::open_trusted(bytes)
    }

    /// As [`Commit::decode`], and requires every byte to be canonical: for verification.
    ///
    /// # Errors
    /// As [`Commit::decode`].
    pub fn decode_strict(bytes: &[u8]) -> Result<Unverified<Self>, Rejection> {
        cose::open(bytes)
    }

    /// The position of the first entry in `bytes`, the signed bytes of this commit. The entries
    /// follow each other as byte strings. `None` when the bytes are not in canonical form.
    pub fn entries_at(&self, bytes: &[u8]) -> Option<usize> {
        // In canonical order one field comes after them, and then the signature.
        let behind = cbor::encode(&"workspace").len() + cbor::encode(&self.workspace).len();
        let lengths = self.entries.iter().map(|entry| cbor::bytes_len(&entry.0));
        let entries: usize = lengths.sum();
        let begin = bytes
            .len()
            .checked_sub(entries + behind + cose::SIGNATURE_BYTES)?;
        let mut rest = bytes.get(begin..)?;
        for entry in &self.entries {
            let (found, next) = cbor::split_bytes(rest)?;
            rest = (found == entry.0).then_some(next)?;
        }
        Some(begin)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Blob;

    fn commit(entries: Vec<Vec<u8>>) -> Commit {
        Commit {
            v: COMMIT_V,
            at: Millis(7),
            root: Digest([1; 32]),
            first: TreeSize(300),
            rules: Rules::CURRENT.number(),
            ledger: LedgerId([2; 32]),
            entries: entries.into_iter().map(Blob).collect(),
            workspace: "a-workspace-of-some-length".parse().expect("a name"),
        }
    }

    proptest! {
        #[test]
        fn entries_lie_where_they_are_said_to(
            entries in proptest::collection::vec(
                (0_usize..400).prop_map(|length| vec![0x58; length]), 1..40),
        ) {
            let commit = commit(entries);
            let bytes = cose::sign(&commit, &SigningKey::from_bytes(&[3; 32]));
            let begin = commit.entries_at(&bytes).expect("entries");
            let mut rest = &bytes[begin..];
            for entry in &commit.entries {
                let (found, next) = cbor::split_bytes(rest).expect("an entry");
                prop_assert_eq!(found, entry.0.as_slice());
                rest = next;
            }
            prop_assert!(rest.starts_with(b"\x69workspace"));
        }
    }

    #[test]
    fn bytes_of_another_encoding_have_no_entries() {
        let commit = commit(vec![vec![1; 20], vec![2; 300]]);
        let bytes = cose::sign(&commit, &SigningKey::from_bytes(&[3; 32]));
        let begin = commit.entries_at(&bytes).expect("entries");
        // Encodes the first entry's length in a form longer than necessary.
        let mut longer = bytes.clone();
        longer.splice(begin..=begin, [0x58, 20]);
        assert!(commit.entries_at(&longer).is_none());
        assert!(commit.entries_at(&bytes[begin + 1..]).is_none());
        assert!(commit.entries_at(&[]).is_none());
    }
}
