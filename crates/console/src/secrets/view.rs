//! Viewing a value: the only response that holds one.

use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_client::{RequestedValue, RevealedValue, unexpected};
use keyroll_core::SecretName;
use keyroll_core::command::{Nothing, Purpose};
use maud::html;
use serde::Serialize;
use zeroize::Zeroizing;

use super::list::back;
use crate::failure::Failure;
use crate::format::sentence;
use crate::layout::standalone;
use crate::request::{RevealRequest, WorkspaceRequest};

/// A value for the module. It is borrowed, so that no copy outlives it.
#[derive(Serialize)]
struct ValueJson<'a> {
    value: &'a str,
    /// Whether the value is not UTF-8 text and therefore in base64.
    base64: bool,
    version: u32,
    index: u64,
    /// Warnings to read before the value is used.
    warnings: &'a [String],
}

/// A value, the entry of its reveal, and warnings to read before the value is used.
struct Reveal {
    opened: RevealedValue,
    index: u64,
    warnings: Vec<String>,
}

pub(super) async fn view(
    RevealRequest(request): RevealRequest,
    Path((_, name)): Path<(String, String)>,
) -> Response {
    match reveal(&request, &name).await {
        Ok(revealed) => show(&request, &revealed),
        Err(failure) => {
            let failure = failure.of_reveal();
            request
                .responder
                .failure(&failure, Some(&back(&request, None)))
        }
    }
}

async fn reveal(request: &WorkspaceRequest, name: &str) -> Result<Reveal, Failure> {
    let name: SecretName = name.parse()?;
    request.may_write()?;
    let wanted = [RequestedValue {
        name,
        version: None,
    }];
    let client = &request.session.client;
    let purpose = Purpose::View(Nothing {});
    let revealed = client
        .reveal(&request.workspace, &wanted, &purpose, None)
        .await;
    let revealed = request.checked(revealed)?;
    let mut warnings = Vec::new();
    let revealed = revealed.warn(|warning| warnings.push(sentence(&warning)));
    let opened = revealed.values.into_iter().next();
    Ok(Reveal {
        opened: opened.ok_or_else(|| Failure::from(unexpected()))?,
        index: revealed.index.0,
        warnings,
    })
}

fn show(request: &WorkspaceRequest, revealed: &Reveal) -> Response {
    let (opened, index) = (&revealed.opened, revealed.index);
    let text = std::str::from_utf8(&opened.value).ok();
    let encoded = Zeroizing::new(match text {
        Some(_) => String::new(),
        None => STANDARD.encode(&*opened.value),
    });
    let value = text.unwrap_or(&encoded);
    if request.responder.json {
        let json = ValueJson {
            value,
            base64: text.is_none(),
            version: opened.version.0,
            index,
            warnings: &revealed.warnings,
        };
        return match serde_json::to_vec(&json) {
            Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
            Err(_) => request.responder.failure(&unexpected().into(), None),
        };
    }
    let name = &opened.name;
    let body = html! {
        h1 { code { (name) } " v" (opened.version) }
        @if text.is_none() { p.note { "Not UTF-8 text: shown as base64." } }
        @for warning in &revealed.warnings { p.error role="alert" { (warning) } }
        pre.shown tabindex="0" { (value) }
        p.note { "This read is entry " (index) " of the audit log. This page is not stored: leave it to hide the value." }
        p { a.button.main href=(back(request, Some(name))) { "Hide" } }
    };
    standalone("Value", &body).into_response()
}
