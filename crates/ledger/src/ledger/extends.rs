//! Whether the ledger still has what somebody has seen: docs/adr/0028-a-member-refused-as-a-stranger.md.

use keyroll_core::command::Nothing;
use keyroll_core::decide::not_a_member;
use keyroll_core::{Code, Digest, Rejection, TreeSize, WorkspaceName};
use keyroll_wire::query::AuditExtends;
use keyroll_wire::reply::Answer;

use super::query::{broken, stands};
use super::{Ledger, Position, REACH, last_of};
use crate::follower::Progress;

impl Ledger {
    /// Answers who knows the root of a workspace at some size, member or not; everybody else is told what
    /// a stranger is told. `seen` is what the asker has seen by now.
    pub(super) async fn extends(
        &self,
        workspace: &WorkspaceName,
        known: AuditExtends,
        seen: TreeSize,
        position: &mut Position,
    ) -> Result<Answer, Rejection> {
        let last = last_of(self.shared.log.as_ref()).await?;
        let behind = |progress: &Progress| progress.sequence < last;
        if self.shared.progress.now(behind) {
            let caught_up = self.shared.progress.wait_for(|now| !behind(now));
            if tokio::time::timeout(REACH, caught_up).await.is_err() {
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
        if seen > found.size() {
            return Err(behind_log());
        }
        *position = stands(&found, seen)?;
        Ok(Answer::AuditExtends(Nothing {}))
    }
}

fn behind_log() -> Rejection {
    let words = "the read model is behind the log: try again shortly";
    Rejection::new(Code::Busy, words)
}
