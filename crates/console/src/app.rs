//! The state that all requests share.

use std::sync::Arc;

use keyroll_client::{Client, ClientError, public};
use keyroll_core::{Code, WorkspaceName};
use keyroll_wire::time::now;

use crate::failure::Failure;
use crate::login_keys::LoginKeys;
use crate::pending_imports::PendingImports;
use crate::public_origin::PublicOrigin;
use crate::session::{Session, Sessions};
use crate::verification::{Verification, VerifyLog, is_log_error};

pub(crate) struct App {
    /// The connection to the ledger, and the owner's identity where there is one.
    pub(crate) client: Client,
    pub(crate) origin: PublicOrigin,
    /// The workspace to open first.
    pub(crate) workspace: Option<WorkspaceName>,
    pub(crate) sessions: Sessions,
    /// Present where members sign in.
    pub(crate) login_keys: Option<LoginKeys>,
    pub(crate) imports: PendingImports,
    pub(crate) verification: Arc<Verification>,
    pub(crate) verify: VerifyLog,
    /// Whether the console's owner may sign in.
    pub(crate) has_owner: bool,
}

impl App {
    pub(crate) fn link_url(&self, token: &str) -> String {
        format!("{}/enter?token={token}", self.origin.as_str())
    }

    pub(crate) fn how_to_sign_in(&self) -> String {
        if self.login_keys.is_some() {
            format!(
                "Run `keyroll console login {}` for a new link.",
                self.origin.as_str()
            )
        } else {
            "Stop `keyroll console` and start it again for a new link.".to_owned()
        }
    }

    /// Ends a session, and wipes its pending import.
    pub(crate) fn end(&self, session: &Session) {
        self.sessions.end(session, now());
        self.imports.remove_session(&session.key);
    }

    /// Ends a session and closes its sign-in, so that its key is of no use to anybody. The session has
    /// ended also where the ledger could not be told. It finishes although the browser goes meanwhile.
    ///
    /// # Errors
    /// As [`Client::sign_out`], or the first place where the sign-in is left open.
    pub(crate) async fn sign_out(&self, session: &Session) -> Result<(), ClientError> {
        self.end(session);
        let client = session.client.clone();
        let closing = tokio::spawn(async move { close(&client).await });
        closing
            .await
            .unwrap_or_else(|stopped| Err(ClientError::failed(Code::Internal, stopped.to_string())))
    }

    /// Closes the sign-ins of links that nobody used, and of sessions that ended by themselves. The
    /// console's own signer stays signed in.
    pub(crate) async fn close_ended(&self) {
        for client in self.sessions.take_ended(now()) {
            if public(client.signer().key()) != public(self.client.signer().key()) {
                // It ends by itself where the ledger cannot be told.
                drop(close(&client).await);
            }
        }
    }

    /// The failure for a client's error. An error that says that the log is wrong turns writes off.
    pub(crate) fn failure(&self, workspace: &WorkspaceName, error: ClientError) -> Failure {
        if is_log_error(error.code()) {
            self.verification.fail(workspace, &error.to_string());
        }
        error.into()
    }
}

async fn close(client: &Client) -> Result<(), ClientError> {
    let done = client.sign_out().await?;
    match done.left.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}
