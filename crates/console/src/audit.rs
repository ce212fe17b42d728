//! The Audit log tab, and verification of the log.

mod entry;
mod export;
mod filter;
mod list;
mod verify;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/w/{workspace}/audit", get(list::show))
        .route("/w/{workspace}/audit.jsonl", get(export::rows))
        .route("/w/{workspace}/audit/{index}", get(entry::show))
        .route("/w/{workspace}/audit/{index}/entry.cbor", get(entry::raw))
        .route("/w/{workspace}/audit/{index}/proof.txt", get(entry::proof))
        .route("/w/{workspace}/verify", post(verify::begin))
        .route("/w/{workspace}/verification", get(verify::state))
}
