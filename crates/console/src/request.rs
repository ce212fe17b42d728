//! Extractors: a request of somebody who is signed in, and a request in one workspace.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::response::Response;
use keyroll_client::{ClientError, Executed, VerifiedAnswer, unexpected};
use keyroll_core::{Action, Code, Index, Millis, SecretName, TreeSize, WorkspaceName};
use keyroll_wire::query::{Question, SecretShow};
use keyroll_wire::reply::{Answer, MemberRow, SecretRow};
use keyroll_wire::time::now;

use crate::access::Access;
use crate::app::App;
use crate::failure::Failure;
use crate::format::sentence;
use crate::response::Responder;
use crate::session::Session;
use crate::verification::StatusBadge;

/// A request in a workspace, with the caller's membership as the ledger has it now.
pub(crate) struct WorkspaceRequest {
    pub(crate) app: Arc<App>,
    pub(crate) session: Arc<Session>,
    pub(crate) workspace: WorkspaceName,
    pub(crate) access: Access,
    pub(crate) members: Vec<MemberRow>,
    /// The workspace's size at the start of the request.
    pub(crate) size: TreeSize,
    pub(crate) responder: Responder,
    pub(crate) now: Millis,
}

/// Unwraps the one kind of answer that fits a question.
macro_rules! answer {
    ($answered:expr, $variant:path) => {
        match $answered.answer {
            $variant(answer) => Ok(answer),
            _ => Err($crate::failure::Failure::from(keyroll_client::unexpected())),
        }
    };
}
pub(crate) use answer;

/// The session of somebody who is signed in.
pub(crate) struct SignedIn(pub(crate) Arc<Session>);

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let session = app
            .sessions
            .find(&parts.headers, app.origin.cookie(), now());
        let responder = Responder::of(parts);
        if let Some(session) = &session
            && !(responder.is_read && responder.json)
        {
            session.touch(now());
        }
        session.map(Self).ok_or_else(|| {
            let message = format!(
                "There is no session, or it has ended. {}",
                app.how_to_sign_in()
            );
            let failure = Failure::signed_out(message);
            responder.failure(&failure, None)
        })
    }
}

impl FromRequestParts<Arc<App>> for WorkspaceRequest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let SignedIn(session) = SignedIn::from_request_parts(parts, app).await?;
        let responder = Responder::of(parts);
        let request = resolve(parts, app, session, responder)
            .await
            .map_err(|failure| responder.failure(&failure, None))?;
        if responder.is_read && !responder.json {
            // Before any part of the page, so that all of it shows the same status.
            request.refresh_verification().await;
        }
        Ok(request)
    }
}

/// Extractor for reveals; its errors render as "not shown".
pub(crate) struct RevealRequest(pub(crate) WorkspaceRequest);

impl FromRequestParts<Arc<App>> for RevealRequest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let SignedIn(session) = SignedIn::from_request_parts(parts, app).await?;
        let responder = Responder::of(parts);
        resolve(parts, app, session, responder)
            .await
            .map(Self)
            .map_err(|failure| responder.failure(&failure.of_reveal(), None))
    }
}

/// Resolves the workspace in a request's path, and the caller's membership there.
async fn resolve(
    parts: &mut Parts,
    app: &Arc<App>,
    session: Arc<Session>,
    responder: Responder,
) -> Result<WorkspaceRequest, Failure> {
    let workspace = workspace_of(parts, app).await?;
    let (members, size) = match session.client.members(&workspace, None).await {
        Ok(found) => found,
        // The member was removed or has expired, or the sign-in was closed; or it is only no member here.
        Err(error) if error.code() == Code::Denied && has_ended(&session).await => {
            app.end(&session);
            let message = format!(
                "{} This session has ended. {}",
                sentence(&error.to_string()),
                app.how_to_sign_in()
            );
            return Err(Failure::signed_out(message));
        }
        Err(error) => return Err(app.failure(&workspace, error)),
    };
    let identity = session.client.member();
    let own = members
        .iter()
        .find(|row| row.member == identity && !row.removed);
    let access = own
        .map(|row| Access::of(row, session.signed_in()))
        .ok_or_else(|| Failure::denied(format!("You are not a member of {workspace}.")))?;
    Ok(WorkspaceRequest {
        app: Arc::clone(app),
        session,
        workspace,
        access,
        members,
        size,
        responder,
        now: now(),
    })
}

/// Whether the sign-in of a session that was refused in a workspace has ended: it is open in none, or its
/// member is a member of none.
async fn has_ended(session: &Session) -> bool {
    if !session.signed_in() {
        return false;
    }
    match session.client.workspaces().await {
        Ok(rows) => rows.is_empty(),
        Err(error) => error.code() == Code::Denied,
    }
}

async fn workspace_of(parts: &mut Parts, app: &Arc<App>) -> Result<WorkspaceName, Failure> {
    let no_page = || Failure::not_found("There is no such page.");
    let params = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| no_page())?;
    let workspace = params
        .iter()
        .find_map(|(name, value)| (name == "workspace").then_some(value));
    Ok(workspace.ok_or_else(no_page)?.parse()?)
}

/// Questions and actions.
impl WorkspaceRequest {
    /// Asks about the workspace.
    pub(crate) async fn ask(&self, ask: Question) -> Result<VerifiedAnswer, Failure> {
        let answered = self.session.client.query(Some(&self.workspace), ask).await;
        self.checked(answered)
    }

    /// Carries out an action. Returns its entry.
    pub(crate) async fn act(&self, action: Action) -> Result<Index, Failure> {
        self.may_write()?;
        let acted = self.session.client.execute(&self.workspace, action).await;
        self.acted(acted)
    }

    /// The entry of an action. Its warnings appear on the next page.
    pub(crate) fn acted(&self, acted: Result<Executed, ClientError>) -> Result<Index, Failure> {
        let acted = self.checked(acted)?;
        acted.warnings.iter().for_each(|warning| self.warn(warning));
        Ok(acted.index)
    }

    /// Shows a warning on the next page.
    pub(crate) fn warn(&self, warning: &str) {
        self.session.warn(sentence(warning));
    }

    /// A client's result. An error that says that the log is wrong turns writes off.
    pub(crate) fn checked<T>(&self, result: Result<T, ClientError>) -> Result<T, Failure> {
        result.map_err(|error| self.app.failure(&self.workspace, error))
    }

    /// The secret of a name: the active one, or the one deleted or destroyed last.
    pub(crate) async fn secret(&self, name: &SecretName) -> Result<SecretRow, Failure> {
        let ask = Question::SecretShow(SecretShow {
            at: None,
            name: name.clone(),
        });
        match self.ask(ask).await?.answer {
            Answer::SecretShow(row) => Ok(*row),
            _ => Err(unexpected().into()),
        }
    }
}

/// Verification of the log.
impl WorkspaceRequest {
    /// Checks the log again where that is due.
    pub(crate) async fn refresh_verification(&self) {
        let check = self.app.verification.refresh(
            &self.app.verify,
            &self.session.client,
            (&self.workspace, self.size),
            self.access.audits(),
        );
        check.await;
    }

    /// The state of verification, as every page shows it.
    pub(crate) fn badge(&self) -> StatusBadge {
        self.app
            .verification
            .badge(&self.workspace, self.size, self.now)
    }

    /// Whether the log does not verify, so that nothing is written and no value is shown.
    pub(crate) fn writes_off(&self) -> bool {
        self.app.verification.failed(&self.workspace)
    }

    /// Refuses while the log does not verify.
    pub(crate) fn may_write(&self) -> Result<(), Failure> {
        if self.writes_off() {
            return Err(Failure::writes_off());
        }
        Ok(())
    }

    /// The value of `aria-disabled` for links to forms.
    pub(crate) fn aria_disabled(&self) -> Option<&'static str> {
        self.writes_off().then_some("true")
    }
}

/// Addresses.
impl WorkspaceRequest {
    /// A path in the workspace.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/w/{}/{rest}", self.workspace)
    }

    /// The path of a form in the workspace; none while writes are off.
    pub(crate) fn form_path(&self, rest: &str) -> Option<String> {
        (!self.writes_off()).then(|| self.path(rest))
    }

    /// A path below a secret. Names need no escaping.
    pub(crate) fn secret_path(&self, name: &SecretName, rest: &str) -> String {
        format!("/w/{}/secrets/{name}/{rest}", self.workspace)
    }

    /// Answers a page, or its failure.
    pub(crate) fn respond(&self, result: Result<Response, Failure>) -> Response {
        result.unwrap_or_else(|failure| self.responder.failure(&failure, None))
    }
}
