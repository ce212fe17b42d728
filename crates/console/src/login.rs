//! Signing in from a command line: the console makes a key, an identity delegates to it, and the
//! console answers with a one-time link. No long-lived key ever lies here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use keyroll_client::{ClientError, Signer, public, random};
use keyroll_core::{Blob, Identity, LedgerId, Millis};
use keyroll_wire::query::{MemberList, Question};
use keyroll_wire::time::now;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::outcome::Wants;
use crate::server::App;
use crate::session::{Ending, LINK_MS, Ticket};

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
    /// What the console needs back to find the key again.
    pub state: String,
}

/// What the command line answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// The key that was delegated to.
    pub key: Identity,
    /// The signed delegation.
    pub delegation: Blob,
    /// What the console said with the key.
    pub state: String,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The one-time link.
    pub url: String,
}

/// What a key is made from again: when it ends, and what sets it apart.
type Kept = [u8; 8 + 16];

/// Makes keys for those who are about to sign in. It keeps none: a key is made again from what
/// whoever asked for it brings back, so that asking for many takes nobody else's away.
pub(crate) struct Logins {
    secret: Zeroizing<[u8; 32]>,
    /// Keys that opened a link, each of which does so once.
    used: Ending<Identity, ()>,
}

impl Logins {
    pub(crate) fn new() -> Result<Self, ClientError> {
        Ok(Self {
            secret: Zeroizing::new(random()?),
            used: Ending::default(),
        })
    }

    fn key(&self, state: &Kept) -> SigningKey {
        let mut seed = Zeroizing::new([0; 32]);
        let info = [b"keyroll/console-login/v1".as_slice(), state].concat();
        // 32 bytes is far below HKDF's 8,160: the only error there is.
        let expanded = Hkdf::<Sha256>::new(None, &*self.secret).expand(&info, &mut *seed);
        debug_assert!(expanded.is_ok());
        SigningKey::from_bytes(&seed)
    }

    /// A fresh key, good for as long as a link is.
    fn begin(&self, now: Millis) -> Result<(Identity, String), ClientError> {
        let until = now.0.saturating_add(LINK_MS).to_be_bytes();
        let mut state = Kept::default();
        let (first, rest) = state.split_at_mut(until.len());
        first.copy_from_slice(&until);
        rest.copy_from_slice(&random::<16>()?);
        Ok((public(&self.key(&state)), URL_SAFE_NO_PAD.encode(state)))
    }

    /// The key that this console made with a state, while it is good.
    fn find(&self, key: &Identity, state: &str, now: Millis) -> Option<(SigningKey, Millis)> {
        let state: Kept = URL_SAFE_NO_PAD.decode(state).ok()?.try_into().ok()?;
        let until = Millis(u64::from_be_bytes(*state.first_chunk()?));
        let secret = self.key(&state);
        let good = now < until && public(&secret) == *key && !self.used.holds(key, now);
        good.then_some((secret, until))
    }
}

/// Makes a key for somebody who is about to sign in.
pub(crate) async fn begin(State(app): State<Arc<App>>) -> Result<Json<Begun>, Response> {
    let Some(logins) = &app.logins else {
        return Err(closed());
    };
    let (key, state) = logins.begin(now()).map_err(refused)?;
    Ok(Json(Begun {
        key,
        ledger: app.base.ledger(),
        place: app.place.origin().to_owned(),
        state,
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
    let over = || {
        let words = "This sign-in took too long, or was finished before: begin again.";
        answer(&Failure::signed_out(words))
    };
    let found = logins.find(&finish.key, &finish.state, now());
    let (secret, until) = found.ok_or_else(over)?;
    let ticket = ticket(&app, secret, finish.delegation.0)
        .await
        .map_err(|failure| answer(&failure))?;
    // Only of those who are members, so that strangers fill nothing.
    if !logins.used.keep_first(finish.key, until, (), now()) {
        return Err(over());
    }
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
    let client = app.base.with_signer(signer);
    client
        .query(
            Some(&said.workspace),
            Question::MemberList(MemberList {
                limit: 1,
                ..MemberList::default()
            }),
        )
        .await?;
    Ok(Ticket::new(client, Some(said.workspace), said.not_after))
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000_000);

    #[test]
    fn a_key_is_found_by_what_was_said_with_it_for_as_long_as_a_link_is_good() {
        let logins = Logins::new().expect("randomness");
        let (key, state) = logins.begin(NOW).expect("randomness");
        // However many others are asked for meanwhile.
        let others: Vec<_> = (0..2_000)
            .map(|_| logins.begin(NOW).expect("made"))
            .collect();
        let end = Millis(NOW.0 + LINK_MS);
        let found = |key, state: &str, now| {
            let found = logins.find(key, state, now);
            found.map(|(secret, until)| (public(&secret), until))
        };
        assert_eq!(found(&key, &state, NOW), Some((key, end)));
        assert_eq!(found(&key, &state, Millis(end.0 - 1)), Some((key, end)));
        assert_eq!(found(&key, &state, end), None);
        let (other, of_other) = &others[0];
        assert_eq!(found(&key, of_other, NOW), None);
        assert_eq!(found(other, &state, NOW), None);
        // Another end is another key.
        let mut later = URL_SAFE_NO_PAD.decode(&state).expect("base64");
        later[7] ^= 1;
        assert_eq!(found(&key, &URL_SAFE_NO_PAD.encode(&later), NOW), None);
        for bad in ["", "a", "!", &state[1..]] {
            assert_eq!(found(&key, bad, NOW), None, "{bad:?}");
        }
        let elsewhere = Logins::new().expect("randomness");
        assert!(elsewhere.find(&key, &state, NOW).is_none());
        assert!(logins.used.keep_first(key, end, (), NOW));
        assert!(!logins.used.keep_first(key, end, (), NOW));
        assert_eq!(found(&key, &state, NOW), None, "once");
    }
}
