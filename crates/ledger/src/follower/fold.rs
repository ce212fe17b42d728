//! Folding messages into a projection: decode, check the signature, the place and the root, fold,
//! write.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use keyroll_core::{Digest, Identity, LedgerId, Rejection, Sequence, WorkspaceName};
use keyroll_store::log::Message;
use tokio::time::Instant;

use super::anomaly::{Severity, next};
use super::entries::apply;
use super::prepare::{Prepared, prepare};
use super::progress::Progress;
use super::workspace::LoadedWorkspace;
use super::{IDLE, Notice};
use crate::health::Health;
use crate::projection::{Problem, Projection, ProjectionError, WriteBatch, catch_panics};

/// How often idle workspaces are looked for within the idle time.
const IDLE_LOOKS: u32 = 10;

/// Folds messages into a projection.
pub struct Fold {
    ledger: LedgerId,
    key: Identity,
    health: Arc<Health>,
    projection: Projection,
    workspaces: HashMap<WorkspaceName, LoadedWorkspace>,
    numbers: u32,
    sequence: Sequence,
    /// How long an unused workspace stays in memory.
    idle: Duration,
}

impl Fold {
    /// Continues where a projection ends. `key` is the ledger's online key.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn resume(
        projection: Projection,
        ledger: LedgerId,
        key: Identity,
        health: Arc<Health>,
    ) -> Result<Self, ProjectionError> {
        let view = projection.view()?;
        let sequence = view.head()?.map_or(Sequence(0), |(sequence, _)| sequence);
        let workspaces = view.workspaces()?;
        for (_, head) in &workspaces {
            if let Some(wrong) = &head.wrong {
                health.fail_workspace(&head.name, wrong.clone());
            }
        }
        let numbers = u32::try_from(workspaces.len()).unwrap_or(u32::MAX);
        drop(view);
        Ok(Self {
            ledger,
            key,
            health,
            projection,
            workspaces: HashMap::new(),
            numbers,
            sequence,
            idle: IDLE,
        })
    }

    /// Sets how long an unused workspace stays in memory.
    pub fn forget_after(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// How long an unused workspace stays in memory.
    pub(super) const fn idle(&self) -> Duration {
        self.idle
    }

    /// How often to look for idle workspaces.
    pub(super) fn idle_check_interval(&self) -> Duration {
        (self.idle / IDLE_LOOKS).max(Duration::from_millis(1))
    }

    /// Drops idle workspaces from memory. They are loaded from the read model again when they are
    /// used.
    pub(super) fn forget_idle(&mut self) {
        let idle = self.idle;
        self.workspaces.retain(|_, slot| slot.used.elapsed() < idle);
        self.workspaces.shrink_to_fit();
    }

    /// The last message folded in.
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Updates the progress.
    pub(super) fn update_progress(&self, progress: &mut Progress) {
        progress.sequence = self.sequence;
        progress.loaded = self.workspaces.len();
        for (workspace, slot) in &self.workspaces {
            progress
                .workspaces
                .insert(workspace.clone(), (slot.sequence, slot.state.size()));
            if slot.state.row().is_unfinished() {
                progress.unfinished.insert(workspace.clone());
            } else {
                progress.unfinished.remove(workspace);
            }
        }
    }

    /// Moves its file.
    pub(super) fn move_to(&mut self, path: &std::path::Path) -> Result<(), ProjectionError> {
        crate::durable::rename(self.projection.path(), path)
            .map_err(|error| ProjectionError::Storage(error.to_string()))?;
        self.projection = self.projection.clone().moved_to(path);
        Ok(())
    }

    /// Opens the file again after a disk error, and continues where the file ends.
    ///
    /// # Errors
    /// [`ProjectionError`]. It can be tried again then.
    pub(super) fn reopen(&mut self, why: &ProjectionError) -> Result<(), ProjectionError> {
        self.projection.reopen(&self.ledger, why)?;
        let (projection, health) = (self.projection.clone(), Arc::clone(&self.health));
        let idle = self.idle;
        *self = catch_panics(|| Self::resume(projection, self.ledger, self.key, health))?;
        self.idle = idle;
        Ok(())
    }

    /// Reports faults to `health` from now on.
    pub(crate) fn report_to(&mut self, health: Arc<Health>) {
        self.health = health;
    }

    /// The projection it writes.
    pub const fn projection(&self) -> &Projection {
        &self.projection
    }

    fn workspace(&mut self, name: &WorkspaceName) -> Result<&mut LoadedWorkspace, ProjectionError> {
        if !self.workspaces.contains_key(name) {
            let loaded = LoadedWorkspace::load(&self.projection.view()?, self.ledger, name)?;
            let loaded = loaded.unwrap_or_else(|| {
                let number = self.numbers;
                self.numbers = self.numbers.saturating_add(1);
                LoadedWorkspace::new(self.ledger, name.clone(), number)
            });
            self.workspaces.insert(name.clone(), loaded);
        }
        self.workspaces
            .get_mut(name)
            .ok_or_else(|| ProjectionError::Damaged("a workspace vanished".to_owned()))
    }

    /// Folds messages in, writes them as one transaction, and returns the notices of their events.
    ///
    /// # Errors
    /// [`ProjectionError`]. The fold must be dropped then: its states are ahead of the file.
    pub fn fold(
        &mut self,
        messages: &[Message],
        durable: bool,
    ) -> Result<Vec<Notice>, ProjectionError> {
        self.fold_prepared(self.prepared(messages.to_vec()), durable)
    }

    /// Decodes messages and checks their signatures, which needs no state.
    fn prepared(&self, messages: Vec<Message>) -> Vec<Prepared> {
        prepare(messages, &self.key)
    }

    /// The ledger's online key.
    pub(super) const fn key(&self) -> Identity {
        self.key
    }

    pub(super) fn fold_prepared(
        &mut self,
        messages: Vec<Prepared>,
        durable: bool,
    ) -> Result<Vec<Notice>, ProjectionError> {
        let mut batch = WriteBatch::default();
        let mut notices = Vec::new();
        let last = messages.last().map(|one| one.message.clone());
        for one in messages {
            self.sequence = one.message.sequence;
            self.message(one, &mut batch, &mut notices)?;
        }
        batch.head = last.map(|last| (last.sequence, Digest::of(&last.bytes)));
        for workspace in self.workspaces.values() {
            if let Some(part) = batch.workspaces.get_mut(&workspace.number) {
                workspace.collect_rows(part);
            }
        }
        self.projection.write(&batch, durable)?;
        Ok(notices)
    }

    fn message(
        &mut self,
        Prepared { message, opened }: Prepared,
        batch: &mut WriteBatch,
        notices: &mut Vec<Notice>,
    ) -> Result<(), ProjectionError> {
        let message = &message;
        let at = message.sequence;
        let Some(name) = &message.workspace else {
            batch
                .problems
                .push(problem(message, "foreign", "its subject is no workspace's"));
            return Ok(());
        };
        let (ledger, health) = (self.ledger, Arc::clone(&self.health));
        let workspace = self.workspace(name)?;
        (workspace.sequence, workspace.used) = (at, Instant::now());
        if workspace.wrong.is_none() {
            let part = batch.workspaces.entry(workspace.number).or_default();
            let applied = next(&workspace.state, &ledger, opened)
                .and_then(|opened| apply(workspace, message, opened, part));
            match applied {
                Ok(kinds) => notices.extend(kinds.into_iter().map(|(index, kind)| Notice {
                    workspace: name.clone(),
                    index,
                    kind,
                })),
                Err(anomaly) => match anomaly.report(workspace.state.size()) {
                    (Severity::Ignored(kind), why) => {
                        batch.problems.push(problem(message, kind, &why));
                    }
                    (Severity::Stops(code), why) => {
                        let wrong = Rejection::new(code, format!("message {at} of the log: {why}"));
                        health.fail_workspace(name, wrong.clone());
                        workspace.wrong = Some(wrong);
                        batch.problems.push(problem(message, code.as_str(), &why));
                    }
                },
            }
        }
        let part = batch.workspaces.entry(workspace.number).or_default();
        part.head = Some(workspace.head());
        Ok(())
    }
}

fn problem(message: &Message, kind: &str, detail: &str) -> Problem {
    let (sequence, workspace) = (message.sequence, message.workspace.clone());
    Problem {
        kind: kind.to_owned(),
        detail: detail.to_owned(),
        sequence,
        workspace,
    }
}
