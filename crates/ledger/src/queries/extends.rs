//! Whether the ledger still has the tree that a caller has seen:
//! docs/adr/0028-a-member-refused-as-a-stranger.md.

use keyroll_core::command::Nothing;
use keyroll_core::decide::not_a_member;
use keyroll_core::{Digest, Rejection, TreeSize, WorkspaceName};
use keyroll_wire::query::AuditExtends;
use keyroll_wire::reply::Answer;

use crate::context::{AWAIT_PROJECTION, Context, behind};
use crate::follower::Progress;
use crate::proofs;
use crate::response::ProvenHead;

/// Waits, for a while, until the read model has all that the log has by now.
pub(super) async fn await_log_end(context: &Context) -> Result<(), Rejection> {
    let last = context.log_end().await?;
    let lags = |progress: &Progress| progress.sequence < last;
    if context.progress.read(lags) {
        let caught_up = context.progress.wait_for(|now| !lags(now));
        if tokio::time::timeout(AWAIT_PROJECTION, caught_up)
            .await
            .is_err()
        {
            return Err(behind());
        }
    }
    Ok(())
}

/// Answers anybody who knows the root of a workspace at some size, member or not. Everybody else
/// gets the answer of a stranger. `trusted_size` is the size that the asker has seen by now.
pub(crate) async fn extends(
    context: &Context,
    workspace: &WorkspaceName,
    known: AuditExtends,
    trusted_size: TreeSize,
    head: &mut ProvenHead,
) -> Result<Answer, Rejection> {
    await_log_end(context).await?;
    let view = context.view()?;
    let found = view.workspace(workspace)?;
    let found = found.filter(|found| known.size > TreeSize(0) && found.size() >= known.size);
    let found = found.ok_or_else(|| not_a_member(workspace))?;
    let root = keyroll_merkle::root(&found, known.size.0)?;
    if Digest(root.0) != known.root {
        return Err(not_a_member(workspace));
    }
    if trusted_size > found.size() {
        return Err(behind());
    }
    *head = proofs::head_of(&found, trusted_size)?;
    Ok(Answer::AuditExtends(Nothing {}))
}
