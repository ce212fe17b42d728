//! Commits from any source that the read model does not hold, and the longest history that they
//! make. Each names the root over all entries before it, so it fits one place only.

use std::collections::BTreeMap;

use bytes::Bytes;
use keyroll_core::{Commit, Digest, Identity, LedgerId, State, TreeSize, WorkspaceName};

use crate::follower::fold_next;

/// Maximum size of such commits together: they stay in memory until they are in the new log.
const BYTES: usize = 256 * 1024 * 1024;

/// A commit that the ledger's key signed, and whose place is not known yet.
pub(super) struct UnplacedCommit {
    pub(super) bytes: Bytes,
    /// Its first entry.
    pub(super) first: TreeSize,
    /// The entry after its last.
    pub(super) end: u64,
    /// The root over the entries before it.
    pub(super) root: Digest,
    /// The sources that hold it.
    pub(super) from: Vec<usize>,
}

/// The commits of one workspace, by first entry and root before it.
#[derive(Default)]
pub(super) struct CommitIndex(BTreeMap<(TreeSize, Digest), Vec<UnplacedCommit>>);

/// The commits take more memory than allowed.
pub(super) struct PoolFull;

/// The commits of all workspaces.
#[derive(Default)]
pub(super) struct Pool {
    bytes: usize,
    by: BTreeMap<WorkspaceName, CommitIndex>,
}

impl Pool {
    /// Adds a commit, unless it is known.
    pub(super) fn add(
        &mut self,
        commit: &Commit,
        bytes: &Bytes,
        from: usize,
    ) -> Result<(), PoolFull> {
        let index = self.by.entry(commit.workspace.clone()).or_default();
        let place = index.0.entry((commit.first, commit.root)).or_default();
        if let Some(there) = place.iter_mut().find(|there| there.bytes == bytes) {
            if !there.from.contains(&from) {
                there.from.push(from);
            }
            return Ok(());
        }
        self.bytes += bytes.len();
        place.push(UnplacedCommit {
            bytes: bytes.clone(),
            first: commit.first,
            end: commit.first.0 + commit.entries.len() as u64,
            root: commit.root,
            from: vec![from],
        });
        if self.bytes > BYTES {
            return Err(PoolFull);
        }
        Ok(())
    }

    pub(super) fn into_workspaces(self) -> BTreeMap<WorkspaceName, CommitIndex> {
        self.by
    }
}

/// A history: the state after it, and the commits that lead there.
pub(super) struct LongestChain<'a> {
    pub(super) state: State,
    pub(super) taken: Vec<&'a UnplacedCommit>,
}

impl CommitIndex {
    pub(super) fn all(&self) -> impl Iterator<Item = &UnplacedCommit> {
        self.0.values().flatten()
    }

    /// The places where commits begin: first entry and root before it.
    pub(super) fn places(&self) -> impl Iterator<Item = &(TreeSize, Digest)> {
        self.0.keys()
    }

    /// The longest continuation of a state. If several are equally long, the one that was found
    /// first.
    pub(super) fn longest(
        &self,
        state: State,
        ledger: &LedgerId,
        key: &Identity,
    ) -> LongestChain<'_> {
        let taken = Vec::new();
        let mut longest = LongestChain { state, taken };
        loop {
            let state = &longest.state;
            let ways = self.0.get(&(state.size(), Digest(state.root().0)));
            let folded = |state: &mut State, way: &UnplacedCommit| {
                fold_next(state, ledger, key, &way.bytes).is_ok()
            };
            match ways.map(Vec::as_slice).unwrap_or_default() {
                [] => return longest,
                [way] => {
                    if !folded(&mut longest.state, way) {
                        return longest;
                    }
                    longest.taken.push(way);
                }
                ways => {
                    let mut best: Option<LongestChain<'_>> = None;
                    for way in ways {
                        let mut state = longest.state.clone();
                        if !folded(&mut state, way) {
                            continue;
                        }
                        let mut on = self.longest(state, ledger, key);
                        let size = |found: &LongestChain<'_>| found.state.size();
                        if best.as_ref().is_none_or(|best| size(&on) > size(best)) {
                            on.taken.insert(0, way);
                            best = Some(on);
                        }
                    }
                    if let Some(best) = best {
                        longest.taken.extend(best.taken);
                        longest.state = best.state;
                    }
                    return longest;
                }
            }
        }
    }
}
