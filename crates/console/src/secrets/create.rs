//! A new secret.

use axum::response::Response;
use keyroll_client::NewSecretSpec;
use maud::html;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::fields::{about_fields, hosts, period, text, value, value_field};
use super::list::{back, with_sheet};
use crate::failure::Failure;
use crate::form::{Submitted, WorkspaceForm, wiped};
use crate::layout::{form_end, sheet};
use crate::request::WorkspaceRequest;

#[derive(Deserialize)]
pub(super) struct CreateForm {
    name: String,
    #[serde(default, deserialize_with = "wiped")]
    value: Zeroizing<String>,
    generate: Option<String>,
    newline: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    hosts: String,
    #[serde(default)]
    rotate: String,
    restricted: Option<String>,
}

pub(super) async fn show(request: WorkspaceRequest) -> Response {
    let back = back(&request, None);
    let body = html! {
        form method="post" action=(request.path("new")) {
            div.field {
                label for="name" { "Name" }
                input #name .mono name="name" required maxlength="128" pattern="[A-Za-z][A-Za-z0-9_]*" autocomplete="off"
                    autocapitalize="off" spellcheck="false" autofocus aria-describedby="name-note";
                p.note #name-note { "Letters, digits and underscores. Blocks write " code { "secrets.NAME" } "." }
            }
            (value_field("Value"))
            details.fold {
                summary { "Description, hosts, rotation" }
                (about_fields("", "", "", false))
            }
            (form_end("Add secret", &back, false, request.writes_off()))
        }
    };
    let over = if request.access.creates() {
        Ok(sheet("New secret", &back, false, &body))
    } else {
        Err(Failure::denied("Your role does not let you add secrets."))
    };
    with_sheet(&request, over).await
}

impl WorkspaceForm for CreateForm {
    async fn submit(self, request: &WorkspaceRequest, _: &str) -> Result<Submitted, Failure> {
        let spec = NewSecretSpec {
            name: self.name.trim().parse()?,
            description: text(&self.description)?,
            hosts: hosts(&self.hosts)?,
            restricted: self.restricted.is_some(),
            rotate_every: period(&self.rotate)?,
        };
        let value = value(&self.value, self.generate.is_some(), self.newline.is_some())?;
        let name = spec.name.clone();
        let client = &request.session.client;
        let created = client.create(&request.workspace, &[(spec, &value)]).await;
        let index = request.acted(created)?;
        Ok(Submitted::new(
            format!("Added {name} (entry {index})."),
            back(request, Some(&name)),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("new")
    }
}
