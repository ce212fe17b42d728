//! How a request is answered: with pages for browsers, with JSON for the JavaScript module.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::json;

use crate::failure::Failure;
use crate::format::prose;
use crate::layout::standalone;

/// Answers a request in the format that it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Responder {
    /// Whether the module sent the request, rather than the browser itself.
    pub(crate) json: bool,
    /// Whether the request changes nothing, so that it can be repeated.
    pub(crate) is_read: bool,
}

impl Responder {
    /// For requests of programs.
    pub(crate) const JSON: Self = Self {
        json: true,
        is_read: false,
    };

    pub(crate) fn of(parts: &Parts) -> Self {
        let accept = parts.headers.get(ACCEPT);
        Self {
            json: accept.is_some_and(|accept| accept == "application/json"),
            is_read: parts.method == Method::GET,
        }
    }

    /// A failure; on a page, with a way back.
    pub(crate) fn failure(self, failure: &Failure, back: Option<&str>) -> Response {
        if self.json {
            let link = failure.link.as_ref();
            let body = json!({"error": {
                "code": failure.code,
                "message": failure.message,
                "see": link.map(|(text, address)| json!({"words": text, "href": address})),
            }});
            return (failure.status, Json(body)).into_response();
        }
        let page = standalone(failure.title, &self.body(failure, back));
        (failure.status, page).into_response()
    }

    fn body(self, failure: &Failure, back: Option<&str>) -> Markup {
        // The ledger may be back in a moment: the module retries, so that the person need not.
        let retries = failure.status == StatusCode::SERVICE_UNAVAILABLE && self.is_read;
        html! {
            h1 data-retry[retries] { (failure.title) }
            p role="alert" { (prose(&failure.message)) }
            p.row {
                @if let Some((text, address)) = &failure.link {
                    a.button.main href=(address) { (text) }
                }
                @if let Some(back) = back { a.button href=(back) { "Back" } }
                @else if failure.status != StatusCode::UNAUTHORIZED {
                    @if self.is_read { a.button href="" { "Try again" } }
                    a.button href="/" { "All secrets" }
                }
            }
        }
    }

    /// Redirects to a page, after a form to the one that shows its result.
    pub(crate) fn redirect(self, address: &str) -> Response {
        if self.json {
            return Json(json!({"href": address})).into_response();
        }
        let Ok(location) = HeaderValue::from_str(address) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Responder {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}
