//! Invitations that nobody has joined by, and ending them.

use keyroll_core::command::MemberRevoke;
use keyroll_core::invitation::fingerprint;
use keyroll_core::{Action, Glob, Identity};
use keyroll_wire::reply::InvitationRow;
use maud::{Markup, html};
use serde::Deserialize;

use crate::failure::Failure;
use crate::form::{Submitted, WorkspaceForm};
use crate::format::{ago, rfc3339, until};
use crate::request::WorkspaceRequest;

/// Invitations shown on one page; `keyroll member list` shows them all.
const SHOWN: usize = 200;

/// The form of the button "Revoke".
#[derive(Deserialize)]
pub(super) struct RevokeForm {}

pub(super) async fn rows(request: &WorkspaceRequest) -> Result<Vec<InvitationRow>, Failure> {
    let client = &request.session.client;
    request.checked(client.invitations(&request.workspace).await)
}

/// The table; nothing when nobody is invited.
pub(super) fn table(request: &WorkspaceRequest, rows: &[InvitationRow]) -> Markup {
    if rows.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Invitations" }
        div.scroll {
            table.members.cards {
                caption.vh { "Invitations to " (request.workspace) }
                thead {
                    tr {
                        th scope="col" { "Name" }
                        th scope="col" { "Role" }
                        th scope="col" { "Secrets" }
                        th scope="col" { "Invited by" }
                        th scope="col" { "State" }
                        th scope="col" { span.vh { "Actions" } }
                    }
                }
                tbody { @for row in rows.iter().take(SHOWN) { (line(request, row)) } }
            }
        }
        @if rows.len() > SHOWN { p.note { "The first " (SHOWN) " of " (rows.len()) ". `keyroll member list` shows all." } }
    }
}

fn line(request: &WorkspaceRequest, row: &InvitationRow) -> Markup {
    let globs: Vec<&str> = row.secrets.iter().map(Glob::as_str).collect();
    html! {
        tr tabindex="-1" data-name=(row.name) {
            th scope="row" { span.who { (row.name) } }
            td { (row.role.as_str()) }
            td data-label="Secrets" { code { (globs.join(" ")) } }
            td data-label="Invited by" { (row.by_name) }
            td data-label="State" { (state(request, row)) }
            td.acts {
                @if request.access.manages() {
                    form method="post" action=(request.path(&format!("members/{}/revoke", row.key))) {
                        button type="submit" disabled[request.writes_off()] aria-label=(format!("Revoke the invitation of {}", row.name)) data-sure="Revoke for sure?" { "Revoke" }
                    }
                }
            }
        }
    }
}

fn state(request: &WorkspaceRequest, row: &InvitationRow) -> Markup {
    if row.until <= request.now {
        return html! { span.flag data-flag="stale" { "link ended " (ago(row.until, request.now)) } };
    }
    let ends = html! { time datetime=(rfc3339(row.until)) { (until(row.until, request.now)) } };
    match row.accepted {
        None => html! { "link ends " (ends) },
        Some(accepted) => html! {
            "accepted with the fingerprint " code { (fingerprint(&accepted.member)) }
            p.note { "Compare it with " (row.name) ", then run " code { "keyroll member confirm " (row.name) } " in a terminal." }
        },
    }
}

impl WorkspaceForm for RevokeForm {
    async fn submit(self, request: &WorkspaceRequest, target: &str) -> Result<Submitted, Failure> {
        let gone = || Failure::not_found("There is no such invitation.");
        let key: Identity = target.parse().map_err(|_| gone())?;
        let rows = rows(request).await?;
        let row = rows.iter().find(|row| row.key == key).ok_or_else(gone)?;
        let index = request
            .act(Action::MemberRevoke(MemberRevoke { key }))
            .await?;
        Ok(Submitted::new(
            format!("Revoked the invitation of {} (entry {index}).", row.name),
            request.path("members"),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("members")
    }
}
