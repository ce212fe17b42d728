//! The longest chain of commits of each workspace that verifies, put together from all sources.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use futures::StreamExt as _;
use keyroll_api::reply::{RecoveryRow, SecretVersion};
use keyroll_core::command::LostValue;
use keyroll_core::{
    Code, Identity, Index, LedgerId, Rejection, Sequence, State, TreeSize, WorkspaceName,
};

use super::sources;
use crate::follower::{Odd, fold_next};
use crate::ledger::storage::Values;
use crate::log::{Log, Message};
use crate::projection::{Projection, View};

/// Bytes of commits that the read model does not hold: they are kept in memory until they are in
/// the new log.
const MORE_BYTES: usize = 256 * 1024 * 1024;
/// Words of a plan at most.
const WORDS: usize = 100;
/// Messages of the log asked for at once.
const AT_ONCE: usize = 64;
/// How often a message that cannot be read is asked for.
const TRIES: usize = 3;
/// Lost values that a plan names.
const NAMED: usize = 100;

/// One workspace's.
pub(super) struct Chain {
    /// After all of it.
    pub(super) state: State,
    /// Entries whose commits the read model holds.
    pub(super) held: u64,
    /// The commits after those.
    pub(super) more: Vec<Bytes>,
    /// The largest size that anybody has seen, or that a commit names.
    known: u64,
    /// Entries that the log itself holds, one after the other from the first on.
    in_log: u64,
    /// The last message on its subject of the log.
    pub(super) head: Sequence,
    /// Whether the log holds another commit where this chain has one.
    forked: bool,
    /// Values that are gone.
    pub(super) lost: Vec<LostValue>,
    /// Places in the vault that hold what the log says is destroyed.
    pub(super) erase: Vec<String>,
}

/// All workspaces'.
pub(super) struct Chains {
    ledger: LedgerId,
    key: Identity,
    by: BTreeMap<WorkspaceName, Chain>,
    bytes: usize,
    messages: u64,
    /// Messages of the log that cannot be read, and that the read model does not hold either.
    lost: u64,
    /// Messages of the log that cannot be read.
    unreadable: u64,
    /// What is odd about the read model and the log.
    odd: Vec<String>,
    /// What is to be said of the files beside them.
    beside: Vec<String>,
}

/// What a commit is to a chain.
pub(super) enum Offer {
    /// The next one.
    Extends,
    /// Of entries that the chain has.
    Before(Index, u64),
    /// It does not fit: why.
    Odd(String),
}

impl Chain {
    fn empty(ledger: LedgerId, workspace: &WorkspaceName) -> Self {
        Self {
            state: State::new(ledger, workspace.clone()),
            held: 0,
            more: Vec::new(),
            known: 0,
            in_log: 0,
            head: Sequence(0),
            forked: false,
            lost: Vec::new(),
            erase: Vec::new(),
        }
    }

    /// Is another from now on, if that is longer.
    pub(super) fn give_way_to(&mut self, other: Self) -> bool {
        let is_longer = other.state.size() > self.state.size();
        if is_longer {
            let known = self.known.max(other.known);
            *self = Self { known, ..other };
        }
        is_longer
    }

    /// The commit whose first entry is this, of those beyond the read model's.
    fn more_at(&self, first: Index) -> Option<&Bytes> {
        let is_it = |bytes: &&Bytes| {
            keyroll_core::Commit::decode(bytes)
                .is_ok_and(|commit| commit.payload.first.next_index() == first)
        };
        self.more.iter().find(is_it)
    }

    /// The size to put on record as the highest there was; none when nothing is known to be gone.
    pub(super) fn truncated(&self, unattributed: u64) -> Option<TreeSize> {
        let size = self.state.size();
        let known = TreeSize(self.known.max(size.0));
        let gone = known > size || unattributed > 0;
        let said = self.state.row().truncated.is_some_and(|said| said >= known);
        (gone && !said && size.0 > 0).then_some(known)
    }
}

impl Chains {
    /// Puts them together: the read model's commits, what lies beside it, the log's.
    pub(super) async fn gather(
        log: &dyn Log,
        projection: &Projection,
        (ledger, key): (LedgerId, Identity),
        beside: &Path,
    ) -> Result<Self, Rejection> {
        let mut chains = Self::empty(ledger, key, 0);
        let view = projection.view().map_err(|error| error.rejection())?;
        chains.take_read_model(&view)?;
        for file in sources::files(beside)? {
            chains.take_file(&file, &view)?;
        }
        let head = view.head().map_err(|error| error.rejection())?;
        let head = head.map_or(Sequence(0), |(sequence, _)| sequence);
        chains.take_log(log, &view, head).await?;
        if chains.by.values().any(|chain| chain.forked) {
            chains.take_longer_log(log).await?;
        }
        Ok(chains)
    }

    /// None yet, with so many bytes in memory elsewhere.
    fn empty(ledger: LedgerId, key: Identity, bytes: usize) -> Self {
        Self {
            ledger,
            key,
            bytes,
            by: BTreeMap::new(),
            messages: 0,
            lost: 0,
            unreadable: 0,
            odd: Vec::new(),
            beside: Vec::new(),
        }
    }

    fn take_read_model(&mut self, view: &View) -> Result<(), Rejection> {
        for (_, head) in view.workspaces().map_err(|error| error.rejection())? {
            let workspace = head.name;
            let Some(found) = view
                .workspace(&workspace)
                .map_err(|error| error.rejection())?
            else {
                continue;
            };
            loop {
                let chain = self.chain(&workspace);
                chain.known = chain.known.max(head.size.0);
                let at = chain.state.size();
                if at >= head.size {
                    break;
                }
                let commit = found
                    .commit_of(at.next_index())
                    .map_err(|error| error.rejection())?;
                let Some(commit) = commit else { break };
                if let Offer::Odd(why) = self.offer(&workspace, &commit.bytes) {
                    self.note(format!("the read model, {workspace}: {why}"));
                    break;
                }
            }
            let chain = self.chain(&workspace);
            chain.held = chain.state.size().0;
        }
        Ok(())
    }

    pub(super) fn chain(&mut self, workspace: &WorkspaceName) -> &mut Chain {
        let ledger = self.ledger;
        self.by
            .entry(workspace.clone())
            .or_insert_with(|| Chain::empty(ledger, workspace))
    }

    /// Verifies a commit on a chain, and folds it in when it comes next.
    fn offer(&mut self, workspace: &WorkspaceName, bytes: &[u8]) -> Offer {
        let (ledger, key) = (self.ledger, self.key);
        let chain = self.chain(workspace);
        match fold_next(&mut chain.state, &ledger, &key, bytes) {
            Ok(()) => {
                chain.known = chain.known.max(chain.state.size().0);
                Offer::Extends
            }
            Err(Odd::Again { first, entries }) => Offer::Before(first.next_index(), entries),
            Err(Odd::Later { first, entries }) => {
                chain.known = chain.known.max(first.0 + entries);
                Offer::Odd(format!(
                    "entries {} to {first} are missing",
                    chain.state.size()
                ))
            }
            Err(Odd::Foreign(why) | Odd::Broken(_, why)) => Offer::Odd(why),
        }
    }

    /// Whether a chain's commit of this first entry is this one.
    pub(super) fn has(
        &mut self,
        workspace: &WorkspaceName,
        first: Index,
        bytes: &Bytes,
        view: &View,
    ) -> Result<bool, Rejection> {
        let chain = self.chain(workspace);
        if first.0 >= chain.held {
            return Ok(chain.more_at(first) == Some(bytes));
        }
        let held = || match view.workspace(workspace)? {
            Some(found) => found.commit_of(first),
            None => Ok(None),
        };
        let held = held().map_err(|error| error.rejection())?;
        Ok(held.is_some_and(|held| held.bytes == bytes))
    }

    /// Takes a commit from beside the log, if it extends its chain.
    pub(super) fn take(
        &mut self,
        workspace: &WorkspaceName,
        bytes: Bytes,
    ) -> Result<Offer, Rejection> {
        let offer = self.offer(workspace, &bytes);
        if matches!(offer, Offer::Extends) {
            self.keep(workspace, bytes)?;
        }
        Ok(offer)
    }

    /// Chains of one source alone, whose bytes count with these.
    pub(super) fn alone(&self) -> Self {
        Self::empty(self.ledger, self.key, self.bytes)
    }

    pub(super) fn ledger(&self) -> LedgerId {
        self.ledger
    }

    pub(super) fn is_forked(&self, workspace: &WorkspaceName) -> bool {
        self.by.get(workspace).is_some_and(|chain| chain.forked)
    }

    pub(super) fn into_chains(self) -> impl Iterator<Item = (WorkspaceName, Chain)> {
        self.by.into_iter()
    }

    pub(super) fn say_beside(&mut self, words: String) {
        if self.beside.len() < WORDS {
            self.beside.push(words);
        }
    }

    fn keep(&mut self, workspace: &WorkspaceName, bytes: Bytes) -> Result<(), Rejection> {
        self.bytes += bytes.len();
        if self.bytes > MORE_BYTES {
            let message = "the log holds far more than the read model: stop the service, move \
                           ledger.redb away, start it, and recover then";
            return Err(Rejection::new(Code::TooLarge, message));
        }
        self.chain(workspace).more.push(bytes);
        Ok(())
    }

    fn note(&mut self, words: String) {
        if self.odd.len() < WORDS {
            self.odd.push(words);
        }
    }

    async fn take_log(
        &mut self,
        log: &dyn Log,
        view: &View,
        head: Sequence,
    ) -> Result<(), Rejection> {
        let mut messages = read(log).await?;
        while let Some((sequence, message)) = messages.next().await {
            self.messages += 1;
            let Some(message) = message? else {
                self.unreadable += 1;
                self.lost += u64::from(sequence > head);
                self.note(format!("message {sequence} of the log cannot be read"));
                continue;
            };
            let Some(workspace) = &message.workspace else {
                self.note(format!("message {sequence} of the log: foreign"));
                continue;
            };
            if let Err(why) = self.take_message(workspace, &message, view)? {
                self.note(format!("message {sequence} of the log, {workspace}: {why}"));
            }
        }
        Ok(())
    }

    /// What is odd about it is the inner error.
    fn take_message(
        &mut self,
        workspace: &WorkspaceName,
        message: &Message,
        view: &View,
    ) -> Result<Result<(), String>, Rejection> {
        // A subject that nobody ever wrote to makes no workspace.
        let known = self.by.contains_key(workspace);
        let before = self.chain(workspace).state.size().0;
        let offer = self.offer(workspace, &message.bytes);
        if !known && !matches!(offer, Offer::Extends) && self.chain(workspace).known == 0 {
            self.by.remove(workspace);
        }
        if let Some(chain) = self.by.get_mut(workspace) {
            chain.head = message.sequence;
        }
        match offer {
            Offer::Extends => {
                self.keep(workspace, message.bytes.clone())?;
                let chain = self.chain(workspace);
                if chain.in_log == before {
                    chain.in_log = chain.state.size().0;
                }
                Ok(Ok(()))
            }
            Offer::Before(first, entries) => {
                let same = self.has(workspace, first, &message.bytes, view)?;
                let chain = self.chain(workspace);
                if !same {
                    chain.forked = true;
                    return Ok(Err(format!("another commit of entry {first}")));
                }
                if chain.in_log == first.0 {
                    chain.in_log = first.0 + entries;
                    return Ok(Ok(()));
                }
                Ok(Err(format!("a commit of entry {first} again")))
            }
            Offer::Odd(why) => Ok(Err(why)),
        }
    }

    /// Somebody has seen so many entries.
    pub(super) fn know(&mut self, workspace: &WorkspaceName, size: TreeSize) {
        let chain = self.chain(workspace);
        chain.known = chain.known.max(size.0);
    }

    /// Takes down what is gone of the values, and gives the workspace's row of the plan.
    pub(super) fn put_values(&mut self, workspace: &WorkspaceName, values: &Values) -> RecoveryRow {
        let unattributed = self.lost;
        let chain = self.chain(workspace);
        chain.lost = values.lost.iter().map(|lost| lost.value).collect();
        chain.erase.clone_from(&values.left);
        let named = values.lost.iter().take(NAMED).map(|lost| SecretVersion {
            name: lost.name.clone(),
            version: Some(lost.value.version),
        });
        RecoveryRow {
            lost: named.collect(),
            erase: values.left.len() as u64,
            known: chain.truncated(unattributed),
            values: values.lost.len() as u64,
            entries: chain.state.size(),
            workspace: workspace.clone(),
        }
    }

    pub(super) fn workspaces(&self) -> Vec<WorkspaceName> {
        self.by.keys().cloned().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&WorkspaceName, &Chain)> {
        self.by.iter()
    }

    /// Whether the log lacks a commit that a chain has, or holds one that it has not.
    pub(super) fn differ(&self) -> bool {
        let lacks = |chain: &Chain| chain.forked || chain.in_log != chain.state.size().0;
        self.by.values().any(lacks)
    }

    pub(super) fn odd(&self) -> &[String] {
        &self.odd
    }

    pub(super) fn beside(&self) -> &[String] {
        &self.beside
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes down what the read model does not hold.
    pub(super) fn save(&self, path: &Path) -> Result<(), Rejection> {
        sources::save(path, self.by.values().flat_map(|chain| &chain.more))
    }
}

pub(super) type Messages<'a> =
    futures::stream::BoxStream<'a, (Sequence, Result<Option<Message>, Rejection>)>;

/// Every message of the log by its number: following it would end at the first that is missing.
pub(super) async fn read(log: &dyn Log) -> Result<Messages<'_>, Rejection> {
    let last = crate::ledger::last_of(log).await?;
    let one = move |sequence: u64| async move {
        let sequence = Sequence(sequence);
        let mut found = log.message(sequence).await;
        for _ in 1..TRIES {
            if found.is_ok() {
                break;
            }
            found = log.message(sequence).await;
        }
        let found = found.map_err(|why| Rejection::new(Code::Unreachable, why.0));
        (sequence, found)
    };
    Ok(futures::stream::iter(1..=last.0)
        .map(one)
        .buffered(AT_ONCE)
        .boxed())
}
