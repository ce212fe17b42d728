//! View: the one response that has a value in it.

use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_api::client::{Opened, Wanted, unexpected};
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

/// A value for the module; borrowed, so that no copy outlives it.
#[derive(Serialize)]
struct Shown<'a> {
    value: &'a str,
    /// Whether it is no text and therefore shown as base64.
    base64: bool,
    version: u32,
    index: u64,
}

pub(super) async fn view(
    Looking(visit): Looking,
    Path((_, name)): Path<(String, String)>,
) -> Response {
    match reveal(&visit, &name).await {
        Ok((opened, index)) => show(&visit, &opened, index),
        Err(failure) => {
            let failure = failure.of_reveal();
            visit.wants.failure(&failure, Some(&back(&visit, None)))
        }
    }
}

async fn reveal(visit: &Visit, name: &str) -> Result<(Opened, u64), Failure> {
    let name: SecretName = name.parse()?;
    visit.may_write()?;
    let wanted = [Wanted {
        name,
        version: None,
    }];
    let client = &visit.session.client;
    let purpose = Purpose::View(Nothing {});
    let revealed = client
        .reveal(&visit.workspace, &wanted, &purpose, None)
        .await;
    let revealed = visit.noticing(revealed)?;
    let opened = revealed.values.into_iter().next();
    let opened = opened.ok_or_else(|| Failure::from(unexpected()))?;
    Ok((opened, revealed.index.0))
}

fn show(visit: &Visit, opened: &Opened, index: u64) -> Response {
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
        pre.shown tabindex="0" { (value) }
        p.note { "This look is entry " (index) " of the audit log. Nothing keeps this page: leave it to hide the value." }
        p { a.button.main href=(back(visit, Some(name))) { "Hide" } }
    };
    html_page(&page::alone("Value", &body)).into_response()
}
