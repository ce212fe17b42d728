//! The one handler for forms in a workspace: it decodes them, checks that writes are on, and answers.

use std::future::Future;

use axum::Form;
use axum::extract::Path;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::request::WorkspaceRequest;

/// A form in a workspace, with its fields.
pub(crate) trait WorkspaceForm: DeserializeOwned + Send + 'static {
    /// Checks the fields and carries the form out. `target` is what the path names below the
    /// workspace, such as a secret; it is empty where the path names nothing.
    fn submit(
        self,
        request: &WorkspaceRequest,
        target: &str,
    ) -> impl Future<Output = Result<Submitted, Failure>> + Send;

    /// Where the page of a failure leads back to.
    fn back(request: &WorkspaceRequest, target: &str) -> String;
}

/// Reads a field that holds values. It is wiped, also when the form is refused.
pub(crate) fn wiped<'de, D: Deserializer<'de>>(field: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(field).map(Zeroizing::new)
}

/// A form that was carried out.
pub(crate) struct Submitted {
    /// The message for the next page.
    pub(crate) message: Option<String>,
    /// The address of the next page.
    pub(crate) next: String,
}

impl Submitted {
    pub(crate) fn new(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            next: next.into(),
        }
    }
}

/// Handles a form.
pub(crate) async fn submit<F: WorkspaceForm>(
    request: WorkspaceRequest,
    Path(params): Path<Vec<(String, String)>>,
    form: Result<Form<F>, FormRejection>,
) -> Response {
    let target = params
        .iter()
        .find(|(name, _)| name != "workspace")
        .map_or("", |(_, value)| value.as_str());
    match carry_out(&request, target, form).await {
        Ok(submitted) => {
            if let Some(message) = submitted.message {
                request.session.flash(message);
            }
            request.responder.redirect(&submitted.next)
        }
        Err(failure) => {
            let back = F::back(&request, target);
            request.responder.failure(&failure, Some(&back))
        }
    }
}

async fn carry_out<F: WorkspaceForm>(
    request: &WorkspaceRequest,
    target: &str,
    form: Result<Form<F>, FormRejection>,
) -> Result<Submitted, Failure> {
    let Form(form) = form.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::too_large_form(),
        status => Failure {
            status,
            ..Failure::damaged_form()
        },
    })?;
    request.may_write()?;
    form.submit(request, target).await
}
