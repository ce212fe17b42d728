//! The longest verified chain of commits of each workspace.

use std::collections::BTreeMap;

use bytes::Bytes;
use keyroll_core::command::LostValue;
use keyroll_core::{Digest, Identity, LedgerId, Sequence, State, TreeSize, WorkspaceName};
use keyroll_wire::query::TrustedSize;
use keyroll_wire::reply::{RecoveryRow, SecretVersion};

use super::pool::LongestChain;
use crate::value_check::ValueReport;

/// Maximum number of lines of one kind in a plan.
const WORDS: usize = 100;
/// Maximum number of lost values that a plan names.
const NAMED: usize = 100;

/// The chain of one workspace.
pub(super) struct Chain {
    /// The state after the chain.
    pub(super) state: State,
    /// Entries whose commits the read model holds.
    pub(super) held: u64,
    /// The root over the read model's entries, if the chain leaves its history.
    pub(super) abandoned_root: Option<Digest>,
    /// The commits after those.
    pub(super) more: Vec<Bytes>,
    /// The digests of these by first entry, and whether the log holds them.
    places: BTreeMap<TreeSize, (Digest, bool)>,
    /// The largest size that anybody has seen, or that a commit names.
    pub(super) known: u64,
    /// The size that an interrupted recovery had to record.
    recalled: Option<TreeSize>,
    /// Entries that the log itself holds without a gap, from the first on.
    in_log: u64,
    /// The last message on its subject of the log.
    pub(super) head: Sequence,
    /// Lost values.
    pub(super) lost: Vec<LostValue>,
    /// Subjects of the vault that hold destroyed values.
    pub(super) erase: Vec<String>,
}

/// The chains of all workspaces.
pub(super) struct Chains {
    ledger: LedgerId,
    key: Identity,
    by: BTreeMap<WorkspaceName, Chain>,
    heads: BTreeMap<WorkspaceName, Sequence>,
    /// Commits of other histories, and commits that join none.
    unused: Vec<Bytes>,
    messages: u64,
    /// Messages of the log that cannot be read and that the read model does not hold.
    lost: u64,
    /// Messages of the log that cannot be read.
    unreadable: u64,
    /// Anomalies of the read model and the log.
    anomaly: Vec<String>,
    /// Reports about other histories.
    beside: Vec<String>,
}

fn push(words: &mut Vec<String>, more: String) {
    if words.len() < WORDS {
        words.push(more);
    }
}

impl Chain {
    pub(super) fn new(ledger: LedgerId, workspace: &WorkspaceName) -> Self {
        Self {
            state: State::new(ledger, workspace.clone()),
            held: 0,
            abandoned_root: None,
            more: Vec::new(),
            places: BTreeMap::new(),
            known: 0,
            recalled: None,
            in_log: 0,
            head: Sequence(0),
            lost: Vec::new(),
            erase: Vec::new(),
        }
    }

    /// Appends the longest continuation.
    pub(super) fn extend(&mut self, longest: LongestChain<'_>) {
        self.state = longest.state;
        for one in longest.taken {
            let place = (Digest::of(&one.bytes), false);
            self.places.insert(one.first, place);
            self.more.push(one.bytes.clone());
        }
    }

    /// Whether the chain has this commit beyond the read model's.
    pub(super) fn has(&self, first: TreeSize, digest: Digest) -> bool {
        let there = self.places.get(&first);
        there.is_some_and(|(there, _)| *there == digest)
    }

    /// Commits that the log must have held, as it holds later ones, and that cannot be read there.
    fn unread(&self) -> usize {
        let in_log = |(_, (_, is_there)): &(&TreeSize, &(Digest, bool))| *is_there;
        let last = self.places.iter().rfind(in_log);
        let before = last.map(|(last, _)| self.places.range(..last));
        before.map_or(0, |before| before.filter(|one| !in_log(one)).count())
    }

    /// The highest size that the workspace had, if entries are lost and that is not recorded.
    fn lost_size(&self, unattributed: u64) -> Option<TreeSize> {
        let size = self.state.size();
        let known = TreeSize(self.known.max(size.0));
        let is_recorded = |size| {
            self.state
                .row()
                .truncated
                .is_some_and(|recorded| recorded >= size)
        };
        let lost = known > size || unattributed > 0;
        let recalled = self.recalled.filter(|recalled| !is_recorded(*recalled));
        let is_new = (lost && !is_recorded(known)) || recalled.is_some();
        is_new.then_some(known.max(recalled.unwrap_or(known)))
    }

    /// The size to record as the highest that there was. A workspace that is lost as a whole has no
    /// log to record it in.
    pub(super) fn truncated(&self, unattributed: u64) -> Option<TreeSize> {
        let is_there = self.state.size().0 > 0;
        self.lost_size(unattributed).filter(|_| is_there)
    }
}

impl Chains {
    pub(super) fn new(ledger: LedgerId, key: Identity) -> Self {
        Self {
            ledger,
            key,
            by: BTreeMap::new(),
            heads: BTreeMap::new(),
            unused: Vec::new(),
            messages: 0,
            lost: 0,
            unreadable: 0,
            anomaly: Vec::new(),
            beside: Vec::new(),
        }
    }

    /// The ledger, and the key that signs its commits.
    pub(super) const fn owner(&self) -> (LedgerId, Identity) {
        (self.ledger, self.key)
    }

    pub(super) fn get(&self, workspace: &WorkspaceName) -> Option<&Chain> {
        self.by.get(workspace)
    }

    /// Takes a chain out, an empty one if there is none.
    pub(super) fn take(&mut self, workspace: &WorkspaceName) -> Chain {
        let there = self.by.remove(workspace);
        there.unwrap_or_else(|| Chain::new(self.ledger, workspace))
    }

    /// Puts a chain in. A subject without any commit makes no workspace.
    pub(super) fn put(&mut self, workspace: WorkspaceName, chain: Chain) {
        if chain.known > 0 || chain.recalled.is_some() {
            self.by.insert(workspace, chain);
        }
    }

    /// Counts a message of the log: whether it could be read, and whether the read model lacks it.
    pub(super) fn count(&mut self, is_read: bool, is_new: bool) {
        self.messages += 1;
        self.unreadable += u64::from(!is_read);
        self.lost += u64::from(!is_read && is_new);
    }

    /// The last message on a workspace's subject so far.
    pub(super) fn head(&mut self, workspace: &WorkspaceName, sequence: Sequence) {
        self.heads.insert(workspace.clone(), sequence);
    }

    /// Notes that a message of the log is a commit of a chain.
    pub(super) fn found_in_log(
        &mut self,
        sequence: Sequence,
        workspace: &WorkspaceName,
        (first, end): (TreeSize, u64),
    ) {
        let Some(chain) = self.by.get_mut(workspace) else {
            return;
        };
        let place = chain.places.get_mut(&first);
        let was_there = place.is_some_and(|(_, is_there)| std::mem::replace(is_there, true));
        if was_there || first.0 < chain.in_log {
            self.report_anomaly(format!(
                "message {sequence} of the log, {workspace}: a commit of entry {first} again"
            ));
        } else if chain.in_log == first.0 {
            chain.in_log = end;
        }
    }

    pub(super) fn report_anomaly(&mut self, words: String) {
        push(&mut self.anomaly, words);
    }

    pub(super) fn report_other_history(&mut self, words: String) {
        push(&mut self.beside, words);
    }

    /// Keeps commits that are of no chain.
    pub(super) fn leave(&mut self, commits: Vec<Bytes>) {
        self.unused.extend(commits);
    }

    /// Notes the size that an interrupted recovery had to record.
    pub(super) fn recall(&mut self, workspace: &WorkspaceName, size: TreeSize) {
        let mut chain = self.take(workspace);
        chain.recalled = Some(size);
        self.put(workspace.clone(), chain);
    }

    /// Notes that a client has seen this many entries.
    pub(super) fn note_seen(&mut self, workspace: &WorkspaceName, size: TreeSize) {
        let mut chain = self.take(workspace);
        chain.known = chain.known.max(size.0);
        self.put(workspace.clone(), chain);
    }

    /// Call it after the whole log is read: notes where each workspace ends in it, and which of its
    /// unreadable messages are in a chain all the same.
    pub(super) fn close(&mut self) {
        let unread: usize = self.by.values().map(Chain::unread).sum();
        self.lost = self.lost.saturating_sub(unread as u64);
        for (workspace, head) in std::mem::take(&mut self.heads) {
            if let Some(chain) = self.by.get_mut(&workspace) {
                chain.head = head;
            }
        }
    }

    /// Notes the lost values, and returns the workspace's row of the plan.
    pub(super) fn put_values(
        &mut self,
        workspace: &WorkspaceName,
        values: &ValueReport,
    ) -> RecoveryRow {
        let unattributed = self.lost;
        let mut chain = self.take(workspace);
        chain.lost = values.lost.iter().map(|lost| lost.value).collect();
        chain.erase = values.left.iter().chain(&values.ending).cloned().collect();
        let named = values.lost.iter().take(NAMED).map(|lost| SecretVersion {
            name: lost.name.clone(),
            version: Some(lost.value.version),
        });
        let row = RecoveryRow {
            lost: named.collect(),
            erase: chain.erase.len() as u64,
            known: chain.lost_size(unattributed),
            values: values.lost.len() as u64,
            entries: chain.state.size(),
            workspace: workspace.clone(),
        };
        self.by.insert(workspace.clone(), chain);
        row
    }

    pub(super) fn workspaces(&self) -> Vec<WorkspaceName> {
        self.by.keys().cloned().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&WorkspaceName, &Chain)> {
        self.by.iter()
    }

    /// Whether the log lacks a commit of a chain, or holds one of no chain.
    pub(super) fn differ(&self) -> bool {
        let lacks =
            |chain: &Chain| chain.abandoned_root.is_some() || chain.in_log != chain.state.size().0;
        self.by.values().any(lacks)
    }

    pub(super) fn anomalies(&self) -> &[String] {
        &self.anomaly
    }

    pub(super) fn other_histories(&self) -> &[String] {
        &self.beside
    }

    pub(super) const fn messages(&self) -> u64 {
        self.messages
    }

    pub(super) const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Commits that the read model does not hold.
    pub(super) fn more(&self) -> impl Iterator<Item = &Bytes> {
        self.by.values().flat_map(|chain| &chain.more)
    }

    /// Commits of no chain.
    pub(super) fn unused(&self) -> &[Bytes] {
        &self.unused
    }

    /// The digest of the read model's entries that are of no chain; `None` if there are none.
    pub(super) fn left(&self) -> Option<Digest> {
        let roots = self.by.values().filter_map(|chain| chain.abandoned_root);
        let roots: Vec<u8> = roots.flat_map(|root| root.0).collect();
        (!roots.is_empty()).then(|| Digest::of(&roots))
    }

    /// The size to record as the highest of each workspace that has lost entries.
    pub(super) fn sizes(&self) -> Vec<TrustedSize> {
        let size = |(workspace, chain): (&WorkspaceName, &Chain)| {
            let workspace = workspace.clone();
            let size = chain.lost_size(self.lost)?;
            Some(TrustedSize { size, workspace })
        };
        self.by.iter().filter_map(size).collect()
    }
}
