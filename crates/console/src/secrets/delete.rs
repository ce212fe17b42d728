//! Delete with the name typed, and restore.

use std::collections::HashSet;

use axum::Form;
use axum::extract::Path;
use axum::response::Response;
use keyroll_core::command::SecretRef;
use keyroll_core::{Action, SecretName};
use keyroll_wire::query::{AuditLog, Question};
use keyroll_wire::reply::{Answer, AuditRow, SecretRow};
use maud::{Markup, html};
use serde::Deserialize;

use super::details::id;
use super::list::{Listing, back, with_sheet_of};
use super::row::used_by;
use crate::failure::Failure;
use crate::page::{form_end, sheet};
use crate::visit::{Visit, answer};
use crate::words::time_ago;

/// Recent looks that are gone through for the readers, and blocks that are named.
const LOOKS: u32 = 50;
const USES: usize = 20;

#[derive(Deserialize)]
pub(super) struct Fields {
    id: String,
    #[serde(default)]
    confirm: String,
}

pub(super) async fn show(visit: Visit, Path((_, name)): Path<(String, String)>) -> Response {
    let over = dialog(&visit, &name).await;
    with_sheet_of(&visit, over).await
}

async fn dialog(visit: &Visit, name: &str) -> Result<(SecretRow, Markup), Failure> {
    let name: SecretName = name.parse()?;
    let row = visit.secret(&name).await?;
    let readers = readers(visit, &name).await?;
    let back = back(visit, Some(&name));
    let off = visit.app.verification.failed(&visit.workspace);
    let body = html! {
        p { "What uses it will fail from now on. History stays, and it can be restored from the Deleted filter." }
        (consequences(visit, &row, &readers))
        form method="post" action=(visit.secret_path(&name, "delete")) {
            input type="hidden" name="id" value=(row.id);
            div.field {
                label for="confirm" { "Type " code { (name) } " to confirm" }
                input #confirm .mono name="confirm" required autocomplete="off" autocapitalize="off" spellcheck="false" autofocus data-confirm=(name);
            }
            (form_end("Delete", &back, true, off))
        }
    };
    Ok((row, sheet(&format!("Delete {name}?"), &back, false, &body)))
}

fn consequences(visit: &Visit, row: &SecretRow, readers: &[AuditRow]) -> Markup {
    html! {
        dl.facts {
            dt { "Used by" } dd { (used_by(row, USES)) }
            dt { "Recent readers" }
            dd {
                @if !readers.is_empty() {
                    ul.bare { @for reader in readers { li { (reader.actor_name) " " (time_ago(reader.at, visit.now)) } } }
                } @else {
                    @match row.last_revealed_at {
                        Some(at) => { "Last read " (time_ago(at, visit.now)) },
                        None => "Nobody has read it",
                    }
                }
            }
        }
    }
}

/// Who read it last, each person once, for those who may know.
async fn readers(visit: &Visit, name: &SecretName) -> Result<Vec<AuditRow>, Failure> {
    if !visit.access.audits() {
        return Ok(Vec::new());
    }
    let ask = AuditLog {
        limit: LOOKS,
        action: Some("secret.revealed".to_owned()),
        secret: Some(name.clone()),
        ..AuditLog::default()
    };
    let answered = visit.ask(Question::AuditLog(ask)).await?;
    let mut rows = answer!(answered, Answer::AuditLog)?.rows;
    rows.reverse();
    let mut known = HashSet::new();
    rows.retain(|row| known.insert(row.actor));
    Ok(rows)
}

pub(super) async fn delete(
    visit: Visit,
    Path((_, name)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Response {
    let result = carry_out(&visit, &name, &fields).await;
    let back = visit.path("secrets");
    visit.done(result, &back)
}

async fn carry_out(
    visit: &Visit,
    name: &str,
    fields: &Fields,
) -> Result<(String, String), Failure> {
    let name: SecretName = name.parse()?;
    if fields.confirm.trim() != name.as_str() {
        let words = format!("Type {name} exactly as it stands here. Nothing was deleted.");
        return Err(Failure::field(words));
    }
    let secret = SecretRef {
        id: id(&fields.id)?,
        name: name.clone(),
    };
    let index = visit.act(Action::SecretDelete(secret)).await?;
    let words = format!("Deleted {name} (entry {index}). The Deleted filter has it, to restore.");
    Ok((words, back(visit, None)))
}

pub(super) async fn restore(visit: Visit, Path((_, name)): Path<(String, String)>) -> Response {
    let result = bring_back(&visit, &name).await;
    let back = back(&visit, None);
    visit.done(result, &back)
}

async fn bring_back(visit: &Visit, name: &str) -> Result<(String, String), Failure> {
    let name: SecretName = name.parse()?;
    let id = visit.secret(&name).await?.id;
    let secret = SecretRef {
        id,
        name: name.clone(),
    };
    let index = visit.act(Action::SecretRestore(secret)).await?;
    let words = format!("Restored {name} (entry {index}).");
    let address = Listing::default().address(visit);
    Ok((words, format!("{address}#s-{name}")))
}
