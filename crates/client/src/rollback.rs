//! Refusals that say nothing of the tree. A ledger that lost its log and its read model takes
//! everybody for a stranger: who has seen entries asks for the proof that they are still there.

use std::time::Duration;

use keyroll_core::{Code, Digest, TreeSize, WorkspaceName};

use crate::checkpoints::TrustedCheckpoint;
use crate::request::Deadline;
use crate::{Client, ClientError};
use keyroll_wire::query::{AuditExtends, Question};

/// When to ask again before it is believed that entries are gone: a stream's new leader may answer
/// before it has caught up with its own log.
const AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(700)];

impl Client {
    /// What a refusal means to who has seen entries of the workspace: that refusal, if the ledger
    /// proves that it still has them, or cannot say; else that the log was rolled back.
    pub(super) async fn check_refusal(
        &self,
        workspace: &WorkspaceName,
        seen: Option<&TrustedCheckpoint>,
        refusal: ClientError,
    ) -> ClientError {
        if !matches!(refusal.code(), Code::Denied | Code::Corrupt) {
            return refusal;
        }
        match self.check_extends(workspace, seen).await {
            Ok(()) => refusal,
            // That it is damaged says where to look.
            Err(lost) if refusal.code() == Code::Corrupt => {
                ClientError::failed(lost.code(), format!("{lost} (it says: {refusal})"))
            }
            Err(lost) => lost,
        }
    }

    /// Whether the ledger still has what was seen of a workspace. A ledger that cannot say, as it is
    /// out of reach or of an earlier version, is given the benefit of the doubt.
    ///
    /// # Errors
    /// [`Code::Rollback`] or [`Code::Fork`].
    pub(super) async fn check_extends(
        &self,
        workspace: &WorkspaceName,
        seen: Option<&TrustedCheckpoint>,
    ) -> Result<(), ClientError> {
        let Some(seen) = seen.filter(|seen| seen.size > TreeSize(0)) else {
            return Ok(());
        };
        let root = Digest(seen.root.0);
        let size = seen.size;
        let ask = Question::AuditExtends(AuditExtends { root, size });
        let once = || Box::pin(self.query_once(Some(workspace), ask.clone(), Deadline::Default));
        let mut asked = once().await;
        for pause in AGAIN {
            if !matches!(&asked, Err(error) if error.code() == Code::Denied) {
                break;
            }
            tokio::time::sleep(pause).await;
            asked = once().await;
        }
        match asked.map_err(|error| error.code()) {
            // Who knows the root is told so by a ledger that knows it.
            Err(Code::Denied) => {
                let message = format!(
                    "the ledger does not have the {} entries of {workspace} that were seen before: the log was rolled back",
                    seen.size
                );
                Err(ClientError::failed(Code::Rollback, message))
            }
            Err(Code::Rollback | Code::Fork) => asked_again(workspace, seen),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn asked_again(workspace: &WorkspaceName, seen: &TrustedCheckpoint) -> Result<(), ClientError> {
    let message = format!(
        "the ledger's entries of {workspace} do not extend the {} seen before: the log was forked",
        seen.size
    );
    Err(ClientError::failed(Code::Fork, message))
}
