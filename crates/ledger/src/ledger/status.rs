//! How the ledger is.

use std::sync::PoisonError;

use keyroll_core::state::WorkspaceRow;
use keyroll_core::{Code, Identity, Rejection, Sequence, WorkspaceName};
use keyroll_wire::reply::{KeyStatus, Status};

use super::query::broken;
use super::{Ledger, log_end};
use crate::erasure::RotationProgress;
use crate::projection::WorkspaceView;

/// What the service knows of the nats-server and its own clock.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Name and version of the nats-server.
    pub nats_server: String,
    /// Whether it was seen to write every message to disk before it acknowledges.
    pub sync_verified: bool,
    /// Milliseconds that the service's clock is ahead of the nats-server's.
    pub clock_ahead_ms: i64,
}

/// How the ledger is, as far as it knows without asking anybody.
#[derive(Debug, Clone)]
pub struct HealthSummary {
    /// The last message of the log that is in the read model.
    pub projected: Sequence,
    /// Entries in the read model, of all workspaces; none while it cannot be read.
    pub entries: Option<u64>,
    /// What is wrong with the ledger or its workspaces.
    pub problems: usize,
    /// What will be wrong soon.
    pub warnings: usize,
    /// Why no command is taken at all, if none is.
    pub refusing: Option<Rejection>,
    /// Milliseconds that the service's clock is ahead of the nats-server's.
    pub clock_ahead_ms: i64,
}

impl Ledger {
    /// How it is, from memory and the read model alone: for monitoring, which must have an answer
    /// while the log is out of reach.
    pub fn health_summary(&self) -> HealthSummary {
        let view = self.projection().view().ok();
        HealthSummary {
            projected: self.context.progress.read(|progress| progress.sequence),
            entries: view.and_then(|view| view.entries().ok()),
            problems: self.context.health.problems(|_| true).len(),
            warnings: self.context.health.warnings().len(),
            refusing: self.context.health.serving().err(),
            clock_ahead_ms: self
                .environment
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clock_ahead_ms,
        }
    }

    /// Tells what the service found around it; shown by status.
    pub fn set_environment(&self, environment: Environment) {
        *self
            .environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = environment;
    }

    /// The wrapping keys of a workspace, and how far a rotation is.
    pub(super) fn key_status(&self, view: &WorkspaceView<'_>) -> KeyStatus {
        let (row, progress) = (view.row(), self.erasure.of(&view.head().name));
        KeyStatus {
            done: progress.done,
            epoch: row.epoch,
            total: progress.total,
            ending: row.ending,
            erased: progress.erasing.map(|(done, _)| done),
            problem: progress.problem.filter(|_| row.is_unfinished()),
            retiring: row.retiring,
            to_erase: progress.erasing.map(|(_, total)| total),
        }
    }

    /// How the ledger is, as far as it concerns the asker: operators are told all, members of
    /// workspaces what is wrong with theirs.
    pub(super) async fn status(&self, asker: Identity) -> Result<Status, Rejection> {
        let operator = self.context.operators.contains(&asker);
        let own = self.workspaces_of(asker)?;
        if !operator && own.is_empty() {
            let message = "only operators and members are told how the service is";
            return Err(Rejection::new(Code::Denied, message));
        }
        let shown = |name: &WorkspaceName| operator || own.iter().any(|row| row.workspace == *name);
        let mut problems = self.context.health.problems(shown);
        let last = log_end(self.context.log.as_ref()).await;
        if let Err(rejection) = &last {
            problems.push(rejection.to_string());
        }
        let view = self.projection().view().map_err(|error| broken(&error))?;
        for anomaly in view.problems(None).map_err(|error| broken(&error))? {
            if anomaly.workspace.as_ref().map_or(operator, shown) {
                problems.push(format!(
                    "message {} of the log: {}: {}",
                    anomaly.sequence, anomaly.kind, anomaly.detail
                ));
            }
        }
        let mut under_way = Vec::new();
        let heads = view.workspaces().map_err(|error| broken(&error))?;
        for (_, head) in heads.iter().filter(|(_, head)| shown(&head.name)) {
            let progress = self.erasure.of(&head.name);
            under_way.extend(words(&head.name, &head.row, &progress));
            let problem = progress.problem.filter(|_| head.row.is_unfinished());
            problems.extend(problem.map(|why| format!("{}: {why}", head.name)));
        }
        let entries = if operator {
            view.entries().map_err(|error| broken(&error))?
        } else {
            own.iter().map(|row| row.size.0).sum()
        };
        let around = self
            .environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let head = view.head().map_err(|error| broken(&error))?;
        Ok(Status {
            entries,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            problems: listed(problems),
            warnings: self.context.health.warnings(),
            projected: head.map_or(Sequence(0), |(sequence, _)| sequence),
            nats_server: around.nats_server,
            log_sequence: last.unwrap_or(Sequence(0)),
            under_way: listed(under_way),
            sync_verified: around.sync_verified,
            clock_ahead_ms: around.clock_ahead_ms,
        })
    }
}

/// Lines of one kind that a status shows at most: somebody may be a member of thousands of workspaces.
const LISTED: usize = 200;

fn listed(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(LISTED);
    lines.truncate(LISTED);
    lines.extend((more > 0).then(|| format!("and {more} more")));
    lines
}

/// What the keeper is doing in a workspace.
fn words(name: &WorkspaceName, row: &WorkspaceRow, progress: &RotationProgress) -> Vec<String> {
    let rotating = row.retiring.map(|old| {
        let (done, total, new) = (progress.done, progress.total, row.epoch);
        format!("{name}: key rotation from epoch {old} to {new}, {done} of {total} values copied")
    });
    let ending = row.ending;
    let erasing = (ending > 0).then(|| format!("{name}: {ending} destroyed values to erase"));
    rotating.into_iter().chain(erasing).collect()
}
