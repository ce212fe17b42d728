//! A secret's row in the table. It holds no value, only dots.

use keyroll_core::SecretName;
use keyroll_core::state::Lifecycle;
use keyroll_wire::reply::SecretRow;
use maud::{Markup, html};

use crate::format::time_ago;
use crate::layout::icon;
use crate::request::WorkspaceRequest;

/// The same number for every value, whatever its length.
const DOTS: &str = "••••••••••••";

pub(super) fn row(request: &WorkspaceRequest, row: &SecretRow) -> Markup {
    let name = &row.name;
    html! {
        tr id=(format!("s-{name}")) tabindex="-1" data-name=(name) {
            th scope="row" {
                div.name {
                    code title=[long(name).then_some(name)] { (name) }
                    button.copy type="button" data-copy=(name) aria-label=(format!("Copy the name {name}")) { (icon("copy")) }
                }
                (flags(row))
                @if !row.description.as_str().is_empty() { p.about title=(row.description) { (row.description) } }
            }
            td.value {
                @if row.restricted {
                    span.note { "Write-only: used by blocks, never shown." }
                } @else {
                    span.dots aria-label="hidden" role="img" { (DOTS) }
                }
            }
            td.number { "v" (row.version) }
            td.changed data-label="Changed" { (time_ago(row.updated_at, request.now)) span.dim { (row.updated_by_name) } }
            td.read data-label="Last read" {
                @match row.last_revealed_at {
                    Some(at) => (time_ago(at, request.now)),
                    None => span.dim { "never" },
                }
            }
            td.uses data-label="Used by" { (used_by(row, 2)) }
            td.acts { (actions(request, row)) }
        }
    }
}

fn flags(row: &SecretRow) -> Markup {
    let flags = [
        (
            row.state == Lifecycle::Destroyed,
            "destroyed",
            "Its values are gone for good.",
        ),
        (
            row.state == Lifecycle::Deleted,
            "deleted",
            "Hidden; it can be restored.",
        ),
        (
            row.value_state.is_some(),
            "no value",
            "The current version is destroyed or lost: edit the secret, or restore an earlier version.",
        ),
        (row.stale, "stale", "Rotation is due."),
        (
            row.unused,
            "unused",
            "No saved workflow uses it, and nobody has read its value for 90 days.",
        ),
        (
            row.restricted,
            "restricted",
            "Only blocks of members with the role runner can use it.",
        ),
    ];
    html! {
        @for (_, flag, why) in flags.iter().filter(|(set, _, _)| *set) {
            span.flag data-flag=(flag) title=(why) { (flag) }
        }
    }
}

/// Whether a name may be cut off in its column.
fn long(name: &SecretName) -> bool {
    name.as_str().len() > 48
}

/// The blocks that use a secret, the first few by name.
pub(super) fn used_by(row: &SecretRow, shown: usize) -> Markup {
    let all: Vec<String> = row
        .used_by
        .iter()
        .map(|used| format!("{} / {}", used.workflow, used.block))
        .collect();
    html! {
        @if all.is_empty() { span.dim { "—" } }
        @for used in all.iter().take(shown) { span.used { (used) } }
        @if all.len() > shown { span.dim title=(all.join(", ")) { "and " (all.len() - shown) " more" } }
    }
}

fn actions(request: &WorkspaceRequest, row: &SecretRow) -> Markup {
    let name = &row.name;
    let path = |what| request.secret_path(name, what);
    let writes = request.access.writes(name);
    let off = request.writes_off();
    if row.state != Lifecycle::Active {
        return html! {
            @if writes && row.state == Lifecycle::Deleted {
                form method="post" action=(path("restore")) {
                    button type="submit" disabled[off] aria-label=(format!("Restore {name}")) { "Restore" }
                }
            }
            a.button href=(path("history")) data-act="history" aria-label=(format!("History of {name}")) { "History" }
        };
    }
    html! {
        @if request.access.reveals(name) && !row.restricted {
            form.reveal method="post" action=(path("view")) data-plain="" {
                button type="submit" data-act="view" disabled[off] aria-pressed="false" aria-label=(format!("View {name}")) { "View" }
            }
        }
        @if writes {
            a.button href=[(!request.writes_off()).then(|| path("edit"))] aria-disabled=[request.aria_disabled()] data-act="edit" aria-label=(format!("Edit {name}")) { "Edit" }
        }
        a.button href=(path("history")) data-act="history" aria-label=(format!("History of {name}")) { "History" }
        @if writes {
            details.menu.more {
                summary aria-label=(format!("More for {name}")) { "⋯" }
                ul {
                    li { a href=(path("details")) data-act="details" { "Details" } }
                    li { a.danger href=(path("delete")) data-act="delete" { "Delete…" } }
                }
            }
        }
    }
}
