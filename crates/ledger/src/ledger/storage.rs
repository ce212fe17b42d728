//! Whether the streams hold what the log says: every message of the log, every live value in the
//! vault, nothing of what is destroyed.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use keyroll_core::state::ValueState;
use keyroll_core::{Code, Rejection, Sequence, State, WorkspaceName};
use keyroll_wire::reply::{StorageProblem, StorageReport};

use super::values::{CONCURRENT_REQUESTS, Values, versions};
use super::{Ledger, last_of};
use crate::projection::{View, WorkspaceView};
use keyroll_store::log::Message;

/// Problems listed at most.
const LISTED: usize = 1_000;

impl Ledger {
    /// Compares the streams with the read model. Nothing is changed.
    pub(super) async fn check_storage(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<StorageReport, Rejection> {
        let _alone = self.checking.lock().await;
        let stored = self.stored(workspace).await?;
        self.reach_head(workspace).await?;
        let view = self
            .projection()
            .view()
            .map_err(|error| error.rejection())?;
        let found = view
            .workspace(workspace)
            .map_err(|error| error.rejection())?;
        let Some(found) = found else {
            let message = format!("there is no workspace {workspace}");
            return Err(Rejection::new(Code::NotFound, message));
        };
        let state = found
            .state(self.shared.ledger)
            .map_err(|error| error.rejection())?;
        let mut problems = self.check_log(&view, &found).await?;
        let values = self.check_values(&state, stored).await?;
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
                "{name}, version {version}: its value lies under a key that the log does not know, so \
                 the log has lost its end; `keyroll key rotate` brings that key into force"
            );
            storage_problem("value_lost", detail)
        }));
        problems.extend(values.left.iter().map(|subject| {
            storage_problem("not_erased", format!("{subject} holds what is erased"))
        }));
        let (known, listed) = (problems.len(), problems.len().min(LISTED));
        problems.truncate(listed);
        Ok(StorageReport {
            checked: values.checked,
            messages: last_of(self.shared.log.as_ref()).await?.0,
            problems,
            warnings: warnings(&state, &values, known - listed),
        })
    }

    /// Every message up to the read model's head is there, and those of the workspace are the very
    /// bytes that the read model keeps.
    async fn check_log(
        &self,
        view: &View,
        found: &WorkspaceView<'_>,
    ) -> Result<Vec<StorageProblem>, Rejection> {
        let head = view.head().map_err(|error| error.rejection())?;
        let head = head.map_or(0, |(sequence, _)| sequence.0);
        let (log, mut problems) = (self.shared.log.as_ref(), Vec::new());
        let read = |sequence| async move {
            let sequence = Sequence(sequence);
            (sequence, log.message(sequence).await)
        };
        let mut kept: BTreeSet<u64> = BTreeSet::new();
        let odd = found.problems().map_err(|error| error.rejection())?;
        let reported: BTreeSet<Sequence> = odd.iter().map(|odd| odd.sequence).collect();
        let mut messages = futures::stream::iter(1..=head)
            .map(read)
            .buffered(CONCURRENT_REQUESTS);
        while let Some((sequence, message)) = messages.next().await {
            let message = message.map_err(|why| Rejection::new(Code::Unreachable, why.0))?;
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

/// Whether a message holds what the read model keeps of it; words if not.
fn compare(
    found: &WorkspaceView<'_>,
    message: &Message,
    kept: &mut BTreeSet<u64>,
) -> Result<Option<String>, Rejection> {
    let Ok(commit) = keyroll_core::Commit::decode(&message.bytes) else {
        return Ok(Some("is no commit".to_owned()));
    };
    let first = commit.payload.first.next_index();
    let held = found.commit_of(first).map_err(|error| error.rejection())?;
    let same = held.is_some_and(|held| held.first == first && message.bytes == held.bytes);
    if same && kept.insert(first.0) {
        return Ok(None);
    }
    let why = if same {
        "is there twice"
    } else {
        "is not what the read model keeps"
    };
    Ok(Some(format!("(entry {first}) {why}")))
}

fn storage_problem(kind: &str, detail: String) -> StorageProblem {
    let kind = kind.to_owned();
    StorageProblem { kind, detail }
}

fn warnings(state: &State, values: &Values, unlisted: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let lost = versions(state)
        .filter(|(.., info)| info.state == ValueState::Lost)
        .count();
    if lost > 0 {
        warnings.push(format!(
            "{lost} values were lost before, and that is on record"
        ));
    }
    if !values.ending.is_empty() {
        let ending = values.ending.len();
        warnings.push(format!("{ending} destroyed values are being erased"));
    }
    if values.orphans > 0 {
        let orphans = values.orphans;
        warnings.push(format!(
            "{orphans} stored values belong to no version: what a crash left is swept, what the log may have lost stays"
        ));
    }
    if let Some(size) = state.row().truncated {
        warnings.push(format!(
            "entries up to {size} were lost before, and that is on record"
        ));
    }
    if unlisted > 0 {
        warnings.push(format!("{unlisted} further problems are not listed"));
    }
    warnings
}
