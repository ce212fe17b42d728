//! In and out: the one-time link, the first page, the way out.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use keyroll_client::Client;
use keyroll_core::WorkspaceName;
use keyroll_wire::time::now;
use maud::html;
use serde::Deserialize;

use crate::failure::Failure;
use crate::outcome::{Wants, html_page};
use crate::page;
use crate::server::App;
use crate::session::{Session, Ticket};
use crate::visit::SignedIn;
use crate::words::prose;

#[derive(Deserialize)]
pub(crate) struct Token {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
pub(crate) struct Entry {
    #[serde(default)]
    token: String,
    /// Whose session is to end for it, if it was asked about one.
    instead: Option<String>,
}

/// The header in which a browser says where a request came from. No page can set it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a visit may be another page's doing. A browser tells of links that a person opened
/// (`none`) and of the console's own pages; whatever says nothing may come from anywhere.
fn may_be_led(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SITE).iter();
    let own = |site: &HeaderValue| site == "none" || site == "same-origin";
    !sites.next().is_some_and(own) || sites.next().is_some()
}

/// Shows a button and spends nothing: what looks at links ahead of people (mail scanners,
/// previews) must not use one up. The module presses it, except where the visit may be another
/// page's doing, or would end somebody else's session: that is asked first.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    wants: Wants,
    headers: HeaderMap,
    Query(Token { token }): Query<Token>,
) -> Response {
    let session = app.sessions.of(&headers, app.cookie(), now());
    let Some(ticket) = app.sessions.offer(&token, now()) else {
        return over(&app, wants, session.is_some());
    };
    if may_be_led(&headers) {
        // For good: reloading a page, or going back to it, is no person's own visit either.
        ticket.doubt();
    }
    let other = somebody_else(session, &ticket);
    if other.is_some() || ticket.is_doubtful() {
        return question(&token, &ticket, other.as_deref());
    }
    let body = html! {
        h1 { "Open the console" }
        p { "This link works once, for a minute after it was made." }
        form method="post" action="/enter" data-auto="" {
            input type="hidden" name="token" value=(token);
            button.main type="submit" { "Open" }
        }
    };
    html_page(&page::alone("Open the console", &body)).into_response()
}

/// Spends a link for a session. Nobody else's ends without a yes to that very question.
pub(crate) async fn enter(
    State(app): State<Arc<App>>,
    wants: Wants,
    headers: HeaderMap,
    Form(Entry { token, instead }): Form<Entry>,
) -> Response {
    let session = app.sessions.of(&headers, app.cookie(), now());
    let Some(ticket) = app.sessions.offer(&token, now()) else {
        return over(&app, wants, session.is_some());
    };
    if let Some(other) = somebody_else(session.clone(), &ticket)
        && instead != Some(other.client.identity().to_string())
    {
        // A browser withholds the cookie from a visit that another site led to: the form's own
        // request is the first that shows the session.
        let page = question(&token, &ticket, Some(&other));
        return (StatusCode::CONFLICT, page).into_response();
    }
    let (cookie, opened) = match app.sessions.open(&token, now()) {
        Ok(Some(opened)) => opened,
        Ok(None) => return over(&app, wants, session.is_some()),
        Err(error) => return wants.failure(&error.into(), None),
    };
    if let Some(session) = session {
        // The browser forgets its cookie now, so nobody is left who could end it.
        app.end(&session);
    }
    let life = opened.until.0.saturating_sub(now().0) / 1_000;
    let cookie = set_cookie(&app, &cookie, life);
    let mut response = wants.go("/");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// The session of another person than the link's.
fn somebody_else(session: Option<Arc<Session>>, ticket: &Ticket) -> Option<Arc<Session>> {
    session.filter(|session| session.client.identity() != ticket.client.identity())
}

fn question(token: &str, ticket: &Ticket, other: Option<&Session>) -> Response {
    let who = |client: &Client, only: Option<&WorkspaceName>| {
        html! {
            code { (client.identity()) }
            @if let Some(workspace) = only { ", for the workspace " strong { (workspace) } }
        }
    };
    let body = html! {
        h1 { @if other.is_some() { "Sign in as somebody else?" } @else { "Sign in to this console?" } }
        p { "This link signs you in as " (who(&ticket.client, ticket.only.as_ref())) "." }
        @if let Some(other) = other {
            p { "You are signed in as " (who(&other.client, other.only.as_ref())) ". That session ends." }
        }
        @if ticket.is_doubtful() {
            p {
                "Go on only if you asked for this link yourself. Somebody else’s would have you work in "
                "that person’s name: they could read what you enter."
            }
        }
        form.row method="post" action="/enter" data-plain="" {
            input type="hidden" name="token" value=(token);
            @if let Some(other) = other {
                input type="hidden" name="instead" value=(other.client.identity());
            }
            button.main type="submit" { "Sign in" }
            a.button href="/" { @if other.is_some() { "Stay signed in" } @else { "Do not sign in" } }
        }
    };
    html_page(&page::alone("Sign in", &body)).into_response()
}

/// For a link that opens nothing any more.
fn over(app: &App, wants: Wants, signed_in: bool) -> Response {
    let words = format!(
        "This link was used before or is older than a minute. {}",
        app.how_to_sign_in()
    );
    let mut failure = Failure::signed_out(words);
    if signed_in {
        failure.title = "This link is over";
        failure = failure.see("All secrets", "/");
    }
    wants.failure(&failure, None)
}

fn set_cookie(app: &App, token: &str, life: u64) -> String {
    let secure = if app.place.secure() { "; Secure" } else { "" };
    format!(
        "{}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}{secure}",
        app.cookie()
    )
}

/// Leads to the workspace: the configured one, or the first there is.
pub(crate) async fn home(
    State(app): State<Arc<App>>,
    wants: Wants,
    SignedIn(session): SignedIn,
) -> Response {
    if let Some(only) = &session.only {
        return wants.go(&format!("/w/{only}/secrets"));
    }
    let rows = match session.client.workspaces().await {
        Ok(rows) => rows,
        Err(error) => return wants.failure(&Failure::from(error), None),
    };
    let preferred = rows
        .iter()
        .find(|row| Some(&row.workspace) == app.workspace.as_ref());
    if let Some(row) = preferred.or_else(|| rows.first()) {
        return wants.go(&format!("/w/{}/secrets", row.workspace));
    }
    let words = format!(
        "You are a member of no workspace. Ask an owner to add you; your public key is {}.",
        session.client.identity()
    );
    wants.failure(&Failure::denied(words), None)
}

/// Ends the session.
pub(crate) async fn leave(State(app): State<Arc<App>>, SignedIn(session): SignedIn) -> Response {
    app.end(&session);
    let body = html! {
        h1 { "You are signed out" }
        p { (prose(&app.how_to_sign_in())) }
    };
    let mut response = html_page(&page::alone("Signed out", &body)).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&set_cookie(&app, "", 0)) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_person_opened_or_the_console_itself_is_not_asked_about() {
        let led = |site: Option<&'static str>| {
            let site = site.map(|site| (SITE, HeaderValue::from_static(site)));
            may_be_led(&site.into_iter().collect())
        };
        assert!(!led(Some("none")) && !led(Some("same-origin")));
        for site in ["cross-site", "same-site", "", "None", "none, cross-site"] {
            assert!(led(Some(site)), "{site}");
        }
        assert!(led(None), "a program that says nothing");
        let mut twice = HeaderMap::new();
        for site in ["none", "cross-site"] {
            twice.append(SITE, HeaderValue::from_static(site));
        }
        assert!(may_be_led(&twice));
    }
}
