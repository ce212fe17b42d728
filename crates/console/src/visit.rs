//! A request by somebody who is signed in, in one workspace.

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
use crate::failure::Failure;
use crate::outcome::Wants;
use crate::server::App;
use crate::session::Session;
use crate::words::sentence;

/// Somebody in a workspace, as the ledger knows them at this moment.
pub(crate) struct Visit {
    pub(crate) app: Arc<App>,
    pub(crate) session: Arc<Session>,
    pub(crate) workspace: WorkspaceName,
    pub(crate) access: Access,
    pub(crate) members: Vec<MemberRow>,
    /// The workspace's size as last seen.
    pub(crate) size: TreeSize,
    pub(crate) wants: Wants,
    pub(crate) now: Millis,
}

/// The one answer that fits a question.
macro_rules! answer {
    ($answered:expr, $variant:path) => {
        match $answered.answer {
            $variant(answer) => Ok(answer),
            _ => Err($crate::failure::Failure::from(keyroll_client::unexpected())),
        }
    };
}
pub(crate) use answer;

/// Somebody who is signed in, wherever.
pub(crate) struct SignedIn(pub(crate) Arc<Session>);

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let session = app.sessions.of(&parts.headers, app.cookie(), now());
        session.map(Self).ok_or_else(|| {
            let words = format!(
                "There is no session, or it has ended. {}",
                app.how_to_sign_in()
            );
            let failure = Failure::signed_out(words);
            Wants::of(parts).failure(&failure, None)
        })
    }
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let SignedIn(session) = SignedIn::from_request_parts(parts, app).await?;
        let wants = Wants::of(parts);
        let arrived = arrive(parts, app, session, wants).await;
        let visit = arrived.map_err(|failure| wants.failure(&failure, None))?;
        if wants.reads && !wants.json {
            // Before any part of a page, so that all of it says the same.
            visit.look().await;
        }
        Ok(visit)
    }
}

/// A visit in order to see a value: what keeps it from taking place keeps the value from being
/// shown, and is told so.
pub(crate) struct Looking(pub(crate) Visit);

impl FromRequestParts<Arc<App>> for Looking {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let SignedIn(session) = SignedIn::from_request_parts(parts, app).await?;
        let wants = Wants::of(parts);
        let arrived = arrive(parts, app, session, wants).await;
        arrived
            .map(Self)
            .map_err(|failure| wants.failure(&failure.of_reveal(), None))
    }
}

async fn arrive(
    parts: &mut Parts,
    app: &Arc<App>,
    session: Arc<Session>,
    wants: Wants,
) -> Result<Visit, Failure> {
    let no_such = || Failure::not_found("There is no such page.");
    let params = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| no_such())?;
    let workspace = params
        .iter()
        .find_map(|(name, value)| (name == "workspace").then_some(value));
    let workspace: WorkspaceName = workspace.ok_or_else(no_such)?.parse()?;
    if session.only.as_ref().is_some_and(|only| *only != workspace) {
        let words = format!(
            "This session is for one workspace only. Sign in to {workspace} with `keyroll -w {workspace} console login {}`.",
            app.place.origin()
        );
        return Err(Failure::denied(words));
    }
    let (members, size) = match session.client.members(&workspace, None).await {
        Ok(found) => found,
        Err(error) if error.code() == Code::Denied && session.delegated() => {
            // Removed, expired or revoked: the session has nothing left to stand on.
            app.end(&session);
            let words = format!(
                "{} This session has ended. {}",
                sentence(&error.to_string()),
                app.how_to_sign_in()
            );
            return Err(Failure::signed_out(words));
        }
        Err(error) => {
            return Err(app.noticed(&workspace, error));
        }
    };
    let identity = session.client.identity();
    let own = members
        .iter()
        .find(|row| row.member == identity && !row.removed);
    let access = own
        .map(|row| Access::of(row, session.delegated()))
        .ok_or_else(|| Failure::denied(format!("You are no member of {workspace}.")))?;
    Ok(Visit {
        app: Arc::clone(app),
        session,
        workspace,
        access,
        members,
        size,
        wants,
        now: now(),
    })
}

impl Visit {
    /// Looks whether the log is whole, where that is due.
    pub(crate) async fn look(&self) {
        let look = self.app.verification.look(
            &self.app.verify,
            &self.session.client,
            (&self.workspace, self.size),
            self.access.audits(),
        );
        look.await;
    }

    /// Asks about the workspace.
    pub(crate) async fn ask(&self, ask: Question) -> Result<VerifiedAnswer, Failure> {
        let answered = self.session.client.query(Some(&self.workspace), ask).await;
        self.noticing(answered)
    }

    /// Has something carried out, unless the log is in doubt.
    pub(crate) async fn act(&self, action: Action) -> Result<u64, Failure> {
        self.may_write()?;
        let acted = self.session.client.execute(&self.workspace, action).await;
        self.acted(acted).map(|index| index.0)
    }

    /// The entry of an act, with what a person should know of it kept for the next page.
    pub(crate) fn acted(&self, acted: Result<Executed, ClientError>) -> Result<Index, Failure> {
        let acted = self.noticing(acted)?;
        acted.warnings.iter().for_each(|warning| self.warn(warning));
        Ok(acted.index)
    }

    /// Keeps for the next page what a person should know of a secret.
    pub(crate) fn warn(&self, warning: &str) {
        self.session.warn(sentence(warning));
    }

    /// Keeps in mind what a client found out about the log.
    pub(crate) fn noticing<T>(&self, result: Result<T, ClientError>) -> Result<T, Failure> {
        result.map_err(|error| self.app.noticed(&self.workspace, error))
    }

    /// Refuses while the log does not verify.
    pub(crate) fn may_write(&self) -> Result<(), Failure> {
        if self.app.verification.failed(&self.workspace) {
            return Err(Failure::writes_off());
        }
        Ok(())
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

    /// `true` for what is not offered while the log does not verify.
    pub(crate) fn off(&self) -> Option<&'static str> {
        let off = self.app.verification.failed(&self.workspace);
        off.then_some("true")
    }

    /// A path in the workspace to something that changes it; none while that is off.
    pub(crate) fn to(&self, rest: &str) -> Option<String> {
        self.off().is_none().then(|| self.path(rest))
    }

    /// A path in the workspace.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/w/{}/{rest}", self.workspace)
    }

    /// The address of something of a secret. Names need no escaping.
    pub(crate) fn secret_path(&self, name: &SecretName, what: &str) -> String {
        format!("/w/{}/secrets/{name}/{what}", self.workspace)
    }

    /// Answers a form: leads on with words for the next page, or says what stands in the way.
    pub(crate) fn done(&self, result: Result<(String, String), Failure>, back: &str) -> Response {
        match result {
            Ok((words, address)) => {
                self.session.say(words);
                self.wants.go(&address)
            }
            Err(failure) => self.wants.failure(&failure, Some(back)),
        }
    }

    /// Answers a page, or says what stands in the way of it.
    pub(crate) fn shown(&self, result: Result<Response, Failure>) -> Response {
        result.unwrap_or_else(|failure| self.wants.failure(&failure, None))
    }
}
