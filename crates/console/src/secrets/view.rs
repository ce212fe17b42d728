//! View: the one response that has a value in it.

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
use crate::outcome::html_page;
use crate::page;
use crate::visit::{Looking, Visit};
use crate::words::sentence;

/// A value for the module; borrowed, so that no copy outlives it.
#[derive(Serialize)]
struct Shown<'a> {
    value: &'a str,
    /// Whether it is no text and therefore shown as base64.
    base64: bool,
    version: u32,
    index: u64,
    /// What a person should know before using it.
    warnings: &'a [String],
}

/// A value, its entry, and what a person should know before using it.
struct Looked {
    opened: RevealedValue,
    index: u64,
    warnings: Vec<String>,
}

pub(super) async fn view(
    Looking(visit): Looking,
    Path((_, name)): Path<(String, String)>,
) -> Response {
    match reveal(&visit, &name).await {
        Ok(looked) => show(&visit, &looked),
        Err(failure) => {
            let failure = failure.of_reveal();
            visit.wants.failure(&failure, Some(&back(&visit, None)))
        }
    }
}

async fn reveal(visit: &Visit, name: &str) -> Result<Looked, Failure> {
    let name: SecretName = name.parse()?;
    visit.may_write()?;
    let wanted = [RequestedValue {
        name,
        version: None,
    }];
    let client = &visit.session.client;
    let purpose = Purpose::View(Nothing {});
    let revealed = client
        .reveal(&visit.workspace, &wanted, &purpose, None)
        .await;
    let revealed = visit.noticing(revealed)?;
    let mut warnings = Vec::new();
    let revealed = revealed.warn(|warning| warnings.push(sentence(&warning)));
    let opened = revealed.values.into_iter().next();
    Ok(Looked {
        opened: opened.ok_or_else(|| Failure::from(unexpected()))?,
        index: revealed.index.0,
        warnings,
    })
}

fn show(visit: &Visit, looked: &Looked) -> Response {
    let (opened, index) = (&looked.opened, looked.index);
    let text = std::str::from_utf8(&opened.value).ok();
    let encoded = Zeroizing::new(match text {
        Some(_) => String::new(),
        None => STANDARD.encode(&*opened.value),
    });
    let value = text.unwrap_or(&encoded);
    if visit.wants.json {
        let shown = Shown {
            value,
            base64: text.is_none(),
            version: opened.version.0,
            index,
            warnings: &looked.warnings,
        };
        return match serde_json::to_vec(&shown) {
            Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
            Err(_) => visit.wants.failure(&unexpected().into(), None),
        };
    }
    let name = &opened.name;
    let body = html! {
        h1 { code { (name) } " v" (opened.version) }
        @if text.is_none() { p.note { "Not text: shown as base64." } }
        @for warning in &looked.warnings { p.error role="alert" { (warning) } }
        pre.shown tabindex="0" { (value) }
        p.note { "This look is entry " (index) " of the audit log. Nothing keeps this page: leave it to hide the value." }
        p { a.button.main href=(back(visit, Some(name))) { "Hide" } }
    };
    html_page(&page::alone("Value", &body)).into_response()
}
