//! A new value for a secret. An edit never overwrites a newer version.

use axum::extract::Path;
use axum::response::Response;
use keyroll_core::{Index, SecretName, Version};
use keyroll_wire::query::{Question, SecretHistory};
use keyroll_wire::reply::{Answer, SecretRow};
use maud::{Markup, html};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::fields::{id, reason, value, value_field};
use super::list::{back, with_sheet_of};
use crate::failure::Failure;
use crate::form::{Submitted, WorkspaceForm, wiped};
use crate::format::{ago, time_ago};
use crate::layout::{form_end, sheet};
use crate::request::{WorkspaceRequest, answer};

#[derive(Deserialize)]
pub(super) struct EditForm {
    id: String,
    version: u32,
    #[serde(default, deserialize_with = "wiped")]
    value: Zeroizing<String>,
    generate: Option<String>,
    newline: Option<String>,
    #[serde(default)]
    reason: String,
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
    let body = html! {
        p.note {
            "Version " (row.version) " is from " (time_ago(row.updated_at, request.now)) " by " (row.updated_by_name)
            ". The new value becomes version " (row.version.next()) " at once; the old one stays in the history."
        }
        form method="post" action=(request.secret_path(&name, "edit")) {
            input type="hidden" name="id" value=(row.id);
            input type="hidden" name="version" value=(row.version);
            (value_field("New value"))
            div.field {
                label for="reason" { "Why" }
                input #reason name="reason" autocomplete="off" aria-describedby="reason-note";
                p.note #reason-note { "Optional, kept in the audit log." }
            }
            (form_end(&format!("Save as v{}", row.version.next()), &back, false, off))
        }
    };
    Ok((row, sheet(&format!("Edit {name}"), &back, false, &body)))
}

impl WorkspaceForm for EditForm {
    async fn submit(self, request: &WorkspaceRequest, target: &str) -> Result<Submitted, Failure> {
        let name: SecretName = target.parse()?;
        let id = id(&self.id)?;
        let based_on = Version(self.version);
        let next = based_on.next();
        let reason = reason(&self.reason)?;
        let value = value(&self.value, self.generate.is_some(), self.newline.is_some())?;
        let client = &request.session.client;
        let secret = (id, &name);
        let edited = client
            .edit(&request.workspace, secret, next, &value, (reason, None))
            .await;
        let index = or_conflict(request, &name, based_on, request.acted(edited)).await?;
        Ok(Submitted::new(
            format!("Saved {name} v{next} (entry {index})."),
            back(request, Some(&name)),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("secrets")
    }
}

/// The entry of an edit; for a conflict, a failure that names the other editor where possible.
pub(super) async fn or_conflict(
    request: &WorkspaceRequest,
    name: &SecretName,
    based_on: Version,
    edited: Result<Index, Failure>,
) -> Result<Index, Failure> {
    match edited {
        Err(failure) if failure.code == "conflict" => {
            Err(conflict(request, name, based_on, failure).await)
        }
        edited => edited,
    }
}

async fn conflict(
    request: &WorkspaceRequest,
    name: &SecretName,
    based_on: Version,
    failure: Failure,
) -> Failure {
    let ask = Question::SecretHistory(SecretHistory {
        name: name.clone(),
        limit: 1,
        before: None,
    });
    let Ok(answered) = request.ask(ask).await else {
        return failure;
    };
    let Ok(history) = answer!(answered, Answer::SecretHistory) else {
        return failure;
    };
    let Some(newest) = history.rows.first().filter(|row| row.version > based_on) else {
        return failure;
    };
    let message = format!(
        "Changed by {} {} (v{}). Nothing was saved.",
        newest.actor_name,
        ago(newest.at, keyroll_wire::time::now()),
        newest.version
    );
    Failure { message, ..failure }.with_link("Review", request.secret_path(name, "history"))
}
