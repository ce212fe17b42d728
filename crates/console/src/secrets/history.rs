//! A secret's versions, and an earlier value as a new version. Values are never compared here.

use std::collections::HashMap;

use axum::Form;
use axum::extract::Path;
use axum::response::Response;
use keyroll_client::{RequestedValue, unexpected};
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::names::Text;
use keyroll_core::state::{Lifecycle, ValueState};
use keyroll_core::{Index, SecretName, Version};
use keyroll_wire::query::{AuditLog, PAGE_ROWS, Question, SecretHistory};
use keyroll_wire::reply::{Answer, SecretReader, SecretRow, VersionRow};
use maud::{Markup, html};
use serde::Deserialize;

use super::details::id;
use super::edit::conflict;
use super::list::{back, with_sheet_of};
use crate::failure::Failure;
use crate::page::sheet;
use crate::visit::{Visit, answer};
use crate::words::{ago, time_ago};

#[derive(Deserialize)]
pub(super) struct Fields {
    id: String,
    version: u32,
    from: u32,
}

pub(super) async fn show(visit: Visit, Path((_, name)): Path<(String, String)>) -> Response {
    let over = drawer(&visit, &name).await;
    with_sheet_of(&visit, over).await
}

async fn drawer(visit: &Visit, name: &str) -> Result<(SecretRow, Markup), Failure> {
    let name: SecretName = name.parse()?;
    let row = visit.secret(&name).await?;
    let answered = visit
        .ask(Question::SecretHistory(SecretHistory {
            name: name.clone(),
            limit: PAGE_ROWS,
            before: None,
        }))
        .await?;
    let versions = answer!(answered, Answer::SecretHistory)?.rows;
    let entries = entries(visit, &name).await?;
    let back = back(visit, Some(&name));
    let body = html! {
        p.note { "Every version stays. Restoring one makes a new version with its value; the reading of the old one is recorded." }
        ol.versions {
            @for version in &versions {
                li { (entry(visit, &row, version, entries.get(&version.version).copied())) }
            }
        }
        @if visit.access.audits() {
            p { a href=(format!("{}?secret={name}", visit.path("audit"))) { "All that happened to " (name) " in the audit log" } }
        }
    };
    Ok((
        row,
        sheet(&format!("History of {name}"), &back, true, &body),
    ))
}

fn entry(visit: &Visit, row: &SecretRow, version: &VersionRow, index: Option<Index>) -> Markup {
    let name = &row.name;
    let state = match version.state {
        ValueState::Live => None,
        ValueState::Destroyed => Some("value destroyed"),
        ValueState::Erased => Some("value erased"),
        ValueState::Lost => Some("value lost"),
    };
    let current = version.version == row.version;
    let restorable = row.state == Lifecycle::Active
        && !current
        && version.state == ValueState::Live
        && !row.restricted
        && visit.access.writes(name)
        && visit.access.reveals(name);
    let off = visit.app.verification.failed(&visit.workspace);
    html! {
        div.what {
            strong { "v" (version.version) }
            @if current { span.flag data-flag="current" { "current" } }
            @if let Some(state) = state { span.flag data-flag="destroyed" { (state) } }
            (version.kind) " by " (version.actor_name) " " (time_ago(version.at, visit.now))
            @if let Some(reason) = &version.reason { p.about { "“" (reason) "”" } }
            @if let Some(index) = index { p.about { (proof(visit, index)) } }
            @if let Some(seen) = &version.seen_by { p.about { (seen_by(visit, seen, version.seen_by_count)) } }
        }
        @if restorable {
            form method="post" action=(visit.secret_path(name, "rollback")) {
                input type="hidden" name="id" value=(row.id);
                input type="hidden" name="version" value=(row.version);
                input type="hidden" name="from" value=(version.version);
                button type="submit" disabled[off] aria-label=(format!("Restore v{} as v{}", version.version, row.version.next())) {
                    "Restore as v" (row.version.next())
                }
                p.error role="alert" {}
            }
        }
    }
}

/// Who was released a version's value, the latest few by name.
fn seen_by(visit: &Visit, seen: &[SecretReader], count: Option<u32>) -> Markup {
    const SHOWN: usize = 5;
    let more = (count.unwrap_or(0) as usize).saturating_sub(seen.len().min(SHOWN));
    html! {
        @if seen.is_empty() { "Seen by nobody" } @else { "Seen by " }
        @for (at, by) in seen.iter().take(SHOWN).enumerate() {
            @if at > 0 { ", " }
            (by.actor_name) " "
            a href=(visit.path(&format!("audit/{}", by.index))) { (ago(by.last_at, visit.now)) }
            @if by.count > 1 { " (" (by.count) " times)" }
        }
        @if more > 0 { " and " (more) " more" }
    }
}

/// Whether the entry that made a version lies in what was verified.
fn proof(visit: &Visit, index: Index) -> Markup {
    let address = visit.path(&format!("audit/{index}"));
    let verified = index.0 < visit.app.verification.entries(&visit.workspace);
    html! {
        a href=(address) { "Entry " (index) }
        @if visit.app.verification.failed(&visit.workspace) { ", in a log that does not verify" }
        @else if verified { ", in the verified log" }
        @else { ", not verified yet" }
    }
}

/// The entries that made the versions, for those who may know.
async fn entries(visit: &Visit, name: &SecretName) -> Result<HashMap<Version, Index>, Failure> {
    let mut entries = HashMap::new();
    if !visit.access.audits() {
        return Ok(entries);
    }
    for action in ["secret.created", "secret.edited"] {
        let ask = AuditLog {
            limit: PAGE_ROWS,
            action: Some(action.to_owned()),
            secret: Some(name.clone()),
            ..AuditLog::default()
        };
        let answered = visit.ask(Question::AuditLog(ask)).await?;
        for row in answer!(answered, Answer::AuditLog)?.rows {
            let made = row.secrets.iter().find_map(|secret| secret.version);
            entries.extend(made.map(|version| (version, row.index)));
        }
    }
    Ok(entries)
}

pub(super) async fn rollback(
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
    visit.may_write()?;
    let name: SecretName = name.parse()?;
    let (id, from) = (id(&fields.id)?, Version(fields.from));
    let next = Version(fields.version).next();
    // The ledger never sees a value, so the old one comes here and is sealed anew.
    let wanted = [RequestedValue {
        name: name.clone(),
        version: Some(from),
    }];
    let (client, workspace) = (&visit.session.client, &visit.workspace);
    let why: Text = format!("restore of version {from}").parse()?;
    let purpose = Purpose::Copy(Nothing {});
    let revealed = client
        .reveal(workspace, &wanted, &purpose, Some(&why))
        .await;
    let revealed = visit.noticing(revealed)?;
    let revealed = revealed.warn(|warning| visit.warn(&warning));
    let opened = revealed
        .values
        .first()
        .ok_or_else(|| Failure::from(unexpected()))?;
    if opened.id != id {
        return Err(Failure::field(
            "Another secret has this name by now. Nothing was changed.",
        ));
    }
    let note = (Some(why), Some(from));
    let edited = client
        .edit(workspace, (id, &name), next, &opened.value, note)
        .await;
    match visit.acted(edited) {
        Ok(index) => {
            let words =
                format!("{name} has the value of v{from} again, as v{next} (entry {index}).");
            Ok((words, back(visit, Some(&name))))
        }
        Err(failure) if failure.code == "conflict" => {
            Err(conflict(visit, &name, Version(fields.version), failure).await)
        }
        Err(failure) => Err(failure),
    }
}
