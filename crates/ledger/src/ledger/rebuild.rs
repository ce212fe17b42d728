//! Rebuilding the read model: the same loop into a new file, compared, and moved into place.

use std::sync::Arc;
use std::time::Instant;

use keyroll_core::{Code, Digest, Identity, Rejection, Sequence};
use keyroll_wire::reply::{ProjectionDigest, ProjectionRebuild, ProjectionStatus};
use tokio::sync::oneshot;

use super::{Ledger, log_end};
use crate::follower::{Fold, FollowerRequest, catch_up};
use crate::projection::{Projection, ProjectionError, View, digest};

fn broken(error: &ProjectionError) -> Rejection {
    error.rejection()
}

impl Ledger {
    /// How far the read model is.
    pub(crate) async fn projection_status(&self) -> Result<ProjectionStatus, Rejection> {
        let view = self.projection().view().map_err(|error| broken(&error))?;
        let workspaces = view.workspaces().map_err(|error| broken(&error))?;
        Ok(ProjectionStatus {
            entries: workspaces.iter().map(|(_, head)| head.size.0).sum(),
            projected: head_of(&view)?,
            workspaces: workspaces.len() as u64,
            log_sequence: log_end(self.context.log.as_ref()).await?,
        })
    }

    /// The digest of the read model.
    pub(crate) fn projection_digest(&self) -> Result<ProjectionDigest, Rejection> {
        let view = self.projection().view().map_err(|error| broken(&error))?;
        Ok(ProjectionDigest {
            digest: digest(&view).map_err(|error| broken(&error))?,
            entries: view.entries().map_err(|error| broken(&error))?,
            projected: head_of(&view)?,
        })
    }

    /// Builds the read model anew from the log, compares it with the present one at the same place
    /// of the log, and puts it in its place. Commands and queries go on meanwhile.
    pub(crate) async fn rebuild(&self) -> Result<ProjectionRebuild, Rejection> {
        self.context.health.ledger()?;
        // One after the other: each builds in the same file beside the present one.
        let _alone = self.rebuilding.lock().await;
        let begun = Instant::now();
        let path = self.projection().path().with_extension("redb.rebuild");
        let generation = *self.context.gate.read().await;
        let fold = self.fold_anew(&path).await;
        // What was built from a log is no read model of the one that a recovery made anew. None
        // finishes until this is in place.
        let gate = self.context.gate.read().await;
        if *gate != generation {
            let words = "the log was recovered meanwhile: build the read model anew from that";
            return Err(Rejection::new(Code::Busy, words));
        }
        let (answer, answered) = oneshot::channel();
        let request =
            FollowerRequest::Replace(Box::new(fold.map_err(|error| broken(&error))?), answer);
        let stopped = || Rejection::new(Code::Internal, "the read model is not being followed");
        self.requests.send(request).await.map_err(|_| stopped())?;
        let replaced = answered
            .await
            .map_err(|_| stopped())?
            .map_err(|error| broken(&error))?;
        let view = self.projection().view().map_err(|error| broken(&error))?;
        Ok(ProjectionRebuild {
            root: roots(&view).map_err(|error| broken(&error))?,
            digest: replaced.after,
            millis: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            entries: view.entries().map_err(|error| broken(&error))?,
            identical: replaced.before == replaced.after,
        })
    }

    async fn fold_anew(&self, path: &std::path::Path) -> Result<Fold, ProjectionError> {
        let projection = Projection::build(path, &self.context.ledger)?;
        let key = Identity(self.context.key.verifying_key().to_bytes());
        let mut fold = Fold::resume(
            projection,
            self.context.ledger,
            key,
            Arc::clone(&self.context.health),
        )?;
        let until = self.context.progress.read(|progress| progress.sequence);
        catch_up(self.context.log.as_ref(), &mut fold, until).await?;
        Ok(fold)
    }
}

fn head_of(view: &View) -> Result<Sequence, Rejection> {
    let head = view.head().map_err(|error| broken(&error))?;
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
