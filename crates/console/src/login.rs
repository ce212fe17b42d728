//! Signing in from a command line: the console makes a key, an identity delegates to it, and the
//! console answers with a one-time link. No long-lived key ever lies here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ed25519_dalek::SigningKey;
use keyroll_api::client::{ClientError, Signer, now, public, random};
use keyroll_api::query::{Ask, MemberList};
use keyroll_core::{Blob, Identity, LedgerId, Millis};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::outcome::Wants;
use crate::server::App;
use crate::session::{LINK_MS, Ticket};

/// What the console says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The key that wants to be delegated to.
    pub key: Identity,
    /// The ledger that the console talks to.
    pub ledger: LedgerId,
    /// What the delegation has to say about where it is used.
    #[serde(rename = "where")]
    pub place: String,
}

/// What the command line answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// The key that was delegated to.
    pub key: Identity,
    /// The signed delegation.
    pub delegation: Blob,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The one-time link.
    pub url: String,
}

/// Makes a key for somebody who is about to sign in.
pub(crate) async fn begin(State(app): State<Arc<App>>) -> Result<Json<Begun>, Response> {
    let Some(logins) = &app.logins else {
        return Err(closed());
    };
    let made = random().map(|bytes: [u8; 32]| SigningKey::from_bytes(&Zeroizing::new(bytes)));
    let secret = made.map_err(refused)?;
    let (key, time) = (public(&secret), now());
    logins.keep(key, Millis(time.0.saturating_add(LINK_MS)), secret, time);
    Ok(Json(Begun {
        key,
        ledger: app.base.ledger(),
        place: app.place.origin().to_owned(),
    }))
}

/// Takes a delegation and gives a one-time link for it.
pub(crate) async fn finish(
    State(app): State<Arc<App>>,
    Json(finish): Json<Finish>,
) -> Result<Json<Finished>, Response> {
    let Some(logins) = &app.logins else {
        return Err(closed());
    };
    let secret = logins.take(&finish.key, now()).ok_or_else(|| {
        answer(&Failure::signed_out(
            "This sign-in took too long: begin again.",
        ))
    })?;
    let ticket = ticket(&app, secret, finish.delegation.0)
        .await
        .map_err(|failure| answer(&failure))?;
    let token = app.sessions.link(ticket, now()).map_err(refused)?;
    Ok(Json(Finished {
        url: app.enter_url(&token),
    }))
}

async fn ticket(app: &App, secret: SigningKey, statement: Vec<u8>) -> Result<Ticket, Failure> {
    let signer = Signer::delegated(secret, statement)
        .map_err(|rejection| Failure::from(ClientError::from(rejection)))?;
    let Some(said) = signer.delegation().cloned() else {
        return Err(Failure::denied("No delegation was sent."));
    };
    if !said.covers(&app.base.ledger(), &said.workspace, now()) {
        return Err(Failure::denied(
            "The delegation is not in force now, or for another ledger: check the clocks.",
        ));
    }
    // One made for another console was meant for that one.
    if said.place.as_str() != app.place.origin() {
        return Err(Failure::denied(format!(
            "The delegation is for {}, this is {}.",
            said.place,
            app.place.origin()
        )));
    }
    let client = app.base.speaking_as(signer);
    client
        .ask(
            Some(&said.workspace),
            Ask::MemberList(MemberList {
                limit: 1,
                ..MemberList::default()
            }),
        )
        .await?;
    Ok(Ticket {
        client,
        only: Some(said.workspace),
        until: said.not_after,
    })
}

fn closed() -> Response {
    answer(&Failure {
        status: StatusCode::NOT_FOUND,
        ..Failure::denied("This console is one person's own: nobody else signs in here.")
    })
}

fn refused(error: ClientError) -> Response {
    answer(&error.into())
}

fn answer(failure: &Failure) -> Response {
    let wants = Wants {
        json: true,
        reads: false,
    };
    wants.failure(failure, None)
}
