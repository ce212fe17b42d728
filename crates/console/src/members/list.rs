//! The tables of members.

use axum::response::Response;
use keyroll_core::{Glob, Millis};
use keyroll_wire::reply::{InvitationRow, MemberRow};
use maud::{Markup, html};

use super::invitations;
use crate::failure::Failure;
use crate::format::{ago, rfc3339, short_id, until};
use crate::layout::icon;
use crate::page::{Page, Tab};
use crate::request::WorkspaceRequest;

/// Members shown on one page; `keyroll member list` shows them all.
const SHOWN: usize = 200;

pub(super) async fn show(request: WorkspaceRequest) -> Response {
    page(&request, None).await
}

async fn page(request: &WorkspaceRequest, over: Option<Markup>) -> Response {
    let invited = match invitations::rows(request).await {
        Ok(invited) => invited,
        Err(failure) => return request.responder.failure(&failure, None),
    };
    request
        .page(Page {
            tab: Tab::Members,
            title: "Members".to_owned(),
            body: body(request, &invited),
            over,
        })
        .await
}

/// A dialog over the list.
pub(super) async fn with_sheet(
    request: &WorkspaceRequest,
    over: Result<Markup, Failure>,
) -> Response {
    match over {
        Ok(over) => page(request, Some(over)).await,
        Err(failure) => request
            .responder
            .failure(&failure, Some(&request.path("members"))),
    }
}

fn body(request: &WorkspaceRequest, invited: &[InvitationRow]) -> Markup {
    let present: Vec<&MemberRow> = request.members.iter().filter(|row| !row.removed).collect();
    let former: Vec<&MemberRow> = request.members.iter().filter(|row| row.removed).collect();
    html! {
        div.head {
            h1 { "Members" }
            p.note {
                @if request.access.manages() { "Members and their roles. Every change is recorded." }
                @else if request.session.signed_in() { "Changing members needs your own key: in a terminal, use " code { "keyroll -w " (request.workspace) " member" } "." }
                @else { "Owners add and change members." }
            }
            span.fill {}
            @if request.access.manages() { a.button.main href=[request.form_path("members/add")] aria-disabled=[request.aria_disabled()] data-key="n" { "Add member" } }
        }
        (table(request, &present, "Members"))
        (invitations::table(request, invited))
        @if !former.is_empty() {
            details.fold { summary { "Former members, " (former.len()) } (table(request, &former, "Former members")) }
        }
    }
}

fn table(request: &WorkspaceRequest, rows: &[&MemberRow], caption: &str) -> Markup {
    html! {
        div.scroll {
            table.members.cards {
                caption.vh { (caption) " of " (request.workspace) }
                thead {
                    tr {
                        th scope="col" { "Name" }
                        th scope="col" { "Role" }
                        th scope="col" { "Secrets" }
                        th scope="col" { "Expires" }
                        th scope="col" { "Public key" }
                        th scope="col" { span.vh { "Actions" } }
                    }
                }
                tbody { @for row in rows.iter().take(SHOWN) { (line(request, row)) } }
            }
        }
        @if rows.len() > SHOWN { p.note { "The first " (SHOWN) " of " (rows.len()) ". `keyroll member list` shows all." } }
    }
}

fn line(request: &WorkspaceRequest, row: &MemberRow) -> Markup {
    let own = row.member == request.session.client.member();
    html! {
        tr tabindex="-1" data-name=(row.name) {
            th scope="row" { span.who { (row.name) } " " @if own { span.flag data-flag="current" { "you" } } }
            td { (row.role.as_str()) }
            td data-label="Secrets" { code { (globs(row)) } }
            td data-label="Expires" { (expiry(row, request.now)) }
            td.key {
                code title=(row.member) { (short_id(&row.member)) }
                button.copy type="button" data-copy=(row.member) aria-label=(format!("Copy the public key of {}", row.name)) { (icon("copy")) }
            }
            td.acts {
                @if request.access.manages() && !row.removed {
                    a.button href=[request.form_path(&format!("members/{}/change", row.member))] aria-disabled=[request.aria_disabled()] data-act="edit" aria-label=(format!("Change {}", row.name)) { "Change" }
                    form method="post" action=(request.path(&format!("members/{}/remove", row.member))) {
                        button type="submit" disabled[request.writes_off()] aria-label=(format!("Remove {}", row.name)) data-sure="Remove for sure?" { "Remove" }
                    }
                }
            }
        }
    }
}

pub(super) fn globs(row: &MemberRow) -> String {
    let globs: Vec<&str> = row.secrets.iter().map(Glob::as_str).collect();
    globs.join(" ")
}

fn expiry(row: &MemberRow, now: Millis) -> Markup {
    match row.expires {
        None => html! { span.dim { "never" } },
        Some(at) if at <= now => {
            html! { span.flag data-flag="stale" { "expired " (ago(at, now)) } }
        }
        Some(at) => html! { time datetime=(rfc3339(at)) { (until(at, now)) } },
    }
}
