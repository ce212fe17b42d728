//! The style sheet, the JavaScript module and the icon, compiled into the program.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use keyroll_core::Digest;

const STYLE: &str = include_str!("../assets/console.css");
const MODULE: &str = include_str!("../assets/console.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// The files' addresses. Each holds a digest of the content, so browsers may cache the files for good.
pub(crate) struct Addresses {
    pub(crate) style: String,
    pub(crate) module: String,
    pub(crate) icon: String,
}

pub(crate) static ADDRESSES: LazyLock<Addresses> = LazyLock::new(|| {
    let address = |content: &str, end: &str| {
        let digest = Digest::of(content.as_bytes()).to_string();
        format!("/assets/{}.{end}", &digest[..16])
    };
    Addresses {
        style: address(STYLE, "css"),
        module: address(MODULE, "js"),
        icon: address(ICON, "svg"),
    }
});

pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let path = format!("/assets/{name}");
    let (kind, content) = match &path {
        path if *path == ADDRESSES.style => ("text/css; charset=utf-8", STYLE),
        path if *path == ADDRESSES.module => ("text/javascript; charset=utf-8", MODULE),
        path if *path == ADDRESSES.icon => ("image/svg+xml", ICON),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let kept = "public, max-age=31536000, immutable";
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, kept)], content).into_response()
}
