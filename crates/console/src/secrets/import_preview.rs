//! The preview of an import, and its confirmation.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Path;
use axum::response::Response;
use keyroll_client::{NewSecretSpec, split_import};
use keyroll_core::SecretId;
use keyroll_core::names::Text;
use keyroll_files::{Existing, preview};
use keyroll_wire::query::{PAGE_ROWS, Question, SecretList};
use keyroll_wire::reply::{Answer, SecretRow};
use maud::{Markup, html};
use serde::Deserialize;

use super::import::may_import;
use super::list::{back, with_sheet};
use crate::failure::Failure;
use crate::form::{Submitted, WorkspaceForm};
use crate::layout::{form_end, sheet};
use crate::pending_imports::PendingImport;
use crate::request::{WorkspaceRequest, answer};

/// Rows of a preview.
const ROWS: usize = 200;

/// The treatment of one secret by an import.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ImportStatus {
    Create,
    AlreadyImported,
    NameTaken,
    NotAllowed,
}

impl ImportStatus {
    const fn text(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::AlreadyImported => "Imported before",
            Self::NameTaken => "Left out: the name is taken",
            Self::NotAllowed => "Left out: not among the names that you may change",
        }
    }
}

fn pending(request: &WorkspaceRequest, token: &str) -> Result<Arc<PendingImport>, Failure> {
    let (session, workspace) = (&request.session.key, &request.workspace);
    let pending = request.app.imports.get(token, session, workspace);
    pending.ok_or_else(|| {
        let message =
            "This import has ended: it was carried out, or waited for more than ten minutes.";
        Failure::not_found(message).with_link("Import again", request.path("import"))
    })
}

/// The status of each secret, in the file's order.
async fn statuses(
    request: &WorkspaceRequest,
    pending: &PendingImport,
) -> Result<Vec<ImportStatus>, Failure> {
    let ids: BTreeMap<String, SecretId> = pending
        .secrets
        .iter()
        .map(|(id, secret)| (secret.name.folded(), *id))
        .collect();
    let mut existing = BTreeMap::new();
    for row in active(request).await? {
        let folded = row.name.folded();
        let own = ids.get(&folded) == Some(&row.id);
        let name = row.name;
        existing.insert(folded, Existing { name, own });
    }
    let secrets = pending.secrets.iter().map(|(_, secret)| secret);
    let preview = preview(secrets.clone(), &existing);
    let mut statuses: Vec<ImportStatus> = secrets
        .map(|secret| {
            if request.access.writes(&secret.name) {
                ImportStatus::Create
            } else {
                ImportStatus::NotAllowed
            }
        })
        .collect();
    for at in preview.done {
        statuses[at] = ImportStatus::AlreadyImported;
    }
    for (at, _) in preview.taken {
        statuses[at] = ImportStatus::NameTaken;
    }
    Ok(statuses)
}

async fn active(request: &WorkspaceRequest) -> Result<Vec<SecretRow>, Failure> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let ask = SecretList {
            at: None,
            after: after.clone(),
            limit: PAGE_ROWS,
            deleted: false,
        };
        let page = answer!(
            request.ask(Question::SecretList(ask)).await?,
            Answer::SecretList
        )?;
        rows.extend(page.rows);
        if page.next.is_none() || page.next == after {
            return Ok(rows);
        }
        after = page.next;
    }
}

pub(super) async fn show(
    request: WorkspaceRequest,
    Path((_, token)): Path<(String, String)>,
) -> Response {
    let over = dialog(&request, &token).await;
    with_sheet(&request, over).await
}

async fn dialog(request: &WorkspaceRequest, token: &str) -> Result<Markup, Failure> {
    may_import(request)?;
    let pending = pending(request, token)?;
    let statuses = statuses(request, &pending).await?;
    let create = count(&statuses, ImportStatus::Create);
    let address = request.path(&format!("import/{token}"));
    let again = request.path("import");
    let more = statuses.len().saturating_sub(ROWS);
    let body = html! {
        p { (summary(&statuses)) }
        div.scroll {
            table.import {
                caption.vh { "Secrets in this import" }
                thead { tr { th scope="col" { "Name" } th scope="col" { "Line" } th scope="col" { "Result" } } }
                tbody {
                    @for ((_, secret), status) in pending.secrets.iter().zip(&statuses).take(ROWS) {
                        tr { th.mono scope="row" { (secret.name) } td { (secret.line) } td { (status.text()) } }
                    }
                }
            }
        }
        @if more > 0 { p.note { "and " (more) " more" } }
        @if create > 0 {
            form method="post" action=(address) {
                input type="hidden" name="create" value=(create);
                (form_end(&format!("Import {create}"), &again, false, request.writes_off()))
            }
        } @else {
            p.buttons { a.button href=(again) { "Back" } }
        }
    };
    Ok(sheet("Import secrets", &back(request, None), true, &body))
}

fn count(statuses: &[ImportStatus], of: ImportStatus) -> usize {
    statuses.iter().filter(|status| **status == of).count()
}

fn summary(statuses: &[ImportStatus]) -> String {
    let left_out =
        count(statuses, ImportStatus::NameTaken) + count(statuses, ImportStatus::NotAllowed);
    let some = |count: usize, label: &str| (count > 0).then(|| format!("{count} {label}"));
    let parts = [
        Some(format!(
            "{} to create",
            count(statuses, ImportStatus::Create)
        )),
        some(
            count(statuses, ImportStatus::AlreadyImported),
            "imported before",
        ),
        some(left_out, "left out"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ") + "."
}

/// The preview's button.
#[derive(Deserialize)]
pub(super) struct ConfirmForm {
    /// The number of secrets to create, as the preview showed it.
    create: usize,
}

impl WorkspaceForm for ConfirmForm {
    async fn submit(self, request: &WorkspaceRequest, token: &str) -> Result<Submitted, Failure> {
        may_import(request)?;
        let pending = pending(request, token)?;
        let statuses = statuses(request, &pending).await?;
        if count(&statuses, ImportStatus::Create) != self.create {
            let message = "Something changed meanwhile. Nothing was imported now.";
            let address = request.path(&format!("import/{token}"));
            return Err(Failure::field(message).with_link("Look again", address));
        }
        let (imported, entries) = import(request, &pending, &statuses).await?;
        request.app.imports.remove(token);
        let entries = match entries.as_slice() {
            [] => String::new(),
            [one] => format!(" (entry {one})"),
            [first, .., last] => format!(" (entries {first} to {last})"),
        };
        let noun = if imported == 1 { "secret" } else { "secrets" };
        Ok(Submitted::new(
            format!("Imported {imported} {noun}{entries}."),
            back(request, None),
        ))
    }

    fn back(request: &WorkspaceRequest, token: &str) -> String {
        request.path(&format!("import/{token}"))
    }
}

/// Creates the secrets. Returns how many there are, and their entries.
async fn import(
    request: &WorkspaceRequest,
    pending: &PendingImport,
    statuses: &[ImportStatus],
) -> Result<(usize, Vec<u64>), Failure> {
    let nothing: Text = "".parse()?;
    let chosen = pending.secrets.iter().zip(statuses);
    let chosen = chosen.filter(|(_, status)| **status == ImportStatus::Create);
    let new: Vec<_> = chosen
        .map(|((id, secret), _)| {
            let spec = NewSecretSpec {
                name: secret.name.clone(),
                description: nothing.clone(),
                hosts: Vec::new(),
                restricted: pending.restricted,
                rotate_every: None,
            };
            (*id, spec, secret.value.as_slice())
        })
        .collect();
    let mut entries = Vec::new();
    for part in split_import(&new) {
        let secrets = new.get(part).unwrap_or_default();
        let client = &request.session.client;
        let imported = client.import(&request.workspace, secrets).await;
        entries.push(request.acted(imported)?.0);
    }
    Ok((new.len(), entries))
}
