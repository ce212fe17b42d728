//! What a form's request comes back with: a page for browsers, JSON for the module.

use std::sync::Arc;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::json;

use crate::failure::Failure;
use crate::page;
use crate::server::App;

/// Whether the module asked, rather than the browser itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) json: bool,
}

impl Wants {
    pub(crate) fn of(parts: &Parts) -> Self {
        let accept = parts.headers.get(ACCEPT);
        Self {
            json: accept.is_some_and(|accept| accept == "application/json"),
        }
    }

    /// A failure in the form that was asked for; for people a page with a way back.
    pub(crate) fn failure(self, failure: &Failure, back: Option<&str>) -> Response {
        if self.json {
            let see = failure.see.as_ref();
            let body = json!({"error": {
                "code": failure.code,
                "message": failure.words,
                "see": see.map(|(words, address)| json!({"words": words, "href": address})),
            }});
            return (failure.status, Json(body)).into_response();
        }
        (
            failure.status,
            html_page(&page::alone(failure.title, &body(failure, back))),
        )
            .into_response()
    }

    /// Leads on to the page that shows what was done.
    pub(crate) fn go(self, address: &str) -> Response {
        if self.json {
            return Json(json!({"href": address})).into_response();
        }
        let Ok(location) = HeaderValue::from_str(address) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
    }
}

impl FromRequestParts<Arc<App>> for Wants {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}

fn body(failure: &Failure, back: Option<&str>) -> Markup {
    html! {
        h1 { (failure.title) }
        p role="alert" { (failure.words) }
        p.row {
            @if let Some((words, address)) = &failure.see {
                a.button.main href=(address) { (words) }
            }
            @if let Some(back) = back { a.button href=(back) { "Back" } }
            @else if failure.status != StatusCode::UNAUTHORIZED {
                a.button href="" { "Try again" }
                a.button href="/" { "All secrets" }
            }
        }
    }
}

pub(crate) fn html_page(markup: &Markup) -> Html<String> {
    Html(markup.0.clone())
}
