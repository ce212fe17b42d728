//! The Secrets tab.

mod create;
mod delete;
mod details;
mod edit;
mod fields;
mod history;
mod import;
mod list;
mod row;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use list::Listing;

use crate::server::App;

pub(crate) fn routes() -> Router<Arc<App>> {
    let of = |what: &str| format!("/w/{{workspace}}/secrets/{{name}}/{what}");
    Router::new()
        .route("/w/{workspace}/secrets", get(list::show))
        .route("/w/{workspace}/new", get(create::show).post(create::create))
        .route(
            "/w/{workspace}/import",
            get(import::show).post(import::prepare),
        )
        .route(
            "/w/{workspace}/import/{token}",
            get(import::look).post(import::confirm),
        )
        .route(&of("view"), post(view::view))
        .route(&of("edit"), get(edit::show).post(edit::edit))
        .route(&of("details"), get(details::show).post(details::describe))
        .route(&of("rename"), post(details::rename))
        .route(&of("history"), get(history::show))
        .route(&of("rollback"), post(history::rollback))
        .route(&of("delete"), get(delete::show).post(delete::delete))
        .route(&of("restore"), post(delete::restore))
}
