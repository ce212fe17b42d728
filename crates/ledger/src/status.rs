//! The status of the ledger: problems, warnings and work under way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyroll_core::state::WorkspaceRow;
use keyroll_core::{Code, MemberId, Rejection, Sequence, WorkspaceName};
use keyroll_wire::reply::Status;

use crate::context::Context;
use crate::erasure::{ErasureProgress, RotationProgress};
use crate::queries::workspaces_of;

/// The state of the nats-server and of the service's own clock, as last observed.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Name and version of the nats-server.
    pub nats_server: String,
    /// Whether the service has verified that it acknowledges messages only once they are on disk.
    pub sync_verified: bool,
    /// Milliseconds that the service's clock is ahead of the nats-server's.
    pub clock_ahead_ms: i64,
}

/// The ledger's health, as far as it is known without a request to any server.
#[derive(Debug, Clone)]
pub struct HealthSummary {
    /// The last message of the log that is in the read model.
    pub projected: Sequence,
    /// Entries in the read model, of all workspaces; none while it cannot be read.
    pub entries: Option<u64>,
    /// The number of problems of the ledger and its workspaces.
    pub problems: usize,
    /// The number of problems that are about to arise.
    pub warnings: usize,
    /// Why all commands are refused, if they are.
    pub refusing: Option<Rejection>,
    /// Milliseconds that the service's clock is ahead of the nats-server's.
    pub clock_ahead_ms: i64,
}

/// Reports the ledger's health.
pub(crate) struct StatusReport {
    context: Arc<Context>,
    erasure: Arc<ErasureProgress>,
    environment: Mutex<Environment>,
}

impl StatusReport {
    pub(crate) fn new(context: Arc<Context>, erasure: Arc<ErasureProgress>) -> Self {
        Self {
            context,
            erasure,
            environment: Mutex::default(),
        }
    }

    fn environment(&self) -> MutexGuard<'_, Environment> {
        let environment = self.environment.lock();
        environment.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_environment(&self, environment: Environment) {
        *self.environment() = environment;
    }

    /// From memory and the read model alone: monitoring must have an answer while the log is out of
    /// reach.
    pub(crate) fn health_summary(&self) -> HealthSummary {
        let (context, view) = (&self.context, self.context.view().ok());
        HealthSummary {
            projected: context.progress.read(|progress| progress.sequence),
            entries: view.and_then(|view| view.entries().ok()),
            problems: context.health.conditions().len(),
            warnings: context.health.warnings().len(),
            refusing: context.health.serving().err(),
            clock_ahead_ms: self.environment().clock_ahead_ms,
        }
    }

    /// Operators see everything, members the problems of their workspaces.
    pub(crate) async fn status(
        &self,
        asker: MemberId,
        operator: bool,
    ) -> Result<Status, Rejection> {
        let own = workspaces_of(&self.context, asker)?;
        if !operator && own.is_empty() {
            let message = "only operators and members may ask for the status";
            return Err(Rejection::new(Code::Denied, message));
        }
        let shown = |name: &WorkspaceName| operator || own.iter().any(|row| row.workspace == *name);
        let mut problems = self.context.health.problems(shown);
        let last = self.context.log_end().await;
        if let Err(rejection) = &last {
            problems.push(rejection.to_string());
        }
        let view = self.context.view()?;
        for anomaly in view.problems(None)? {
            if anomaly.workspace.as_ref().map_or(operator, shown) {
                problems.push(format!(
                    "message {} of the log: {}: {}",
                    anomaly.sequence, anomaly.kind, anomaly.detail
                ));
            }
        }
        let mut under_way = Vec::new();
        let heads = view.workspaces()?;
        for (_, head) in heads.iter().filter(|(_, head)| shown(&head.name)) {
            let progress = self.erasure.of(&head.name);
            under_way.extend(work_under_way(&head.name, &head.row, &progress));
            let problem = progress.problem.filter(|_| head.row.is_unfinished());
            problems.extend(problem.map(|why| format!("{}: {why}", head.name)));
        }
        let entries = if operator {
            view.entries()?
        } else {
            own.iter().map(|row| row.size.0).sum()
        };
        let environment = self.environment().clone();
        let head = view.head()?;
        Ok(Status {
            entries,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            problems: listed(problems),
            warnings: self.context.health.warnings(),
            projected: head.map_or(Sequence(0), |(sequence, _)| sequence),
            nats_server: environment.nats_server,
            log_sequence: last.unwrap_or(Sequence(0)),
            under_way: listed(under_way),
            sync_verified: environment.sync_verified,
            clock_ahead_ms: environment.clock_ahead_ms,
        })
    }
}

/// Lines of one kind that a status shows at most: an asker may be a member of thousands of
/// workspaces.
const LISTED: usize = 200;

fn listed(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(LISTED);
    lines.truncate(LISTED);
    lines.extend((more > 0).then(|| format!("and {more} more")));
    lines
}

/// The eraser's present work in a workspace.
fn work_under_way(
    name: &WorkspaceName,
    row: &WorkspaceRow,
    progress: &RotationProgress,
) -> Vec<String> {
    let rotating = row.retiring.map(|old| {
        let (done, total, new) = (progress.done, progress.total, row.epoch);
        format!("{name}: key rotation from epoch {old} to {new}, {done} of {total} values copied")
    });
    let ending = row.ending;
    let erasing = (ending > 0).then(|| format!("{name}: {ending} destroyed values to erase"));
    rotating.into_iter().chain(erasing).collect()
}
