//! A running ledger: it owns the parts, hands requests to them, and returns signed bytes.

mod dispatch;
mod log_head;
mod open;

use std::sync::Arc;

use keyroll_core::statement::SealingKey;
use keyroll_core::{Blob, LedgerId, Rejection, WorkspaceName, cbor, cose};
use keyroll_store::keyring::{Keyring, period_of};
use keyroll_wire::reply::ServiceInfo;

use crate::commands::{self, Commands};
use crate::context::{AWAIT_PROJECTION, Context};
use crate::credentials::Credentials;
use crate::erasure::Eraser;
use crate::follower::{FollowerHandle, Progress};
use crate::health::Health;
use crate::long_requests::LongRequests;
use crate::queries::Queries;
use crate::rebuild::Rebuilder;
use crate::recovery::Recovery;
use crate::response::{self, Response};
use crate::status::{Environment, HealthSummary, StatusReport};
use crate::storage_check::StorageCheck;
use crate::writer::Writers;

pub use open::{OpenError, Options};

/// A running ledger.
pub struct Ledger {
    context: Arc<Context>,
    /// The online key's statement, for clients.
    statement: Blob,
    keyring: Arc<Keyring>,
    writers: Arc<Writers>,
    follower: FollowerHandle,
    commands: Commands,
    queries: Queries,
    credentials: Credentials,
    eraser: Eraser,
    status: StatusReport,
    rebuilder: Rebuilder,
    storage_check: StorageCheck,
    recovery: Recovery,
    long_requests: LongRequests,
}

impl Ledger {
    /// Carries out a command request that came for a workspace: the bytes of a
    /// [`keyroll_wire::reply::CommandReply`].
    pub async fn command(&self, workspace: &WorkspaceName, request: &[u8]) -> Response {
        self.commands.command(workspace, request).await
    }

    /// Carries out an acceptance of an invitation, in the workspace that it names: the bytes of a
    /// [`keyroll_wire::reply::CommandReply`]. People who are no members yet send it, so nothing else
    /// is taken here.
    pub async fn accept(&self, request: &[u8]) -> Response {
        match commands::accepted_workspace(request) {
            Ok(workspace) => self.command(&workspace, request).await,
            Err(rejection) => self.refuse_command(request, rejection),
        }
    }

    /// Refuses a command request without carrying it out.
    pub fn refuse_command(&self, request: &[u8], rejection: Rejection) -> Response {
        commands::refuse_command(&self.context, request, rejection)
    }

    /// Refuses a query without reading it.
    pub fn refuse_query(&self, query: &[u8], rejection: Rejection) -> Response {
        response::refuse_query(&self.context.key, query, rejection)
    }

    /// The background worker that finishes erasures and rotations.
    pub const fn eraser(&self) -> &Eraser {
        &self.eraser
    }

    /// The ledger's id.
    pub fn id(&self) -> LedgerId {
        self.context.ledger
    }

    /// The known problems.
    pub fn health(&self) -> &Health {
        &self.context.health
    }

    /// The ledger's health, from memory and the read model alone.
    pub fn health_summary(&self) -> HealthSummary {
        self.status.health_summary()
    }

    /// Sets the environment as the service observed it, for status queries.
    pub fn set_environment(&self, environment: Environment) {
        self.status.set_environment(environment);
    }

    /// How far the read model is.
    pub fn progress(&self) -> Progress {
        self.context.progress.read(Progress::clone)
    }

    /// How many workspaces are in memory: with a writer, and with the follower.
    pub fn in_memory(&self) -> (usize, usize) {
        let followed = self.context.progress.read(|progress| progress.loaded);
        (self.writers.count(), followed)
    }

    /// Waits until the read model holds all that the log holds now.
    ///
    /// # Errors
    /// The ledger's problem, or that the log cannot be read.
    pub async fn caught_up(&self) -> Result<(), Rejection> {
        self.context.await_log_end().await
    }

    /// Makes the read model durable before an orderly end: the next start then notices a log that
    /// was set back meanwhile.
    pub async fn flush(&self) {
        // The follow record first: it vouches for all that the read model holds.
        let recorded = self.eraser.record_following(true);
        if let Ok(Err(why)) = tokio::time::timeout(AWAIT_PROJECTION, recorded).await {
            tracing::debug!(%why, "the time of the orderly end was not recorded");
        }
        let _ = tokio::time::timeout(AWAIT_PROJECTION, self.follower.flush()).await;
    }

    /// Erases the sealing keys of past days. With a clock that is known to be wrong it erases none.
    ///
    /// # Errors
    /// When they cannot be listed or erased.
    pub async fn housekeeping(&self) -> Result<usize, Rejection> {
        self.context.health.clock()?;
        let now = self.context.now();
        self.keyring.erase_past_sealing_keys(now).await
    }

    /// The information that a client needs before its first request: the bytes of a
    /// [`ServiceInfo`], or of a signed reply with the error when the sealing key of the day cannot
    /// be read or made.
    pub async fn info(&self) -> Response {
        let (context, now) = (&self.context, self.context.now());
        let period = period_of(now);
        let key = self.keyring.sealing_key(period).await;
        // An operator must reach a ledger that is out of service for want of a stream.
        let key = key.or_else(|rejection| match context.health.ledger() {
            Ok(()) => Err(rejection),
            Err(_) => self.keyring.ephemeral_sealing_key(period),
        });
        let key = match key {
            Ok(key) => key,
            Err(rejection) => return self.refuse_query(&[], rejection),
        };
        let sealing = SealingKey {
            v: 1,
            key,
            ledger: context.ledger,
            period,
        };
        let info = ServiceInfo {
            now,
            ledger_key: self.statement.clone(),
            sealing_key: cose::sign(&sealing, &context.key).into(),
        };
        Response {
            bytes: cbor::encode(&info),
            refusal: None,
            permit: None,
        }
    }
}
