//! Whether the ledger still has what somebody has seen: docs/adr/0028-a-stranger-who-was-none.md.

use keyroll_core::command::Nothing;
use keyroll_core::decide::not_a_member;
use keyroll_core::{Code, Digest, Rejection, TreeSize, WorkspaceName};
use keyroll_wire::query::AuditExtends;
use keyroll_wire::reply::Answer;

use super::query::{broken, proven_head};
use super::{AWAIT_PROJECTION, Ledger, ProvenHead, log_end};
use crate::follower::Progress;

impl Ledger {
    /// Answers who knows the root of a workspace at some size, member or not; everybody else is told what
    /// a stranger is told. `seen` is what the asker has seen by now.
    pub(super) async fn extends(
        &self,
        workspace: &WorkspaceName,
        known: AuditExtends,
        trusted_size: TreeSize,
        head: &mut ProvenHead,
    ) -> Result<Answer, Rejection> {
        let last = log_end(self.context.log.as_ref()).await?;
        let behind = |progress: &Progress| progress.sequence < last;
        if self.context.progress.read(behind) {
            let caught_up = self.context.progress.wait_for(|now| !behind(now));
            if tokio::time::timeout(AWAIT_PROJECTION, caught_up)
                .await
                .is_err()
            {
                return Err(behind_log());
            }
        }
        let view = self.projection().view().map_err(|error| broken(&error))?;
        let found = view.workspace(workspace).map_err(|error| broken(&error))?;
        let found = found.filter(|found| known.size > TreeSize(0) && found.size() >= known.size);
        let found = found.ok_or_else(|| not_a_member(workspace))?;
        let root = keyroll_merkle::root(&found, known.size.0).map_err(|error| broken(&error))?;
        if Digest(root.0) != known.root {
            return Err(not_a_member(workspace));
        }
        if trusted_size > found.size() {
            return Err(behind_log());
        }
        *head = proven_head(&found, trusted_size)?;
        Ok(Answer::AuditExtends(Nothing {}))
    }
}

fn behind_log() -> Rejection {
    let words = "the read model is behind the log: try again shortly";
    Rejection::new(Code::Busy, words)
}
