//! Detects a rolled-back log behind a refusal. A ledger that lost its log and its read model
//! refuses every member as a stranger. A client that has seen entries then asks for a proof that
//! the ledger still has them.

use std::time::Duration;

use keyroll_core::{Code, Digest, TreeSize, WorkspaceName};
use keyroll_wire::query::{AuditExtends, Question};

use crate::checkpoints::TrustedCheckpoint;
use crate::request::Deadline;
use crate::{Client, ClientError};

/// Pauses before the client asks again and then reports a rollback: a new stream leader may answer
/// before it has caught up with its own log.
const RETRIES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(700)];

impl Client {
    /// Returns the refusal if the ledger proves that it still has the trusted entries or cannot be
    /// asked, and otherwise the rollback.
    pub(crate) async fn check_refusal(
        &self,
        workspace: &WorkspaceName,
        trusted: Option<&TrustedCheckpoint>,
        refusal: ClientError,
    ) -> ClientError {
        if !matches!(refusal.code(), Code::Denied | Code::Corrupt) {
            return refusal;
        }
        match self.check_extends(workspace, trusted).await {
            Ok(()) => refusal,
            // The report of damage tells an operator where to look.
            Err(lost) if refusal.code() == Code::Corrupt => {
                let message = format!("{lost} (the ledger reports: {refusal})");
                ClientError::failed(lost.code(), message)
            }
            Err(lost) => lost,
        }
    }

    /// Checks that the ledger still has the trusted entries of a workspace. A ledger that cannot be
    /// asked, because it is out of reach or an earlier version, passes the check.
    ///
    /// # Errors
    /// [`Code::Rollback`] or [`Code::Fork`].
    pub(crate) async fn check_extends(
        &self,
        workspace: &WorkspaceName,
        trusted: Option<&TrustedCheckpoint>,
    ) -> Result<(), ClientError> {
        let Some(trusted) = trusted.filter(|trusted| trusted.size > TreeSize(0)) else {
            return Ok(());
        };
        let (root, size) = (Digest(trusted.root.0), trusted.size);
        let question = Question::AuditExtends(AuditExtends { root, size });
        let once = || {
            let question = question.clone();
            Box::pin(self.query_once(Some(workspace), question, Deadline::Default))
        };
        let mut answer = once().await;
        for pause in RETRIES {
            if !matches!(&answer, Err(error) if error.code() == Code::Denied) {
                break;
            }
            tokio::time::sleep(pause).await;
            answer = once().await;
        }
        match answer.map_err(|error| error.code()) {
            // A ledger that has the root answers everybody who knows it.
            Err(Code::Denied) => {
                let message = format!(
                    "the ledger does not have the {size} entries of {workspace} that were seen before: the log was rolled back"
                );
                Err(ClientError::failed(Code::Rollback, message))
            }
            Err(Code::Rollback | Code::Fork) => {
                let message = format!(
                    "the ledger's entries of {workspace} do not extend the {size} seen before: the log was forked"
                );
                Err(ClientError::failed(Code::Fork, message))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
