//! A new secret.

use axum::Form;
use axum::response::Response;
use keyroll_client::NewSecretSpec;
use maud::html;
use serde::Deserialize;

use super::fields::{about_fields, hosts, period, text, value, value_field};
use super::list::{back, with_sheet};
use crate::failure::Failure;
use crate::page::{form_end, sheet};
use crate::visit::Visit;

#[derive(Deserialize)]
pub(super) struct Fields {
    name: String,
    #[serde(default)]
    value: String,
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

pub(super) async fn show(visit: Visit) -> Response {
    let back = back(&visit, None);
    let off = visit.app.verification.failed(&visit.workspace);
    let body = html! {
        form method="post" action=(visit.path("new")) {
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
            (form_end("Add secret", &back, false, off))
        }
    };
    let over = if visit.access.creates() {
        Ok(sheet("New secret", &back, false, &body))
    } else {
        Err(Failure::denied("Your role does not let you add secrets."))
    };
    with_sheet(&visit, over).await
}

pub(super) async fn create(visit: Visit, Form(fields): Form<Fields>) -> Response {
    let result = carry_out(&visit, fields).await;
    visit.done(result, &visit.path("new"))
}

async fn carry_out(visit: &Visit, fields: Fields) -> Result<(String, String), Failure> {
    visit.may_write()?;
    let spec = NewSecretSpec {
        name: fields.name.trim().parse()?,
        description: text(&fields.description)?,
        hosts: hosts(&fields.hosts)?,
        restricted: fields.restricted.is_some(),
        rotate_every: period(&fields.rotate)?,
    };
    let value = value(
        fields.value,
        fields.generate.is_some(),
        fields.newline.is_some(),
    )?;
    let name = spec.name.clone();
    let created = visit
        .session
        .client
        .create(&visit.workspace, &[(spec, &value)])
        .await;
    let index = visit.acted(created)?;
    let words = format!("Added {name} (entry {index}).");
    Ok((words, back(visit, Some(&name))))
}
