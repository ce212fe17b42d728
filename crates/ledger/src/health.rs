//! The conditions that are known to be wrong. While one stops commands, they are refused; queries
//! are still answered where they can be.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use keyroll_core::{Code, Rejection, WorkspaceName};

/// The kind of a condition. If several stop a command, it is refused for the first in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionKind {
    /// The log is damaged or was set back. Only a recovery ends this.
    Log,
    /// A workspace's part of the log is damaged. Only a recovery ends this.
    Workspace(WorkspaceName),
    /// The read model cannot be written now.
    Storage,
    /// An operator is recovering the log.
    Recovery,
    /// A nats-server acknowledges messages before they are on disk, or that is not known.
    Durability,
    /// The clocks of the service and of the nats-server are too far apart.
    Clock,
    /// A stream cannot be used, as monitors see it.
    Streams,
    /// A workspace has orphans that are left alone.
    Orphans(WorkspaceName),
}

/// How much a condition stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stops {
    /// The whole ledger: commands, the read model, and the service as such.
    Ledger,
    /// Commands and the read model, of all workspaces.
    Following,
    /// Commands of all workspaces.
    Commands,
    /// Nothing in the ledger: commands are tried all the same, and the streams' answers count. The
    /// service reports that it does not serve.
    Service,
    /// Nothing.
    Nothing,
}

/// A known problem and its effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its kind.
    pub kind: ConditionKind,
    /// How much it stops. A condition of one workspace stops it in that workspace only.
    pub stops: Stops,
    /// The refusal that it causes.
    pub reason: Rejection,
}

impl ConditionKind {
    const fn stops(&self) -> Stops {
        match self {
            Self::Log | Self::Storage => Stops::Ledger,
            Self::Recovery | Self::Workspace(_) => Stops::Following,
            Self::Clock | Self::Durability => Stops::Commands,
            Self::Streams => Stops::Service,
            Self::Orphans(_) => Stops::Nothing,
        }
    }

    const fn workspace(&self) -> Option<&WorkspaceName> {
        match self {
            Self::Workspace(name) | Self::Orphans(name) => Some(name),
            Self::Log
            | Self::Storage
            | Self::Recovery
            | Self::Clock
            | Self::Durability
            | Self::Streams => None,
        }
    }
}

impl Condition {
    fn concerns(&self, workspace: &WorkspaceName) -> bool {
        self.kind.workspace().is_none_or(|name| name == workspace)
    }

    fn describe(&self) -> String {
        match &self.kind {
            ConditionKind::Workspace(name) => format!("{name}: {}", self.reason),
            ConditionKind::Orphans(name) => format!("{name}: {}", self.reason.message),
            ConditionKind::Log
            | ConditionKind::Storage
            | ConditionKind::Recovery
            | ConditionKind::Clock
            | ConditionKind::Durability
            | ConditionKind::Streams => self.reason.to_string(),
        }
    }
}

#[derive(Debug, Default)]
struct Conditions {
    /// At most one of each kind, in order.
    list: Vec<Condition>,
    /// Problems that are about to arise. They stop nothing.
    warnings: Vec<String>,
}

impl Conditions {
    fn find(&self, kind: &ConditionKind) -> Option<&Condition> {
        self.list.iter().find(|condition| condition.kind == *kind)
    }

    /// Sets or clears the condition of a kind.
    fn set(&mut self, kind: ConditionKind, reason: Option<Rejection>) {
        self.list.retain(|condition| condition.kind != kind);
        if let Some(reason) = reason {
            let at = self.list.partition_point(|before| before.kind < kind);
            let stops = kind.stops();
            let condition = Condition {
                kind,
                stops,
                reason,
            };
            self.list.insert(at, condition);
        }
    }
}

/// The conditions of a ledger. The follower and the service's monitors set them; the writers and
/// queries refuse by them.
#[derive(Debug, Default)]
pub struct Health(RwLock<Conditions>);

impl Health {
    fn read(&self) -> RwLockReadGuard<'_, Conditions> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Conditions> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the whole ledger out of service. The first reason stays.
    pub fn fail(&self, code: Code, why: impl Into<String>) {
        let reason = Rejection::new(code, why);
        tracing::error!(code = code.as_str(), "{}", reason.message);
        let mut conditions = self.write();
        if conditions.find(&ConditionKind::Log).is_none() {
            conditions.set(ConditionKind::Log, Some(reason));
        }
    }

    /// Puts one workspace out of service. The first reason stays.
    pub fn fail_workspace(&self, workspace: &WorkspaceName, reason: Rejection) {
        tracing::error!(%workspace, code = reason.code.as_str(), "{}", reason.message);
        let mut conditions = self.write();
        let kind = ConditionKind::Workspace(workspace.clone());
        if conditions.find(&kind).is_none() {
            conditions.set(kind, Some(reason));
        }
    }

    /// Sets a condition that passes, and logs when it begins, changes or ends. Monitors set it
    /// again and again while it lasts.
    fn set_passing(&self, kind: ConditionKind, reason: Option<Rejection>, ended: &str) {
        let mut conditions = self.write();
        let known = conditions.find(&kind).map(|condition| &condition.reason);
        match (&reason, known) {
            (Some(reason), known) if known != Some(reason) => {
                tracing::error!("{}", reason.message);
            }
            (None, Some(_)) => tracing::info!("{ended}"),
            (Some(_), _) | (None, None) => {}
        }
        conditions.set(kind, reason);
    }

    /// Refuses commands while the read model cannot be written.
    pub fn set_storage(&self, wrong: Option<Rejection>) {
        let ended = "the read model can be written again";
        self.set_passing(ConditionKind::Storage, wrong, ended);
    }

    /// Refuses commands while a recovery is under way.
    pub fn set_recovery(&self, under_way: bool) {
        let message = "a recovery of the log is under way";
        let reason = under_way.then(|| Rejection::new(Code::Busy, message));
        self.write().set(ConditionKind::Recovery, reason);
    }

    /// Clears the conditions of the log: it was replaced by a recovery.
    pub fn recovered(&self) {
        self.write().list.retain(|condition| match condition.kind {
            ConditionKind::Log | ConditionKind::Recovery | ConditionKind::Workspace(_) => false,
            ConditionKind::Storage
            | ConditionKind::Clock
            | ConditionKind::Durability
            | ConditionKind::Streams
            | ConditionKind::Orphans(_) => true,
        });
    }

    /// Refuses commands while the clock is wrong.
    pub fn set_clock(&self, wrong: Option<Rejection>) {
        self.set_passing(ConditionKind::Clock, wrong, "the clock is right again");
    }

    /// Refuses commands while entries may be acknowledged before they are on disk.
    pub fn set_durability(&self, wrong: Option<Rejection>) {
        let ended = "entries are on disk again before they are acknowledged";
        self.set_passing(ConditionKind::Durability, wrong, ended);
    }

    /// Reports a stream that cannot be used.
    pub fn set_streams(&self, wrong: Option<Rejection>) {
        let ended = "all streams can be used again";
        self.set_passing(ConditionKind::Streams, wrong, ended);
    }

    /// Reports orphans that are left alone.
    pub fn set_orphans(&self, workspace: &WorkspaceName, report: Option<String>) {
        let mut conditions = self.write();
        let kind = ConditionKind::Orphans(workspace.clone());
        let reason = report.map(|report| Rejection::new(Code::ValueLost, report));
        if let Some(reason) = &reason
            && conditions.find(&kind).map(|known| &known.reason) != Some(reason)
        {
            tracing::warn!(%workspace, "{}", reason.message);
        }
        conditions.set(kind, reason);
    }

    /// Reports problems that are about to arise.
    pub fn set_warnings(&self, warnings: Vec<String>) {
        let mut conditions = self.write();
        for warning in &warnings {
            if !conditions.warnings.contains(warning) {
                tracing::warn!("{warning}");
            }
        }
        conditions.warnings = warnings;
    }

    /// Problems that are about to arise.
    pub fn warnings(&self) -> Vec<String> {
        self.read().warnings.clone()
    }

    /// All conditions, in order.
    pub fn conditions(&self) -> Vec<Condition> {
        self.read().list.clone()
    }

    /// Whether a recovery is under way.
    pub fn is_recovering(&self) -> bool {
        self.read().find(&ConditionKind::Recovery).is_some()
    }

    /// Whether the clock can be trusted.
    ///
    /// # Errors
    /// Why not.
    pub fn clock(&self) -> Result<(), Rejection> {
        self.refusal(|condition| condition.kind == ConditionKind::Clock)
    }

    /// Whether the ledger serves at all.
    ///
    /// # Errors
    /// Why not.
    pub fn ledger(&self) -> Result<(), Rejection> {
        self.refusal(|condition| condition.stops == Stops::Ledger)
    }

    /// Whether the ledger accepts commands, as far as no single workspace is concerned.
    ///
    /// # Errors
    /// Why not.
    pub fn serving(&self) -> Result<(), Rejection> {
        self.refusal(|condition| {
            condition.kind.workspace().is_none() && condition.stops != Stops::Nothing
        })
    }

    /// Whether the ledger accepts commands of a workspace.
    ///
    /// # Errors
    /// Why not.
    pub fn workspace(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        self.refusal(|condition| match condition.stops {
            Stops::Ledger | Stops::Following | Stops::Commands => condition.concerns(workspace),
            Stops::Service | Stops::Nothing => false,
        })
    }

    /// Whether the read model of a workspace follows the log.
    ///
    /// # Errors
    /// Why not.
    pub fn following(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        self.refusal(|condition| match condition.stops {
            Stops::Ledger | Stops::Following => condition.concerns(workspace),
            Stops::Commands | Stops::Service | Stops::Nothing => false,
        })
    }

    /// The problems of the log.
    pub fn broken(&self) -> Vec<String> {
        self.describe(|condition| {
            matches!(
                condition.kind,
                ConditionKind::Log | ConditionKind::Workspace(_)
            )
        })
    }

    /// The problems of the ledger as a whole, then those of the workspaces that `shown` lets
    /// through: a list that is cut leaves out workspaces.
    pub fn problems(&self, shown: impl Fn(&WorkspaceName) -> bool) -> Vec<String> {
        let mut problems = self.describe(|condition| condition.kind.workspace().is_none());
        problems.extend(self.describe(|condition| condition.kind.workspace().is_some_and(&shown)));
        problems
    }

    /// The first condition that the predicate lets through, as a refusal.
    fn refusal(&self, which: impl Fn(&Condition) -> bool) -> Result<(), Rejection> {
        let conditions = self.read();
        let wrong = conditions.list.iter().find(|condition| which(condition));
        wrong.map_or(Ok(()), |condition| Err(condition.reason.clone()))
    }

    fn describe(&self, which: impl Fn(&Condition) -> bool) -> Vec<String> {
        let conditions = self.read();
        let chosen = conditions.list.iter().filter(|condition| which(condition));
        chosen.map(Condition::describe).collect()
    }
}
