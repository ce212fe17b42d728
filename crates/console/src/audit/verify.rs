//! "Verify now", and the state of verification.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::request::WorkspaceRequest;

pub(super) async fn begin(request: WorkspaceRequest) -> Response {
    request.app.verification.start(
        &request.app.verify,
        &request.session.client,
        &request.workspace,
        request.access.audits(),
    );
    let address = request.path("audit");
    request.responder.redirect(&address)
}

pub(super) async fn state(request: WorkspaceRequest) -> Response {
    request.refresh_verification().await;
    let badge = request.badge();
    Json(
        json!({"state": badge.state, "words": badge.text, "when": badge.when, "detail": badge.detail}),
    )
    .into_response()
}
