//! Gathering the chains from the commits of the read model, of the log, and of files beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use futures::StreamExt as _;
use keyroll_core::{
    Code, Commit, Digest, Identity, Index, LedgerId, Rejection, Sequence, State, TreeSize,
    WorkspaceName,
};

use super::chains::{Chain, Chains};
use super::pool::{CommitIndex, Pool, UnplacedCommit};
use super::sources;
use crate::context::unreachable;
use crate::follower::{check_owner, fold_next, open};
use crate::projection::{CommitAt, View};
use keyroll_store::log::{Log, Message};

/// Messages of the log asked for at once.
const CONCURRENT_REQUESTS: usize = 64;
/// How often an unreadable message is fetched.
const TRIES: usize = 3;
/// The position of the log among the sources. Files follow it.
const LOG: usize = 0;

/// A message of the log that differs from the read model.
struct DivergentMessage {
    sequence: Sequence,
    workspace: WorkspaceName,
    /// The first and the end entry of its commit, and its digest; or why it is no commit.
    commit: Result<(TreeSize, u64, Digest), String>,
}

struct Gatherer<'a> {
    view: &'a View,
    chains: Chains,
    pool: Pool,
    sources: Vec<String>,
    different: Vec<DivergentMessage>,
}

/// The longest chain of each workspace, and the problems of the log.
pub(super) async fn gather(
    log: &dyn Log,
    view: &View,
    (ledger, key): (LedgerId, Identity),
    beside: &Path,
) -> Result<Chains, Rejection> {
    let mut gathering = Gatherer {
        view,
        chains: Chains::new(ledger, key),
        pool: Pool::default(),
        sources: vec!["the log".to_owned()],
        different: Vec::new(),
    };
    gathering.take_read_model()?;
    gathering.take_log(log).await?;
    for file in sources::files(beside)? {
        gathering.take_file(&file)?;
    }
    gathering.choose()
}

impl Gatherer<'_> {
    fn take_read_model(&mut self) -> Result<(), Rejection> {
        for (_, head) in self.view.workspaces()? {
            let workspace = head.name;
            let (mut chain, wrong) = self.replay(&workspace, |_| ())?;
            if let Some(wrong) = wrong {
                let words = format!("the read model, {workspace}: {wrong}");
                self.chains.report_anomaly(words);
            }
            chain.known = head.size.0;
            chain.held = chain.state.size().0;
            self.chains.put(workspace, chain);
        }
        Ok(())
    }

    /// Folds the read model's commits of a workspace, and shows the state before each. Also returns
    /// why it stopped early, if it did.
    fn replay(
        &self,
        workspace: &WorkspaceName,
        mut before: impl FnMut(&State),
    ) -> Result<(Chain, Option<String>), Rejection> {
        let (ledger, key) = self.chains.owner();
        let mut chain = Chain::new(ledger, workspace);
        let found = self.view.workspace(workspace);
        let Some(found) = found? else {
            return Ok((chain, None));
        };
        while chain.state.size() < found.size() {
            before(&chain.state);
            let at = chain.state.size().next_index();
            let commit = found.commit_of(at)?;
            let Some(commit) = commit else { break };
            if let Err(anomaly) = fold_next(&mut chain.state, &ledger, &key, &commit.bytes) {
                return Ok((chain, Some(anomaly.to_string())));
            }
        }
        Ok((chain, None))
    }

    /// The read model's commit that begins with this entry.
    fn held(&self, workspace: &WorkspaceName, first: TreeSize) -> Result<Option<Bytes>, Rejection> {
        let held = self.chains.get(workspace).map_or(0, |chain| chain.held);
        if first.0 >= held {
            return Ok(None);
        }
        let found = || match self.view.workspace(workspace)? {
            Some(found) => found.commit_of(Index(first.0)),
            None => Ok(None),
        };
        let found = found()?;
        let begins = |commit: &CommitAt| commit.first.0 == first.0;
        Ok(found.filter(begins).map(|commit| commit.bytes))
    }

    async fn take_log(&mut self, log: &dyn Log) -> Result<(), Rejection> {
        let head = self.view.head()?;
        let head = head.map_or(Sequence(0), |(sequence, _)| sequence);
        let mut messages = read(log).await?;
        while let Some((sequence, message)) = messages.next().await {
            let message = message?;
            let is_new = sequence > head;
            self.chains.count(message.is_some(), is_new);
            let Some(message) = message else {
                let words = format!("message {sequence} of the log cannot be read");
                self.chains.report_anomaly(words);
                continue;
            };
            if let Some(workspace) = message.workspace.clone() {
                self.take_message(&workspace, &message)?;
            } else {
                let words = format!("message {sequence} of the log: foreign");
                self.chains.report_anomaly(words);
            }
        }
        Ok(())
    }

    fn take_message(
        &mut self,
        workspace: &WorkspaceName,
        message: &Message,
    ) -> Result<(), Rejection> {
        let sequence = message.sequence;
        self.chains.head(workspace, sequence);
        let commit = match self.signed(workspace, &message.bytes)? {
            Err(why) => Err(why),
            Ok(commit) => {
                let first = commit.first;
                let end = first.0 + commit.entries.len() as u64;
                if self.held(workspace, first)?.as_ref() == Some(&message.bytes) {
                    self.chains.found_in_log(sequence, workspace, (first, end));
                    return Ok(());
                }
                let added = self.pool.add(&commit, &message.bytes, LOG);
                added.map_err(|_| {
                    let message = "the log holds far more than the read model: stop the service, \
                                   move ledger.redb away, start it, and recover then";
                    Rejection::new(Code::TooLarge, message)
                })?;
                Ok((first, end, Digest::of(&message.bytes)))
            }
        };
        self.different.push(DivergentMessage {
            sequence,
            workspace: workspace.clone(),
            commit,
        });
        Ok(())
    }

    /// A commit of this workspace that the ledger's key signed, or why it is none. Its place in the
    /// tree is not checked.
    ///
    /// # Errors
    /// [`Code::UpgradeNeeded`] for a commit of a later program: this one would leave it out.
    fn signed(
        &self,
        workspace: &WorkspaceName,
        bytes: &[u8],
    ) -> Result<Result<Commit, String>, Rejection> {
        let (ledger, key) = self.chains.owner();
        let commit = match open(bytes, &key) {
            Ok(opened) => opened.commit,
            Err(why) if why.code == Code::UpgradeNeeded => return Err(why),
            Err(why) => return Ok(Err(why.message)),
        };
        if let Err(why) = check_owner(&commit, &ledger, workspace) {
            return Ok(Err(why));
        }
        if commit.entries.is_empty() {
            return Ok(Err("a commit without entries".to_owned()));
        }
        Ok(Ok(commit))
    }

    fn take_file(&mut self, file: &Path) -> Result<(), Rejection> {
        let name = file.file_name().unwrap_or_default().display().to_string();
        let (ledger, from) = (self.chains.owner().0, self.sources.len());
        self.sources.push(format!("recover/{name}"));
        sources::read(file, &ledger, &mut |workspace, bytes| {
            let Ok(commit) = self.signed(workspace, &bytes)? else {
                return Ok(());
            };
            if self.held(workspace, commit.first)?.as_ref() == Some(&bytes) {
                return Ok(());
            }
            let added = self.pool.add(&commit, &bytes, from);
            added.map_err(|_| {
                let message = format!(
                    "recover/{name} holds far more that the read model has not: recover without it, \
                     or, if it is a read model, stop the service and put it in place of ledger.redb"
                );
                Rejection::new(Code::TooLarge, message)
            })
        })
    }

    /// Chooses the longest chain of each workspace.
    fn choose(mut self) -> Result<Chains, Rejection> {
        let pool = std::mem::take(&mut self.pool).into_workspaces();
        for (workspace, index) in &pool {
            self.choose_one(workspace, index)?;
        }
        for different in std::mem::take(&mut self.different) {
            let (sequence, workspace) = (different.sequence, different.workspace);
            let why = match different.commit {
                Err(why) => why,
                Ok((first, end, digest)) => match self.chains.get(&workspace) {
                    Some(chain) if chain.has(first, digest) => {
                        self.chains.found_in_log(sequence, &workspace, (first, end));
                        continue;
                    }
                    Some(chain) if first < chain.state.size() => {
                        format!("another commit of entry {first}")
                    }
                    Some(chain) if first > chain.state.size() => {
                        format!("entries {} to {first} are missing", chain.state.size())
                    }
                    _ => format!("it does not follow on the first {first} entries"),
                },
            };
            let words = format!("message {sequence} of the log, {workspace}: {why}");
            self.chains.report_anomaly(words);
        }
        self.chains.close();
        Ok(self.chains)
    }

    fn choose_one(
        &mut self,
        workspace: &WorkspaceName,
        index: &CommitIndex,
    ) -> Result<(), Rejection> {
        let (ledger, key) = self.chains.owner();
        let mut forks = BTreeSet::new();
        for (first, root) in index.places() {
            let Some(there) = self.held(workspace, *first)? else {
                continue;
            };
            if Commit::decode(&there).is_ok_and(|there| there.payload.root == *root) {
                forks.insert(*first);
            }
        }
        let mut chain = self.chains.take(workspace);
        let held = chain.held;
        let mut longest = index.longest(chain.state.clone(), &ledger, &key);
        if !forks.is_empty() {
            self.replay(workspace, |state| {
                if forks.contains(&state.size()) {
                    let other = index.longest(state.clone(), &ledger, &key);
                    if other.state.size() > longest.state.size() {
                        chain.held = state.size().0;
                        longest = other;
                    }
                }
            })?;
        }
        if chain.held < held {
            chain.abandoned_root = Some(Digest(chain.state.root().0));
            let (from, left) = (chain.held, held - chain.held);
            let source = longest
                .taken
                .first()
                .and_then(|first| first.from.first().copied());
            self.chains.report_other_history(format!(
                "{workspace}: from entry {from} on the history of {} is longer, and is taken; the read \
                 model's {left} entries from there on are left out",
                self.sources[source.unwrap_or(LOG)]
            ));
        }
        let (size, root) = (longest.state.size(), Digest(longest.state.root().0));
        let taken: BTreeSet<*const u8> =
            longest.taken.iter().map(|one| one.bytes.as_ptr()).collect();
        let left = || {
            index
                .all()
                .filter(|one| !taken.contains(&one.bytes.as_ptr()))
        };
        let is_other =
            |one: &&UnplacedCommit| one.first < size || (one.first == size && one.root != root);
        // For each source: where it leaves the chosen history, and how far it goes.
        let mut others: BTreeMap<usize, (TreeSize, u64)> = BTreeMap::new();
        for other in left().filter(is_other) {
            for from in &other.from {
                let (first, _) = others.entry(*from).or_insert((other.first, 0));
                *first = other.first.min(*first);
            }
        }
        for other in left() {
            for from in &other.from {
                if let Some((_, end)) = others.get_mut(from) {
                    *end = other.end.max(*end);
                }
            }
        }
        for (source, (first, end)) in &others {
            self.chains.report_other_history(format!(
                "{}, {workspace}: another history from entry {first} on, to entry {}: it is left out",
                self.sources[*source],
                end - 1
            ));
        }
        // A commit after the chosen history was in the log once, unless it is of another history.
        let is_later = |one: &&UnplacedCommit| {
            !is_other(one) && one.from.iter().any(|from| !others.contains_key(from))
        };
        let later = left().filter(is_later);
        let ends = later.map(|one| one.end).chain([chain.known, size.0]);
        chain.known = ends.max().unwrap_or_default();
        let unused = left().map(|one| one.bytes.clone());
        self.chains.leave(unused.collect());
        chain.extend(longest);
        self.chains.put(workspace.clone(), chain);
        Ok(())
    }
}

type Messages<'a> = futures::stream::BoxStream<'a, (Sequence, Result<Option<Message>, Rejection>)>;

/// Every message of the log by its number. Following would end at the first missing one.
async fn read(log: &dyn Log) -> Result<Messages<'_>, Rejection> {
    let last = log.last().await.map_err(unreachable)?;
    let one = move |sequence: u64| async move {
        let sequence = Sequence(sequence);
        let mut found = log.message(sequence).await;
        for _ in 1..TRIES {
            if found.is_ok() {
                break;
            }
            found = log.message(sequence).await;
        }
        let found = found.map_err(unreachable);
        (sequence, found)
    };
    Ok(futures::stream::iter(1..=last.0)
        .map(one)
        .buffered(CONCURRENT_REQUESTS)
        .boxed())
}
