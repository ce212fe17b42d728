//! Rebuilding the read model: the follower's loop runs into a new file, which is compared with the
//! present one and moved into its place.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use keyroll_core::{Code, Digest, Identity, LedgerId, Rejection, Sequence};
use keyroll_store::log::Log;
use keyroll_wire::reply::{ProjectionDigest, ProjectionRebuild, ProjectionStatus};

use crate::context::Context;
use crate::follower::{Fold, FollowerHandle, catch_up};
use crate::health::Health;
use crate::projection::{self, Projection, ProjectionError, View};

/// Rebuilds the read model, and compares it with the log.
pub(crate) struct Rebuilder {
    context: Arc<Context>,
    follower: FollowerHandle,
    /// One rebuild at a time: each builds in the same file beside the present one.
    alone: tokio::sync::Mutex<()>,
}

impl Rebuilder {
    pub(crate) fn new(context: Arc<Context>, follower: FollowerHandle) -> Self {
        Self {
            context,
            follower,
            alone: tokio::sync::Mutex::default(),
        }
    }

    /// How far the read model is.
    pub(crate) async fn status(&self) -> Result<ProjectionStatus, Rejection> {
        let view = self.context.view()?;
        let workspaces = view.workspaces()?;
        Ok(ProjectionStatus {
            entries: workspaces.iter().map(|(_, head)| head.size.0).sum(),
            projected: head_of(&view)?,
            workspaces: workspaces.len() as u64,
            log_sequence: self.context.log_end().await?,
        })
    }

    /// The digest of the read model.
    pub(crate) fn digest(&self) -> Result<ProjectionDigest, Rejection> {
        let view = self.context.view()?;
        Ok(ProjectionDigest {
            digest: projection::digest(&view)?,
            entries: view.entries()?,
            projected: head_of(&view)?,
        })
    }

    /// Builds the read model again from the log, compares it with the present one at the same
    /// message, and moves it into its place. Commands and queries continue meanwhile.
    pub(crate) async fn rebuild(&self) -> Result<ProjectionRebuild, Rejection> {
        self.context.health.ledger()?;
        let _alone = self.alone.lock().await;
        let begun = Instant::now();
        let path = self
            .context
            .projection()
            .path()
            .with_extension("redb.rebuild");
        let generation = *self.context.gate.read().await;
        let fold = self.build(&path).await;
        // A recovery may have replaced the log meanwhile. None finishes until the new file is in
        // place.
        let gate = self.context.gate.read().await;
        if *gate != generation {
            let message =
                "the log was recovered meanwhile: rebuild the read model from the new log";
            return Err(Rejection::new(Code::Busy, message));
        }
        let replaced = self.follower.replace(fold?).await?;
        let view = self.context.view()?;
        Ok(ProjectionRebuild {
            root: roots(&view)?,
            digest: replaced.after,
            millis: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            entries: view.entries()?,
            identical: replaced.before == replaced.after,
        })
    }

    async fn build(&self, path: &Path) -> Result<Fold, ProjectionError> {
        let context = &self.context;
        let until = context.progress.read(|progress| progress.sequence);
        let keys = (context.ledger, context.online_key());
        let health = Arc::clone(&context.health);
        build(path, keys, (context.log.as_ref(), until), health).await
    }
}

/// Builds a read model in a new file from the log, up to and with the message `until`.
pub(crate) async fn build(
    path: &Path,
    (ledger, key): (LedgerId, Identity),
    (log, until): (&dyn Log, Sequence),
    health: Arc<Health>,
) -> Result<Fold, ProjectionError> {
    let projection = Projection::build(path, &ledger)?;
    let mut fold = Fold::resume(projection, ledger, key, health)?;
    catch_up(log, &mut fold, until).await?;
    Ok(fold)
}

fn head_of(view: &View) -> Result<Sequence, Rejection> {
    let head = view.head()?;
    Ok(head.map_or(Sequence(0), |(sequence, _)| sequence))
}

/// SHA-256 over all workspaces' roots, in order of name.
fn roots(view: &View) -> Result<Digest, ProjectionError> {
    let mut heads = view.workspaces()?;
    heads.sort_unstable_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    let mut bytes = Vec::new();
    for (_, head) in heads {
        if let Some(workspace) = view.workspace(&head.name)? {
            bytes.extend_from_slice(&workspace.root()?.0);
        }
    }
    Ok(Digest::of(&bytes))
}
