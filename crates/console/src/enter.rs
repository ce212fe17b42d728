//! In and out: the one-time link, the first page, the way out.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Response};
use keyroll_api::client::now;
use keyroll_api::query::Ask;
use keyroll_api::reply::Answer;
use keyroll_core::command::Nothing;
use maud::html;
use serde::Deserialize;

use crate::failure::Failure;
use crate::outcome::{Wants, html_page};
use crate::page;
use crate::server::App;
use crate::visit::{SignedIn, answer};
use crate::words::prose;

#[derive(Deserialize)]
pub(crate) struct Token {
    #[serde(default)]
    token: String,
}

/// Shows a button and spends nothing: what looks at links ahead of people (mail scanners,
/// previews) must not use one up.
pub(crate) async fn show(Query(Token { token }): Query<Token>) -> Response {
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

/// Spends a link for a session.
pub(crate) async fn enter(
    State(app): State<Arc<App>>,
    wants: Wants,
    Form(Token { token }): Form<Token>,
) -> Response {
    let opened = app.sessions.open(&token, now());
    let (cookie, session) = match opened {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            let words = format!(
                "This link was used before or is older than a minute. {}",
                app.how_to_sign_in()
            );
            return wants.failure(&Failure::signed_out(words), None);
        }
        Err(error) => return wants.failure(&error.into(), None),
    };
    let life = session.until.0.saturating_sub(now().0) / 1_000;
    let cookie = set_cookie(&app, &cookie, life);
    let mut response = wants.go("/");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
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
    let asked = session
        .client
        .ask(None, Ask::WorkspaceList(Nothing {}))
        .await;
    let rows = asked
        .map_err(Failure::from)
        .and_then(|answered| answer!(answered, Answer::WorkspaceList));
    let rows = match rows {
        Ok(list) => list.rows,
        Err(failure) => return wants.failure(&failure, None),
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
    app.sessions.end(&session, now());
    app.imports.end(&session.key);
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
