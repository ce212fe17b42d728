//! "Verify now", and how far it is.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::visit::Visit;

pub(super) async fn begin(visit: Visit) -> Response {
    visit.app.verification.start(
        &visit.app.verify,
        &visit.session.client,
        &visit.workspace,
        visit.access.audits(),
    );
    let address = visit.path("audit");
    visit.wants.go(&address)
}

pub(super) async fn state(visit: Visit) -> Response {
    visit.look().await;
    let chip = visit.chip();
    Json(
        json!({"state": chip.state, "words": chip.words, "when": chip.when, "detail": chip.detail}),
    )
    .into_response()
}
