//! The Members tab.

mod edit;
mod invitations;
mod list;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;
use crate::form::submit;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/w/{workspace}/members", get(list::show))
        .route(
            "/w/{workspace}/members/add",
            get(edit::show_add).post(submit::<edit::AddForm>),
        )
        .route(
            "/w/{workspace}/members/{key}/change",
            get(edit::show_change).post(submit::<edit::ChangeForm>),
        )
        .route(
            "/w/{workspace}/members/{key}/remove",
            post(submit::<edit::RemoveForm>),
        )
        .route(
            "/w/{workspace}/members/{key}/revoke",
            post(submit::<invitations::RevokeForm>),
        )
}
