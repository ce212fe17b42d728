//! The Secrets tab.

mod create;
mod delete;
mod details;
mod edit;
mod fields;
mod history;
mod import;
mod import_preview;
mod list;
mod rollback;
mod row;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;
use crate::form::submit;

pub(crate) fn routes() -> Router<Arc<App>> {
    let secret = |page: &str| format!("/w/{{workspace}}/secrets/{{name}}/{page}");
    Router::new()
        .route("/w/{workspace}/secrets", get(list::show))
        .route(
            "/w/{workspace}/new",
            get(create::show).post(submit::<create::CreateForm>),
        )
        .route(
            "/w/{workspace}/import",
            get(import::show).post(submit::<import::ImportForm>),
        )
        .route(
            "/w/{workspace}/import/{token}",
            get(import_preview::show).post(submit::<import_preview::ConfirmForm>),
        )
        .route(&secret("view"), post(view::view))
        .route(
            &secret("edit"),
            get(edit::show).post(submit::<edit::EditForm>),
        )
        .route(
            &secret("details"),
            get(details::show).post(submit::<details::DetailsForm>),
        )
        .route(&secret("rename"), post(submit::<details::RenameForm>))
        .route(&secret("history"), get(history::show))
        .route(&secret("rollback"), post(submit::<rollback::RollbackForm>))
        .route(
            &secret("delete"),
            get(delete::show).post(submit::<delete::DeleteForm>),
        )
        .route(&secret("restore"), post(submit::<delete::RestoreForm>))
}
