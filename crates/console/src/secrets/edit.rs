//! A new value for a secret. What somebody else did meanwhile is never written over.

use axum::Form;
use axum::extract::Path;
use axum::response::Response;
use keyroll_core::{SecretName, Version};
use keyroll_wire::query::{Question, SecretHistory};
use keyroll_wire::reply::{Answer, SecretRow};
use maud::{Markup, html};
use serde::Deserialize;

use super::details::id;
use super::fields::{reason, value, value_field};
use super::list::{back, with_sheet_of};
use crate::failure::Failure;
use crate::page::{form_end, sheet};
use crate::visit::{Visit, answer};
use crate::words::{ago, time_ago};

#[derive(Deserialize)]
pub(super) struct Fields {
    id: String,
    version: u32,
    #[serde(default)]
    value: String,
    generate: Option<String>,
    newline: Option<String>,
    #[serde(default)]
    reason: String,
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
    let body = html! {
        p.note {
            "Version " (row.version) " is from " (time_ago(row.updated_at, visit.now)) " by " (row.updated_by_name)
            ". The new value becomes version " (row.version.next()) " at once; the old one stays in the history."
        }
        form method="post" action=(visit.secret_path(&name, "edit")) {
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

pub(super) async fn edit(
    visit: Visit,
    Path((_, name)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Response {
    let result = carry_out(&visit, &name, fields).await;
    let back = visit.path("secrets");
    visit.done(result, &back)
}

async fn carry_out(visit: &Visit, name: &str, fields: Fields) -> Result<(String, String), Failure> {
    visit.may_write()?;
    let name: SecretName = name.parse()?;
    let id = id(&fields.id)?;
    let next = Version(fields.version).next();
    let reason = reason(&fields.reason)?;
    let value = value(
        fields.value,
        fields.generate.is_some(),
        fields.newline.is_some(),
    )?;
    let client = &visit.session.client;
    let place = (id, &name);
    let edited = client
        .edit(&visit.workspace, place, next, &value, (reason, None))
        .await;
    match visit.acted(edited) {
        Ok(index) => {
            let words = format!("Saved {name} v{next} (entry {index}).");
            Ok((words, back(visit, Some(&name))))
        }
        Err(failure) if failure.code == "conflict" => {
            Err(conflict(visit, &name, Version(fields.version), failure).await)
        }
        Err(failure) => Err(failure),
    }
}

/// Says who was first, where that can be found out.
pub(super) async fn conflict(
    visit: &Visit,
    name: &SecretName,
    based_on: Version,
    failure: Failure,
) -> Failure {
    let ask = Question::SecretHistory(SecretHistory {
        name: name.clone(),
        limit: 1,
        before: None,
    });
    let Ok(answered) = visit.ask(ask).await else {
        return failure;
    };
    let Ok(history) = answer!(answered, Answer::SecretHistory) else {
        return failure;
    };
    let Some(newest) = history.rows.first().filter(|row| row.version > based_on) else {
        return failure;
    };
    let words = format!(
        "Changed by {} {} (v{}). Nothing was saved.",
        newest.actor_name,
        ago(newest.at, keyroll_wire::time::now()),
        newest.version
    );
    Failure { words, ..failure }.see("Review", visit.secret_path(name, "history"))
}
