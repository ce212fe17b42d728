//! Signing in through a one-time link, the first page, and signing out.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use keyroll_client::Client;
use keyroll_wire::time::now;
use maud::html;
use serde::Deserialize;

use crate::app::App;
use crate::failure::Failure;
use crate::format::prose;
use crate::layout::standalone;
use crate::request::SignedIn;
use crate::response::Responder;
use crate::session::{PendingSession, Session};

#[derive(Deserialize)]
pub(crate) struct LinkQuery {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
pub(crate) struct SignInForm {
    #[serde(default)]
    token: String,
    /// The identity whose session ends, if the person confirmed that.
    instead: Option<String>,
}

/// The header in which a browser says where a request came from. No page can set it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether another page may have caused a request. A browser sends `none` for a link that a person
/// opened and `same-origin` for the console's own pages. Without the header, it may come from anywhere.
fn may_be_cross_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SITE).iter();
    let own = |site: &HeaderValue| site == "none" || site == "same-origin";
    !sites.next().is_some_and(own) || sites.next().is_some()
}

/// Shows a button and keeps the link valid, so that mail scanners and previews do not use it up. The
/// module presses the button, unless another page may have caused the request or another person's
/// session would end: then the page asks first.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    responder: Responder,
    headers: HeaderMap,
    Query(LinkQuery { token }): Query<LinkQuery>,
) -> Response {
    let session = app.sessions.find(&headers, app.origin.cookie(), now());
    let Some(pending) = app.sessions.peek(&token, now()) else {
        return expired(&app, responder, session.is_some());
    };
    if may_be_cross_site(&headers) {
        // For good: reloading a page, or going back to it, is no person's own request either.
        pending.require_confirmation();
    }
    let other = other_session(session, &pending);
    if other.is_some() || pending.needs_confirmation() {
        return confirmation(&token, &pending, other.as_deref());
    }
    let body = html! {
        h1 { "Open the console" }
        p { "This link works once, for a minute after it was made." }
        form method="post" action="/enter" data-auto="" {
            input type="hidden" name="token" value=(token);
            button.main type="submit" { "Open" }
        }
    };
    standalone("Open the console", &body).into_response()
}

/// Exchanges a link for a session. Another person's session ends only after confirmation.
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    responder: Responder,
    headers: HeaderMap,
    Form(SignInForm { token, instead }): Form<SignInForm>,
) -> Response {
    let session = app.sessions.find(&headers, app.origin.cookie(), now());
    let Some(pending) = app.sessions.peek(&token, now()) else {
        return expired(&app, responder, session.is_some());
    };
    if let Some(other) = other_session(session.clone(), &pending)
        && instead != Some(other.client.member().to_string())
    {
        // Browsers send no cookie with a request that another site caused, so the form's own request
        // is the first one that shows the session.
        let page = confirmation(&token, &pending, Some(&other));
        return (StatusCode::CONFLICT, page).into_response();
    }
    let (cookie, opened) = match app.sessions.open(&token, now()) {
        Ok(Some(opened)) => opened,
        Ok(None) => return expired(&app, responder, session.is_some()),
        Err(error) => return responder.failure(&error.into(), None),
    };
    if let Some(session) = session {
        // The browser replaces its cookie now, so nobody could end the old session later. Its sign-in
        // ends by itself where the ledger cannot be told.
        drop(app.sign_out(&session).await);
    }
    let life = opened.until.0.saturating_sub(now().0) / 1_000;
    let cookie = set_cookie(&app, &cookie, life);
    let mut response = responder.redirect("/");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// The browser's session, if it is another person's than the link's.
fn other_session(session: Option<Arc<Session>>, pending: &PendingSession) -> Option<Arc<Session>> {
    session.filter(|session| session.client.member() != pending.client.member())
}

fn confirmation(token: &str, pending: &PendingSession, other: Option<&Session>) -> Response {
    let who = |client: &Client| html! { code { (client.member()) } };
    let body = html! {
        h1 { @if other.is_some() { "Sign in as somebody else?" } @else { "Sign in to this console?" } }
        p { "This link signs you in as " (who(&pending.client)) "." }
        @if let Some(other) = other {
            p { "You are signed in as " (who(&other.client)) ". That session ends." }
        }
        @if pending.needs_confirmation() {
            p {
                "Go on only if you asked for this link yourself. Somebody else’s would have you work in "
                "that person’s name: they could read what you enter."
            }
        }
        form.row method="post" action="/enter" data-plain="" {
            input type="hidden" name="token" value=(token);
            @if let Some(other) = other {
                input type="hidden" name="instead" value=(other.client.member());
            }
            button.main type="submit" { "Sign in" }
            a.button href="/" { @if other.is_some() { "Stay signed in" } @else { "Do not sign in" } }
        }
    };
    standalone("Sign in", &body).into_response()
}

/// The answer to a link that was used or has expired.
fn expired(app: &App, responder: Responder, signed_in: bool) -> Response {
    let message = format!(
        "This link was used before or is older than a minute. {}",
        app.how_to_sign_in()
    );
    let mut failure = Failure::signed_out(message);
    if signed_in {
        failure.title = "This link has expired";
        failure = failure.with_link("All secrets", "/");
    }
    responder.failure(&failure, None)
}

fn set_cookie(app: &App, token: &str, life: u64) -> String {
    let secure = if app.origin.secure() { "; Secure" } else { "" };
    format!(
        "{}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}{secure}",
        app.origin.cookie()
    )
}

/// Redirects to a workspace: the configured one, or else the first.
pub(crate) async fn home(
    State(app): State<Arc<App>>,
    responder: Responder,
    SignedIn(session): SignedIn,
) -> Response {
    if let Some(first) = &session.first {
        return responder.redirect(&format!("/w/{first}/secrets"));
    }
    let rows = match session.client.workspaces().await {
        Ok(rows) => rows,
        Err(error) => return responder.failure(&Failure::from(error), None),
    };
    let preferred = rows
        .iter()
        .find(|row| Some(&row.workspace) == app.workspace.as_ref());
    if let Some(row) = preferred.or_else(|| rows.first()) {
        return responder.redirect(&format!("/w/{}/secrets", row.workspace));
    }
    let message = format!(
        "You are a member of no workspace. Ask an owner to add you; your public key is {}.",
        session.client.member()
    );
    responder.failure(&Failure::denied(message), None)
}

/// Ends the session.
pub(crate) async fn sign_out(State(app): State<Arc<App>>, SignedIn(session): SignedIn) -> Response {
    let closed = app.sign_out(&session).await;
    let body = html! {
        h1 { "You are signed out" }
        @if let (Err(error), Some(consent)) = (&closed, session.client.signer().consent()) {
            p {
                "The ledger could not be told (" (error.to_string()) "). The console has forgotten the key of your sign-in. "
                "To close it at once, run " code { "keyroll signin close " (consent.key) } "."
            }
        }
        p { (prose(&app.how_to_sign_in())) }
    };
    let mut response = standalone("Signed out", &body).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&set_cookie(&app, "", 0)) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_that_a_person_opened_and_own_pages_skip_the_question() {
        let cross_site = |site: Option<&'static str>| {
            let site = site.map(|site| (SITE, HeaderValue::from_static(site)));
            may_be_cross_site(&site.into_iter().collect())
        };
        assert!(!cross_site(Some("none")) && !cross_site(Some("same-origin")));
        for site in ["cross-site", "same-site", "", "None", "none, cross-site"] {
            assert!(cross_site(Some(site)), "{site}");
        }
        assert!(cross_site(None), "no header");
        let mut twice = HeaderMap::new();
        for site in ["none", "cross-site"] {
            twice.append(SITE, HeaderValue::from_static(site));
        }
        assert!(may_be_cross_site(&twice));
    }
}
