//! A secret's versions.

use std::collections::HashMap;

use axum::extract::Path;
use axum::response::Response;
use keyroll_core::state::{Lifecycle, ValueState};
use keyroll_core::{Index, SecretName, Version};
use keyroll_wire::query::{AuditLog, PAGE_ROWS, Question, SecretHistory};
use keyroll_wire::reply::{Answer, SecretReader, SecretRow, VersionRow};
use maud::{Markup, html};

use super::list::{back, with_sheet_of};
use crate::failure::Failure;
use crate::format::{ago, time_ago};
use crate::layout::sheet;
use crate::request::{WorkspaceRequest, answer};

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
    let answered = request
        .ask(Question::SecretHistory(SecretHistory {
            name: name.clone(),
            limit: PAGE_ROWS,
            before: None,
        }))
        .await?;
    let versions = answer!(answered, Answer::SecretHistory)?.rows;
    let entries = entries(request, &name).await?;
    let back = back(request, Some(&name));
    let body = html! {
        p.note { "Every version stays. Restoring one makes a new version with its value, and records that the old value was read." }
        ol.versions {
            @for version in &versions {
                li { (entry(request, &row, version, entries.get(&version.version).copied())) }
            }
        }
        @if request.access.audits() {
            p { a href=(format!("{}?secret={name}", request.path("audit"))) { "All that happened to " (name) " in the audit log" } }
        }
    };
    Ok((
        row,
        sheet(&format!("History of {name}"), &back, true, &body),
    ))
}

fn entry(
    request: &WorkspaceRequest,
    row: &SecretRow,
    version: &VersionRow,
    index: Option<Index>,
) -> Markup {
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
        && request.access.writes(name)
        && request.access.reveals(name);
    let off = request.writes_off();
    html! {
        div.what {
            strong { "v" (version.version) }
            @if current { span.flag data-flag="current" { "current" } }
            @if let Some(state) = state { span.flag data-flag="destroyed" { (state) } }
            (version.kind) " by " (version.actor_name) " " (time_ago(version.at, request.now))
            @if let Some(reason) = &version.reason { p.about { "“" (reason) "”" } }
            @if let Some(index) = index { p.about { (proof(request, index)) } }
            @if let Some(seen) = &version.seen_by { p.about { (seen_by(request, seen, version.seen_by_count)) } }
        }
        @if restorable {
            form method="post" action=(request.secret_path(name, "rollback")) {
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

/// The readers of a version's value, the latest few by name.
fn seen_by(request: &WorkspaceRequest, seen: &[SecretReader], count: Option<u32>) -> Markup {
    const SHOWN: usize = 5;
    let more = (count.unwrap_or(0) as usize).saturating_sub(seen.len().min(SHOWN));
    html! {
        @if seen.is_empty() { "Seen by nobody" } @else { "Seen by " }
        @for (at, by) in seen.iter().take(SHOWN).enumerate() {
            @if at > 0 { ", " }
            (by.actor_name) " "
            a href=(request.path(&format!("audit/{}", by.index))) { (ago(by.last_at, request.now)) }
            @if by.count > 1 { " (" (by.count) " times)" }
        }
        @if more > 0 { " and " (more) " more" }
    }
}

/// The entry that made a version, and whether it lies in the verified log.
fn proof(request: &WorkspaceRequest, index: Index) -> Markup {
    let address = request.path(&format!("audit/{index}"));
    let verified = index.0 < request.app.verification.entries(&request.workspace);
    html! {
        a href=(address) { "Entry " (index) }
        @if request.writes_off() { ", in a log that does not verify" }
        @else if verified { ", in the verified log" }
        @else { ", not verified yet" }
    }
}

/// The entries that made the versions, for members who may read the audit log.
async fn entries(
    request: &WorkspaceRequest,
    name: &SecretName,
) -> Result<HashMap<Version, Index>, Failure> {
    let mut entries = HashMap::new();
    if !request.access.audits() {
        return Ok(entries);
    }
    for action in ["secret.created", "secret.edited"] {
        let ask = AuditLog {
            limit: PAGE_ROWS,
            action: Some(action.to_owned()),
            secret: Some(name.clone()),
            ..AuditLog::default()
        };
        let answered = request.ask(Question::AuditLog(ask)).await?;
        for row in answer!(answered, Answer::AuditLog)?.rows {
            let made = row.secrets.iter().find_map(|secret| secret.version);
            entries.extend(made.map(|version| (version, row.index)));
        }
    }
    Ok(entries)
}
