//! Checks the streams: every message of the log exists, the vault holds every live value, and it
//! holds no destroyed one.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;
use keyroll_core::state::ValueState;
use keyroll_core::{Rejection, Sequence, State, WorkspaceName};
use keyroll_wire::reply::{StorageProblem, StorageReport};

use crate::context::{Context, no_workspace, unreachable};
use crate::projection::{View, WorkspaceView};
use crate::value_check::{CONCURRENT_REQUESTS, ValueCheck, ValueReport, versions};
use keyroll_store::keyring::Keyring;
use keyroll_store::log::Message;

/// Problems listed at most.
const LISTED: usize = 1_000;

/// Compares the streams with the read model.
pub(crate) struct StorageCheck {
    context: Arc<Context>,
    keyring: Arc<Keyring>,
    /// One check at a time: each reads the whole log.
    alone: tokio::sync::Mutex<()>,
}

impl StorageCheck {
    pub(crate) fn new(context: Arc<Context>, keyring: Arc<Keyring>) -> Self {
        Self {
            context,
            keyring,
            alone: tokio::sync::Mutex::default(),
        }
    }

    /// Compares the streams with the read model. Nothing is changed.
    pub(crate) async fn check(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<StorageReport, Rejection> {
        let _alone = self.alone.lock().await;
        let check = ValueCheck {
            context: &self.context,
            keyring: &self.keyring,
        };
        let stored = check.stored(workspace).await?;
        self.context.await_head(workspace).await?;
        let view = self.context.view()?;
        let found = view.workspace(workspace)?;
        let found = found.ok_or_else(|| no_workspace(workspace))?;
        let state = found.state(self.context.ledger)?;
        let mut problems = self.check_log(&view, &found).await?;
        let values = check.check_values(&state, stored).await?;
        let lost = values.lost.iter().map(|lost| {
            let (name, version) = (&lost.name, lost.value.version);
            storage_problem(
                "value_lost",
                format!("{name}, version {version}: {}", lost.why),
            )
        });
        problems.extend(lost);
        problems.extend(values.ahead.iter().map(|ahead| {
            let (name, version) = (&ahead.name, ahead.value.version);
            let detail = format!(
                "{name}, version {version}: its value is under a key epoch that the log does not know, so \
                 the log was truncated; `keyroll key rotate` brings that key into force"
            );
            storage_problem("value_lost", detail)
        }));
        problems.extend(values.left.iter().map(|subject| {
            storage_problem("not_erased", format!("{subject} holds an erased value"))
        }));
        let (known, listed) = (problems.len(), problems.len().min(LISTED));
        problems.truncate(listed);
        Ok(StorageReport {
            checked: values.checked,
            messages: self.context.log_end().await?.0,
            problems,
            warnings: warnings(&state, &values, known - listed),
        })
    }

    /// Every message up to the read model's head must exist, and those of the workspace must be the
    /// bytes that the read model holds.
    async fn check_log(
        &self,
        view: &View,
        found: &WorkspaceView<'_>,
    ) -> Result<Vec<StorageProblem>, Rejection> {
        let head = view.head()?;
        let head = head.map_or(0, |(sequence, _)| sequence.0);
        let (log, mut problems) = (self.context.log.as_ref(), Vec::new());
        let read = |sequence| async move {
            let sequence = Sequence(sequence);
            (sequence, log.message(sequence).await)
        };
        let mut kept: BTreeSet<u64> = BTreeSet::new();
        let anomaly = found.problems()?;
        let reported: BTreeSet<Sequence> = anomaly.iter().map(|anomaly| anomaly.sequence).collect();
        let mut messages = futures::stream::iter(1..=head)
            .map(read)
            .buffered(CONCURRENT_REQUESTS);
        while let Some((sequence, message)) = messages.next().await {
            let message = message.map_err(unreachable)?;
            let wrong = match message {
                None => Some("cannot be read".to_owned()),
                Some(message) if message.workspace.as_ref() == Some(&found.head().name) => {
                    compare(found, &message, &mut kept)?
                }
                Some(_) => None,
            };
            if let Some(why) = wrong.filter(|_| !reported.contains(&sequence))
                && problems.len() <= LISTED
            {
                let detail = format!("message {sequence} of the log {why}");
                problems.push(storage_problem("corrupt", detail));
            }
        }
        Ok(problems)
    }
}

/// Why a message is not the commit that the read model holds; none if it is.
fn compare(
    found: &WorkspaceView<'_>,
    message: &Message,
    kept: &mut BTreeSet<u64>,
) -> Result<Option<String>, Rejection> {
    let Ok(commit) = keyroll_core::Commit::decode(&message.bytes) else {
        return Ok(Some("is no commit".to_owned()));
    };
    let first = commit.payload.first.next_index();
    let held = found.commit_of(first)?;
    let same = held.is_some_and(|held| held.first == first && message.bytes == held.bytes);
    if same && kept.insert(first.0) {
        return Ok(None);
    }
    let why = if same {
        "exists twice"
    } else {
        "is not the one that the read model holds"
    };
    Ok(Some(format!("(entry {first}) {why}")))
}

fn storage_problem(kind: &str, detail: String) -> StorageProblem {
    let kind = kind.to_owned();
    StorageProblem { kind, detail }
}

fn warnings(state: &State, values: &ValueReport, unlisted: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let lost = versions(state)
        .filter(|(.., info)| info.state == ValueState::Lost)
        .count();
    if lost > 0 {
        warnings.push(format!(
            "{lost} values were lost before, and that is recorded"
        ));
    }
    if !values.ending.is_empty() {
        let ending = values.ending.len();
        warnings.push(format!("{ending} destroyed values are being erased"));
    }
    if values.orphans > 0 {
        let orphans = values.orphans;
        warnings.push(format!(
            "{orphans} stored values belong to no version: those left by a crash are swept, those that the log may have lost stay"
        ));
    }
    if let Some(size) = state.row().truncated {
        warnings.push(format!(
            "entries up to {size} were lost before, and that is recorded"
        ));
    }
    if unlisted > 0 {
        warnings.push(format!("{unlisted} further problems are not listed"));
    }
    warnings
}
