//! Appending to the new log.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use keyroll_core::command::{COMMAND_V, Command, LogTruncate, ValuesLose};
use keyroll_core::{
    Action, Authority, Blob, Code, CommandId, Commit, Digest, Entry, Index, Millis, Recorded,
    Rejection, Rules, Sequence, SignedCommand, State, WorkspaceName, cbor, commit, cose, decide,
};
use keyroll_merkle::leaf_hash;

use super::chains::{Chain, Chains};
use super::{Recovery, StartedRecovery};
use crate::context::unreachable;
use crate::projection::{Projection, View};
use keyroll_store::keyring::random;
use keyroll_store::log::{AppendError, Log};

/// How often an append is tried, and the pause between tries.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// Lost values named by one entry.
const VALUES: usize = 1_000;

/// How far a chain is appended.
struct Cursor<'a> {
    workspace: &'a WorkspaceName,
    chain: &'a Chain,
    /// The next entry.
    at: u64,
    more: usize,
    head: Sequence,
    next: Option<(Millis, Bytes)>,
}

impl Cursor<'_> {
    fn load(&mut self, view: &View) -> Result<(), Rejection> {
        let bytes = if self.at < self.chain.held {
            let found = view.workspace(self.workspace)?;
            let commit = found
                .map(|found| found.commit_of(Index(self.at)))
                .transpose()?
                .flatten();
            commit.map(|commit| commit.bytes)
        } else {
            let bytes = self.chain.more.get(self.more).cloned();
            self.more += usize::from(bytes.is_some());
            bytes
        };
        self.next = match bytes {
            Some(bytes) => {
                let commit = Commit::decode(&bytes)?.payload;
                self.at += commit.entries.len() as u64;
                Some((commit.at, bytes))
            }
            None => None,
        };
        Ok(())
    }
}

/// Appends all chains: each in its order, and merged by the time of the commits. Returns the last
/// message of each.
pub(super) async fn chains(
    log: &dyn Log,
    projection: &Projection,
    chains: &Chains,
) -> Result<BTreeMap<WorkspaceName, Sequence>, Rejection> {
    let view = projection.view()?;
    let mut cursors = Vec::new();
    for (workspace, chain) in chains.iter() {
        let (at, more, head) = (0, 0, Sequence(0));
        let mut cursor = Cursor {
            workspace,
            chain,
            at,
            more,
            head,
            next: None,
        };
        cursor.load(&view)?;
        cursors.push(cursor);
    }
    let earliest = |cursors: &[Cursor<'_>]| {
        let waiting = cursors.iter().enumerate();
        let waiting = waiting.filter_map(|(at, cursor)| Some((cursor.next.as_ref()?.0, at)));
        waiting.min().map(|(_, at)| at)
    };
    while let Some(at) = earliest(&cursors) {
        let cursor = &mut cursors[at];
        if let Some((_, bytes)) = cursor.next.take() {
            cursor.head = one(log, cursor.workspace, bytes, cursor.head).await?;
        }
        cursor.load(&view)?;
    }
    let heads = cursors
        .into_iter()
        .map(|cursor| (cursor.workspace.clone(), cursor.head));
    Ok(heads.collect())
}

/// Appends one commit, with retries.
async fn one(
    log: &dyn Log,
    workspace: &WorkspaceName,
    bytes: Bytes,
    expected: Sequence,
) -> Result<Sequence, Rejection> {
    let mut why = String::new();
    for _ in 0..TRIES {
        match log.append(workspace, bytes.clone(), expected).await {
            Ok(sequence) => return Ok(sequence),
            Err(AppendError::Conflict) => {
                let head = log.head(workspace).await;
                let head = head.map_err(unreachable)?;
                let there = log.message(head).await;
                let there = there.map_err(unreachable)?;
                if there.is_some_and(|message| message.bytes == bytes) {
                    return Ok(head);
                }
                let message = format!("another service writes to the log of {workspace}");
                return Err(Rejection::new(Code::Conflict, message));
            }
            Err(AppendError::NotAppended(error) | AppendError::Unknown(error)) => why = error,
        }
        tokio::time::sleep(PAUSE).await;
    }
    let message = format!("the new log cannot be written: {why}; recover again");
    Err(Rejection::new(Code::AuditUnavailable, message))
}

impl Recovery {
    /// Records the losses. Returns the number of entries that record them.
    pub(super) async fn append_losses(
        &self,
        started: &StartedRecovery,
        heads: &BTreeMap<WorkspaceName, Sequence>,
    ) -> Result<u64, Rejection> {
        let mut appended = 0;
        for (workspace, chain) in started.chains.iter() {
            let mut actions = Vec::new();
            if let Some(size) = chain.truncated(started.chains.lost()) {
                actions.push(Action::LogTruncate(LogTruncate { size }));
            }
            for values in chain.lost.chunks(VALUES) {
                let values = values.to_vec();
                actions.push(Action::ValuesLose(ValuesLose { values }));
            }
            let mut state = chain.state.clone();
            // The head at the time of the decision: a later message is a conflict.
            let mut head = heads.get(workspace).copied().unwrap_or(chain.head);
            for action in actions {
                let commit = self.own_commit(&mut state, action)?;
                head = one(self.context.log.as_ref(), workspace, commit, head).await?;
                appended += 1;
            }
        }
        Ok(appended)
    }

    /// A commit of one entry by the ledger's own key.
    fn own_commit(&self, state: &mut State, action: Action) -> Result<Bytes, Rejection> {
        let (context, at) = (&self.context, state.recorded_time(self.context.now()));
        let command = Command {
            v: COMMAND_V,
            at,
            id: CommandId(random()?),
            action,
            ledger: context.ledger,
            workspace: state.workspace().clone(),
            member: None,
            approval: None,
            delegation: None,
        };
        let bytes = cose::sign(&command, &context.key);
        let command = SignedCommand::decode(&bytes).and_then(SignedCommand::verify)?;
        let authority = Authority {
            operator: false,
            key: context.created.clone(),
        };
        let events = decide(Rules::CURRENT, state, &command, at, &authority)?;
        let entry = cbor::encode(&Entry {
            at,
            events: events.clone(),
            command: Blob(bytes),
        });
        let commit = Commit {
            v: commit::COMMIT_V,
            at,
            root: Digest(state.root().0),
            first: state.size(),
            rules: Rules::CURRENT.number(),
            ledger: context.ledger,
            entries: vec![Blob(entry.clone())],
            workspace: state.workspace().clone(),
        };
        let recorded = Recorded {
            index: state.size().next_index(),
            at,
            events,
            command: (*command).clone(),
            leaf: leaf_hash(&entry),
        };
        state.apply(Rules::CURRENT, &recorded);
        Ok(cose::sign(&commit, &context.key).into())
    }

    /// Erases destroyed values again. Returns the number of objects that were erased.
    pub(super) async fn erase_destroyed(&self, chains: &Chains) -> Result<u64, Rejection> {
        let mut erased = 0;
        for (_, chain) in chains.iter() {
            for subject in &chain.erase {
                erased += u64::from(self.context.vault.erase_subject(subject).await?);
            }
        }
        Ok(erased)
    }
}
