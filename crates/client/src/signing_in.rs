//! Opening the sign-in that signs where it is needed, and closing it everywhere.

use keyroll_core::command::SignInClose;
use keyroll_core::decide::not_a_member;
use keyroll_core::{Action, Code, WorkspaceName};

use crate::{Client, ClientError};

/// What came of signing out.
#[derive(Debug, Default)]
pub struct SignedOut {
    /// Where the sign-in was open, and is closed now.
    pub closed: Vec<WorkspaceName>,
    /// Where it may still be open, or be opened, and why.
    pub left: Vec<(WorkspaceName, ClientError)>,
}

impl Client {
    /// Opens the sign-in that signs, where there is one, in a workspace where the ledger does not
    /// know it yet. This makes an entry.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn sign_in(&self, workspace: &WorkspaceName) -> Result<(), ClientError> {
        let Some(consent) = self.signer().consent() else {
            return Ok(());
        };
        let opened = &self.actor.opened_in;
        if opened.contains(workspace) {
            return Ok(());
        }
        let opening = opened.opening(workspace);
        let _one = opening.lock().await;
        if opened.contains(workspace) {
            return Ok(());
        }
        match self.execute_now(workspace, consent.open()).await {
            Ok(_) => {}
            // Another process opened it, or it was closed: the ledger says so to the next command.
            Err(error) if error.code() == Code::Conflict => {}
            Err(error) => return Err(error),
        }
        opened.insert(workspace);
        Ok(())
    }

    /// Whether a refusal says that the ledger does not know the sign-in that signs, although this client
    /// remembers it as open there: a log may have been recovered meanwhile. The client forgets it then.
    pub(crate) fn forget_unknown(&self, workspace: &WorkspaceName, error: &ClientError) -> bool {
        let unknown = matches!(error, ClientError::Refused(why) if *why == not_a_member(workspace));
        unknown && self.signer().consent().is_some() && self.actor.opened_in.remove(workspace)
    }

    /// Closes the sign-in that signs, in every workspace of its member: also where it was never opened, so that
    /// whoever else has the key cannot open it there. A failure in one workspace keeps it open in no other.
    ///
    /// # Errors
    /// When the workspaces cannot be listed, as [`Client::query`]: it is closed nowhere then.
    pub async fn sign_out(&self) -> Result<SignedOut, ClientError> {
        let mut done = SignedOut::default();
        if self.signer().consent().is_none() {
            return Ok(done);
        }
        let workspaces = match self.workspaces().await {
            Ok(rows) => rows,
            // It is open nowhere.
            Err(error) if is_over(&error) => return Ok(done),
            Err(error) => return Err(error),
        };
        // It has to be open to reach the next workspace: so it is closed only after it was opened in all.
        let mut open = Vec::new();
        for row in workspaces {
            match self.sign_in(&row.workspace).await {
                Ok(()) => open.push(row.workspace),
                // It can never be opened there.
                Err(error) if is_over(&error) => {}
                Err(error) => done.left.push((row.workspace, error)),
            }
        }
        for workspace in open {
            match self.close_here(&workspace).await {
                Ok(()) => done.closed.push(workspace),
                // It was closed there, or has ended with the membership.
                Err(error) if is_over(&error) => {}
                Err(error) => done.left.push((workspace, error)),
            }
        }
        Ok(done)
    }

    async fn close_here(&self, workspace: &WorkspaceName) -> Result<(), ClientError> {
        let (key, member) = (crate::public(self.signer().key()), None);
        let close = Action::SignInClose(SignInClose { key, member });
        self.execute(workspace, close).await.map(drop)
    }
}

/// Whether an error to a sign-in shows that it is closed, or cannot be opened. Only the ledger's own word does: NATS
/// refuses for other reasons too.
fn is_over(error: &ClientError) -> bool {
    let code = error.code();
    matches!(error, ClientError::Refused(_)) && matches!(code, Code::Conflict | Code::Denied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyroll_core::Rejection;

    #[test]
    fn only_the_ledgers_word_shows_that_a_sign_in_is_over() {
        for code in [Code::Denied, Code::Conflict] {
            assert!(is_over(&Rejection::new(code, "closed").into()), "{code:?}");
            let failed = ClientError::failed(code, "NATS refuses");
            assert!(!is_over(&failed), "{code:?}");
        }
        for code in [
            Code::Busy,
            Code::Stale,
            Code::AuditUnavailable,
            Code::Unreachable,
        ] {
            let refused = Rejection::new(code, "later").into();
            assert!(!is_over(&refused), "{code:?}");
        }
    }
}
