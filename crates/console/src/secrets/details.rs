//! What is said of a secret, and its name.

use axum::Form;
use axum::extract::Path;
use axum::response::Response;
use keyroll_core::command::{SecretDescribe, SecretRename};
use keyroll_core::names::HostPattern;
use keyroll_core::{Action, SecretId, SecretName};
use keyroll_wire::reply::SecretRow;
use maud::{Markup, html};
use serde::Deserialize;

use super::fields::{about_fields, hosts, period, period_words, text};
use super::list::{back, with_sheet_of};
use crate::failure::Failure;
use crate::page::{form_end, sheet};
use crate::visit::Visit;
use crate::words::time;

#[derive(Deserialize)]
pub(super) struct Fields {
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
pub(super) struct NewName {
    id: String,
    to: String,
}

pub(super) async fn show(visit: Visit, Path((_, name)): Path<(String, String)>) -> Response {
    let over = dialog(&visit, &name).await;
    with_sheet_of(&visit, over).await
}

async fn dialog(visit: &Visit, name: &str) -> Result<(SecretRow, Markup), Failure> {
    let name: SecretName = name.parse()?;
    let row = visit.secret(&name).await?;
    let back = back(visit, Some(&name));
    let off = visit.app.verification.failed(&visit.workspace);
    let hosts: Vec<&str> = row.hosts.iter().map(HostPattern::as_str).collect();
    let period = row.rotate_every.map(period_words).unwrap_or_default();
    let body = html! {
        (facts(&row))
        form method="post" action=(visit.secret_path(&name, "details")) {
            input type="hidden" name="id" value=(row.id);
            (about_fields(row.description.as_str(), &hosts.join(" "), &period, row.restricted))
            (form_end("Save details", &back, false, off))
        }
        hr;
        form method="post" action=(visit.secret_path(&name, "rename")) {
            input type="hidden" name="id" value=(row.id);
            div.field {
                label for="to" { "New name" }
                input #to .mono name="to" required maxlength="128" pattern="[A-Za-z][A-Za-z0-9_]*" autocomplete="off" spellcheck="false" aria-describedby="to-note";
                p.note #to-note { "What asks for the old name will fail from then on." }
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

pub(super) async fn describe(
    visit: Visit,
    Path((_, name)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Response {
    let result = change(&visit, &name, &fields).await;
    let back = visit.path("secrets");
    visit.done(result, &back)
}

async fn change(visit: &Visit, name: &str, fields: &Fields) -> Result<(String, String), Failure> {
    let name: SecretName = name.parse()?;
    let action = Action::SecretDescribe(SecretDescribe {
        id: id(&fields.id)?,
        name: name.clone(),
        hosts: Some(hosts(&fields.hosts)?),
        restricted: fields.restricted.is_some().then_some(true),
        description: Some(text(&fields.description)?),
        rotate_every: Some(period(&fields.rotate)?.unwrap_or(0)),
    });
    let index = visit.act(action).await?;
    let words = format!("Saved the details of {name} (entry {index}).");
    Ok((words, back(visit, Some(&name))))
}

pub(super) async fn rename(
    visit: Visit,
    Path((_, name)): Path<(String, String)>,
    Form(fields): Form<NewName>,
) -> Response {
    let result = give_name(&visit, &name, &fields).await;
    let back = visit.path("secrets");
    visit.done(result, &back)
}

async fn give_name(
    visit: &Visit,
    name: &str,
    fields: &NewName,
) -> Result<(String, String), Failure> {
    let name: SecretName = name.parse()?;
    let to: SecretName = fields.to.trim().parse()?;
    let action = Action::SecretRename(SecretRename {
        id: id(&fields.id)?,
        to: to.clone(),
        name: name.clone(),
    });
    let index = visit.act(action).await?;
    let words = format!("{name} is now called {to} (entry {index}).");
    Ok((words, back(visit, Some(&to))))
}

/// The id that a form was made with: what has the name by now may be another secret.
pub(super) fn id(text: &str) -> Result<SecretId, Failure> {
    text.parse()
        .map_err(|_| Failure::field("The form is damaged: open it again."))
}
