//! What is wrong, as far as it is known. While something is, commands are refused and queries go
//! on where they can.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use keyroll_core::{Code, Rejection, WorkspaceName};

/// Shared by the follower, which finds out, and the writers and queries, which answer by it.
#[derive(Debug, Default)]
pub struct Health(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ledger: Option<Rejection>,
    workspaces: BTreeMap<WorkspaceName, Rejection>,
    /// Passing: the read model cannot be written.
    storage: Option<Rejection>,
    /// Passing: an operator is at work on the log.
    recovery: Option<Rejection>,
    /// Passing: the clock and the nats-server's are too far apart.
    clock: Option<Rejection>,
    /// Passing: a nats-server acknowledges before it is on disk, or that is not known.
    durability: Option<Rejection>,
    /// Passing: a stream cannot be used, as it was seen from outside. Commands are tried all the
    /// same: what the stream says to them is what counts.
    reach: Option<Rejection>,
    /// Values that no entry refers to and that are left alone. They stop nothing.
    orphans: BTreeMap<WorkspaceName, String>,
    /// What will be wrong soon. They stop nothing.
    warnings: Vec<String>,
}

impl Inner {
    /// What stops both commands and the read model.
    fn stopped(&self, workspace: &WorkspaceName) -> Option<&Rejection> {
        let broken = self.ledger.as_ref();
        let broken = broken.or_else(|| self.workspaces.get(workspace));
        broken.or(self.inside())
    }

    /// What stops every workspace for now.
    fn inside(&self) -> Option<&Rejection> {
        self.storage.as_ref().or(self.recovery.as_ref())
    }

    /// What the service found around it: it stops commands.
    fn around(&self) -> Option<&Rejection> {
        self.durability.as_ref().or(self.clock.as_ref())
    }
}

impl Health {
    /// Puts the whole ledger out of service. The first reason stays.
    pub fn fail(&self, code: Code, why: impl Into<String>) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let rejection = Rejection::new(code, why);
        tracing::error!(code = code.as_str(), "{}", rejection.message);
        inner.ledger.get_or_insert(rejection);
    }

    /// Puts one workspace out of service. The first reason stays.
    pub fn fail_workspace(&self, workspace: &WorkspaceName, rejection: Rejection) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tracing::error!(%workspace, code = rejection.code.as_str(), "{}", rejection.message);
        inner
            .workspaces
            .entry(workspace.clone())
            .or_insert(rejection);
    }

    /// Refuses commands while the read model cannot be written, and takes them again when it can.
    pub fn set_storage(&self, wrong: Option<Rejection>) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match (&wrong, &inner.storage) {
            (Some(rejection), _) => tracing::error!("{}", rejection.message),
            (None, Some(_)) => tracing::info!("the read model can be written again"),
            (None, None) => {}
        }
        inner.storage = wrong;
    }

    /// Refuses commands while a recovery is under way.
    pub fn set_recovery(&self, under_way: bool) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let words = "a recovery of the log is under way";
        inner.recovery = under_way.then(|| Rejection::new(Code::Busy, words));
    }

    /// Forgets what was wrong with the log: it has been made anew.
    pub fn recovered(&self) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.ledger = None;
        inner.workspaces.clear();
        inner.recovery = None;
    }

    /// Refuses commands while the clock is wrong, and takes them again when it is not.
    pub fn set_clock(&self, wrong: Option<Rejection>) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(rejection) = &wrong {
            tracing::error!("{}", rejection.message);
        }
        inner.clock = wrong;
    }

    /// Refuses commands while entries may be acknowledged that are not on disk, and takes them again
    /// when they are.
    pub fn set_durability(&self, wrong: Option<Rejection>) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match (&wrong, &inner.durability) {
            // It is looked at again and again while it lasts.
            (Some(rejection), known) if known.as_ref() != Some(rejection) => {
                tracing::error!("{}", rejection.message);
            }
            (None, Some(_)) => tracing::info!("entries are on disk again before they count"),
            (Some(_), _) | (None, None) => {}
        }
        inner.durability = wrong;
    }

    /// Says that a stream cannot be used for now, or that it can again.
    pub fn set_reach(&self, wrong: Option<Rejection>) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match (&wrong, &inner.reach) {
            (Some(rejection), known) if known.as_ref() != Some(rejection) => {
                tracing::error!("{}", rejection.message);
            }
            (None, Some(_)) => tracing::info!("all streams can be used again"),
            (Some(_), _) | (None, None) => {}
        }
        inner.reach = wrong;
    }

    /// Says what will be wrong soon.
    pub fn set_warnings(&self, warnings: Vec<String>) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for warning in &warnings {
            if !inner.warnings.contains(warning) {
                tracing::warn!("{warning}");
            }
        }
        inner.warnings = warnings;
    }

    /// What will be wrong soon.
    pub fn warnings(&self) -> Vec<String> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.warnings.clone()
    }

    /// Says that there are values which no entry refers to and which are left alone.
    pub fn set_orphans(&self, workspace: &WorkspaceName, words: Option<String>) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match words {
            Some(words) => {
                if inner.orphans.get(workspace) != Some(&words) {
                    tracing::warn!(%workspace, "{words}");
                }
                inner.orphans.insert(workspace.clone(), words);
            }
            None => drop(inner.orphans.remove(workspace)),
        }
    }

    /// Whether a recovery is under way.
    pub fn is_recovering(&self) -> bool {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.recovery.is_some()
    }

    /// Whether the clock can be trusted.
    ///
    /// # Errors
    /// Why not.
    pub fn clock(&self) -> Result<(), Rejection> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.clock.clone().map_or(Ok(()), Err)
    }

    /// Whether the ledger serves at all.
    ///
    /// # Errors
    /// Why not.
    pub fn ledger(&self) -> Result<(), Rejection> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let wrong = inner.ledger.as_ref().or(inner.storage.as_ref());
        wrong.cloned().map_or(Ok(()), Err)
    }

    /// Whether the ledger takes commands, as far as no workspace's own state is concerned.
    ///
    /// # Errors
    /// Why not.
    pub fn serving(&self) -> Result<(), Rejection> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let wrong = inner.ledger.as_ref().or(inner.inside()).or(inner.around());
        let wrong = wrong.or(inner.reach.as_ref());
        wrong.cloned().map_or(Ok(()), Err)
    }

    /// Whether the ledger takes commands of a workspace.
    ///
    /// # Errors
    /// Why not.
    pub fn workspace(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let wrong = inner.stopped(workspace).or(inner.around());
        wrong.cloned().map_or(Ok(()), Err)
    }

    /// Whether the read model of a workspace goes on with the log.
    ///
    /// # Errors
    /// Why not.
    pub fn following(&self, workspace: &WorkspaceName) -> Result<(), Rejection> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.stopped(workspace).cloned().map_or(Ok(()), Err)
    }

    /// What is wrong with the log, in words.
    pub fn broken(&self) -> Vec<String> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let workspaces = inner.workspaces.iter();
        let workspaces = workspaces.map(|(workspace, wrong)| format!("{workspace}: {wrong}"));
        let ledger = inner.ledger.iter().map(ToString::to_string);
        ledger.chain(workspaces).collect()
    }

    /// Everything that is wrong, in words: of the ledger as a whole, and of the workspaces that
    /// `shown` lets through.
    pub fn problems(&self, shown: impl Fn(&WorkspaceName) -> bool) -> Vec<String> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let ledger = inner
            .ledger
            .iter()
            .chain(&inner.storage)
            .chain(&inner.recovery)
            .chain(&inner.clock)
            .chain(&inner.durability)
            .chain(&inner.reach)
            .map(ToString::to_string);
        let workspaces = inner
            .workspaces
            .iter()
            .filter(|(workspace, _)| shown(workspace));
        let workspaces = workspaces.map(|(workspace, wrong)| format!("{workspace}: {wrong}"));
        let orphans = inner.orphans.iter();
        let orphans = orphans.filter(|(workspace, _)| shown(workspace));
        let orphans = orphans.map(|(workspace, words)| format!("{workspace}: {words}"));
        ledger.chain(workspaces).chain(orphans).collect()
    }
}
