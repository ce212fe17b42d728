//! What a form's request comes back with: a page for browsers, JSON for the module.

use std::sync::Arc;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::json;

use crate::failure::Failure;
use crate::page;
use crate::server::App;
use crate::words::prose;

/// Whether the module asked, rather than the browser itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) json: bool,
    /// Whether nothing was sent along, so that asking again does no harm.
    pub(crate) reads: bool,
}

impl Wants {
    pub(crate) fn of(parts: &Parts) -> Self {
        let accept = parts.headers.get(ACCEPT);
        Self {
            json: accept.is_some_and(|accept| accept == "application/json"),
            reads: parts.method == Method::GET,
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
            html_page(&page::alone(failure.title, &self.body(failure, back))),
        )
            .into_response()
    }

    fn body(self, failure: &Failure, back: Option<&str>) -> Markup {
        // The ledger may be back in a moment: the module looks, and nobody has to press a button.
        let passes = failure.status == StatusCode::SERVICE_UNAVAILABLE && self.reads;
        html! {
            h1 data-retry[passes] { (failure.title) }
            p role="alert" { (prose(&failure.words)) }
            p.row {
                @if let Some((words, address)) = &failure.see {
                    a.button.main href=(address) { (words) }
                }
                @if let Some(back) = back { a.button href=(back) { "Back" } }
                @else if failure.status != StatusCode::UNAUTHORIZED {
                    @if self.reads { a.button href="" { "Try again" } }
                    a.button href="/" { "All secrets" }
                }
            }
        }
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

pub(crate) fn html_page(markup: &Markup) -> Html<String> {
    Html(markup.0.clone())
}
