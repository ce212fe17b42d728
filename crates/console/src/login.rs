//! Signing in from a command line: the console makes a key, a member consents to it, and the console
//! answers with a one-time link. No long-lived key lies on the console's machine.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ed25519_dalek::SigningKey;
use keyroll_client::{ClientError, SignInConsent, Signer};
use keyroll_core::{Identity, LedgerId, WorkspaceName};
use keyroll_wire::query::{MemberList, Question};
use keyroll_wire::time::now;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::failure::Failure;
use crate::response::Responder;
use crate::session::{PendingSession, SESSION_MS};

/// The console's answer to a request to sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginChallenge {
    /// The key of the sign-in.
    pub key: Identity,
    /// The ledger that the console talks to.
    pub ledger: LedgerId,
    /// The address that the sign-in must name.
    #[serde(rename = "where")]
    pub origin: String,
    /// Opaque; sent back with the consent.
    pub state: String,
}

/// The command line's response to a [`LoginChallenge`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginResponse {
    /// The member's consent to the key of the challenge.
    pub consent: SignInConsent,
    /// The state of the challenge.
    pub state: String,
    /// The workspace to open first.
    pub workspace: WorkspaceName,
}

/// The console's answer to a [`LoginResponse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginLink {
    /// The one-time link.
    pub url: String,
}

/// Makes a key for somebody who is about to sign in.
pub(crate) async fn begin(State(app): State<Arc<App>>) -> Result<Json<LoginChallenge>, Response> {
    let keys = app.login_keys.as_ref().ok_or_else(no_logins)?;
    let (key, state) = keys.generate(now()).map_err(refused)?;
    Ok(Json(LoginChallenge {
        key,
        ledger: app.client.ledger(),
        origin: app.origin.as_str().to_owned(),
        state,
    }))
}

/// Exchanges a consent for a one-time link.
pub(crate) async fn finish(
    State(app): State<Arc<App>>,
    Json(response): Json<LoginResponse>,
) -> Result<Json<LoginLink>, Response> {
    let keys = app.login_keys.as_ref().ok_or_else(no_logins)?;
    let expired = || {
        let message = "This sign-in took too long, or was finished before: begin again.";
        answer(&Failure::signed_out(message))
    };
    let key = response.consent.key;
    let found = keys.find(&key, &response.state, now());
    let (secret, until) = found.ok_or_else(expired)?;
    let pending = accept(&app, secret, response)
        .await
        .map_err(|failure| answer(&failure))?;
    // Only members get this far, so strangers cannot fill the map.
    if !keys.use_once(key, until, now()) {
        return Err(expired());
    }
    let token = app.sessions.link(pending, now()).map_err(refused)?;
    Ok(Json(LoginLink {
        url: app.link_url(&token),
    }))
}

/// Checks a consent, and that the ledger opens the sign-in.
async fn accept(
    app: &App,
    secret: SigningKey,
    response: LoginResponse,
) -> Result<PendingSession, Failure> {
    let LoginResponse {
        consent, workspace, ..
    } = response;
    let (until, origin) = (consent.until, consent.origin.clone());
    if consent.ledger != app.client.ledger() || until <= now() {
        return Err(Failure::denied(
            "The sign-in is not in force now, or for another ledger: check the clocks.",
        ));
    }
    if until.0.saturating_sub(consent.from.0) > SESSION_MS {
        return Err(Failure::denied(
            "A sign-in at a console lasts at most 8 h: ask for less with --expires.",
        ));
    }
    // A sign-in at one console is not valid on another.
    if origin.as_str() != app.origin.as_str() {
        return Err(Failure::denied(format!(
            "The sign-in is for {origin}, this is {}.",
            app.origin.as_str()
        )));
    }
    let signer = Signer::signed_in(secret, consent)
        .map_err(|rejection| Failure::from(ClientError::from(rejection)))?;
    let client = app.client.with_signer(signer);
    let ask = Question::MemberList(MemberList {
        limit: 1,
        ..MemberList::default()
    });
    client.query(Some(&workspace), ask).await?;
    Ok(PendingSession::new(client, Some(workspace), until))
}

fn no_logins() -> Response {
    answer(&Failure {
        status: StatusCode::NOT_FOUND,
        ..Failure::denied("This console is for its owner only: nobody else can sign in here.")
    })
}

fn refused(error: ClientError) -> Response {
    answer(&error.into())
}

fn answer(failure: &Failure) -> Response {
    Responder::JSON.failure(failure, None)
}
