//! A secret's details and name.

use axum::extract::Path;
use axum::response::Response;
use keyroll_core::command::{SecretDescribe, SecretRename};
use keyroll_core::names::HostPattern;
use keyroll_core::{Action, SecretName};
use keyroll_wire::reply::SecretRow;
use maud::{Markup, html};
use serde::Deserialize;

use super::fields::{about_fields, format_period, hosts, id, period, text};
use super::list::{back, with_sheet_of};
use crate::failure::Failure;
use crate::form::{Submitted, WorkspaceForm};
use crate::format::time;
use crate::layout::{form_end, sheet};
use crate::request::WorkspaceRequest;

#[derive(Deserialize)]
pub(super) struct DetailsForm {
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    hosts: String,
    #[serde(default)]
    rotate: String,
    restricted: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RenameForm {
    id: String,
    to: String,
}

pub(super) async fn show(
    request: WorkspaceRequest,
    Path((_, name)): Path<(String, String)>,
) -> Response {
    let over = dialog(&request, &name).await;
    with_sheet_of(&request, over).await
}

async fn dialog(request: &WorkspaceRequest, name: &str) -> Result<(SecretRow, Markup), Failure> {
    let name: SecretName = name.parse()?;
    let row = request.secret(&name).await?;
    let back = back(request, Some(&name));
    let off = request.writes_off();
    let hosts: Vec<&str> = row.hosts.iter().map(HostPattern::as_str).collect();
    let period = row.rotate_every.map(format_period).unwrap_or_default();
    let body = html! {
        (facts(&row))
        form method="post" action=(request.secret_path(&name, "details")) {
            input type="hidden" name="id" value=(row.id);
            (about_fields(row.description.as_str(), &hosts.join(" "), &period, row.restricted))
            (form_end("Save details", &back, false, off))
        }
        hr;
        form method="post" action=(request.secret_path(&name, "rename")) {
            input type="hidden" name="id" value=(row.id);
            div.field {
                label for="to" { "New name" }
                input #to .mono name="to" required maxlength="128" pattern="[A-Za-z][A-Za-z0-9_]*" autocomplete="off" spellcheck="false" aria-describedby="to-note";
                p.note #to-note { "Blocks and programs that use the old name will fail from then on." }
            }
            p.error role="alert" {}
            p.buttons { button type="submit" disabled[off] { "Rename" } }
        }
    };
    Ok((
        row,
        sheet(&format!("Details of {name}"), &back, false, &body),
    ))
}

fn facts(row: &SecretRow) -> Markup {
    html! {
        dl.facts {
            dt { "Created" } dd { (time(row.created_at)) }
            dt { "Changed" } dd { (time(row.updated_at)) " by " (row.updated_by_name) }
            dt { "Id" } dd { code { (row.id) } }
        }
    }
}

impl WorkspaceForm for DetailsForm {
    async fn submit(self, request: &WorkspaceRequest, target: &str) -> Result<Submitted, Failure> {
        let name: SecretName = target.parse()?;
        let action = Action::SecretDescribe(SecretDescribe {
            id: id(&self.id)?,
            name: name.clone(),
            hosts: Some(hosts(&self.hosts)?),
            restricted: self.restricted.is_some().then_some(true),
            description: Some(text(&self.description)?),
            rotate_every: Some(period(&self.rotate)?.unwrap_or(0)),
        });
        let index = request.act(action).await?;
        Ok(Submitted::new(
            format!("Saved the details of {name} (entry {index})."),
            back(request, Some(&name)),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("secrets")
    }
}

impl WorkspaceForm for RenameForm {
    async fn submit(self, request: &WorkspaceRequest, target: &str) -> Result<Submitted, Failure> {
        let name: SecretName = target.parse()?;
        let to: SecretName = self.to.trim().parse()?;
        let action = Action::SecretRename(SecretRename {
            id: id(&self.id)?,
            to: to.clone(),
            name: name.clone(),
        });
        let index = request.act(action).await?;
        Ok(Submitted::new(
            format!("{name} is now called {to} (entry {index})."),
            back(request, Some(&to)),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("secrets")
    }
}
