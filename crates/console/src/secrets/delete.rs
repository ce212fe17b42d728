//! Deleting a secret, confirmed by typing its name, and restoring it.

use std::collections::HashSet;

use axum::extract::Path;
use axum::response::Response;
use keyroll_core::command::SecretRef;
use keyroll_core::{Action, SecretName};
use keyroll_wire::query::{AuditLog, Question};
use keyroll_wire::reply::{Answer, AuditRow, SecretRow};
use maud::{Markup, html};
use serde::Deserialize;

use super::fields::id;
use super::list::{back, with_sheet_of};
use super::row::used_by;
use crate::failure::Failure;
use crate::form::{Submitted, WorkspaceForm};
use crate::format::time_ago;
use crate::layout::{form_end, sheet};
use crate::listing::Listing;
use crate::request::{WorkspaceRequest, answer};

/// Recent reads that are searched for readers.
const READS: u32 = 50;
/// Blocks that are named.
const BLOCKS: usize = 20;

#[derive(Deserialize)]
pub(super) struct DeleteForm {
    id: String,
    #[serde(default)]
    confirm: String,
}

/// The form of the button "Restore".
#[derive(Deserialize)]
pub(super) struct RestoreForm {}

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
    let readers = readers(request, &name).await?;
    let back = back(request, Some(&name));
    let body = html! {
        p { "Blocks that use it will fail from now on. Its history stays, and you can restore it from the Deleted filter." }
        (consequences(request, &row, &readers))
        form method="post" action=(request.secret_path(&name, "delete")) {
            input type="hidden" name="id" value=(row.id);
            div.field {
                label for="confirm" { "Type " code { (name) } " to confirm" }
                input #confirm .mono name="confirm" required autocomplete="off" autocapitalize="off" spellcheck="false" autofocus data-confirm=(name);
            }
            (form_end("Delete", &back, true, request.writes_off()))
        }
    };
    Ok((row, sheet(&format!("Delete {name}?"), &back, false, &body)))
}

fn consequences(request: &WorkspaceRequest, row: &SecretRow, readers: &[AuditRow]) -> Markup {
    html! {
        dl.facts {
            dt { "Used by" } dd { (used_by(row, BLOCKS)) }
            dt { "Recent readers" }
            dd {
                @if !readers.is_empty() {
                    ul.bare { @for reader in readers { li { (reader.actor_name) " " (time_ago(reader.at, request.now)) } } }
                } @else {
                    @match row.last_revealed_at {
                        Some(at) => { "Last read " (time_ago(at, request.now)) },
                        None => "Nobody has read it",
                    }
                }
            }
        }
    }
}

/// The last readers, each once, for members who may read the audit log.
async fn readers(request: &WorkspaceRequest, name: &SecretName) -> Result<Vec<AuditRow>, Failure> {
    if !request.access.audits() {
        return Ok(Vec::new());
    }
    let ask = AuditLog {
        limit: READS,
        action: Some("secret.revealed".to_owned()),
        secret: Some(name.clone()),
        ..AuditLog::default()
    };
    let answered = request.ask(Question::AuditLog(ask)).await?;
    let mut rows = answer!(answered, Answer::AuditLog)?.rows;
    rows.reverse();
    let mut known = HashSet::new();
    rows.retain(|row| known.insert(row.actor));
    Ok(rows)
}

impl WorkspaceForm for DeleteForm {
    async fn submit(self, request: &WorkspaceRequest, target: &str) -> Result<Submitted, Failure> {
        let name: SecretName = target.parse()?;
        if self.confirm.trim() != name.as_str() {
            let message = format!("Type {name} exactly as shown here. Nothing was deleted.");
            return Err(Failure::field(message));
        }
        let secret = SecretRef {
            id: id(&self.id)?,
            name: name.clone(),
        };
        let index = request.act(Action::SecretDelete(secret)).await?;
        Ok(Submitted::new(
            format!("Deleted {name} (entry {index}). Restore it from the Deleted filter."),
            back(request, None),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("secrets")
    }
}

impl WorkspaceForm for RestoreForm {
    async fn submit(self, request: &WorkspaceRequest, target: &str) -> Result<Submitted, Failure> {
        let name: SecretName = target.parse()?;
        let secret = SecretRef {
            id: request.secret(&name).await?.id,
            name: name.clone(),
        };
        let index = request.act(Action::SecretRestore(secret)).await?;
        let list = Listing::default().address(&request.workspace);
        Ok(Submitted::new(
            format!("Restored {name} (entry {index})."),
            format!("{list}#s-{name}"),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        back(request, None)
    }
}
