//! The rows of the audit log, newest first.

use axum::extract::Query;
use axum::response::Response;
use keyroll_core::command::Purpose;
use keyroll_core::event::KINDS;
use keyroll_wire::query::{AuditOutcome, Question};
use keyroll_wire::reply::{Answer, AuditRow, AuditRows};
use maud::{Markup, html};

use super::filter::{Filter, for_field};
use crate::failure::Failure;
use crate::format::short_time;
use crate::page::{Page, Tab};
use crate::request::{WorkspaceRequest, answer};

/// Rows of a page.
const ROWS: u32 = 50;
/// Rows of one entry: an import has hundreds, all of which are in the export.
const OF_ENTRY: usize = 4;

pub(super) async fn show(request: WorkspaceRequest, Query(filter): Query<Filter>) -> Response {
    with_sheet(&request, &filter, None).await
}

/// The tab, with an entry's dialog over it where one is open.
pub(super) async fn with_sheet(
    request: &WorkspaceRequest,
    filter: &Filter,
    over: Option<Markup>,
) -> Response {
    let body = body(request, filter).await;
    let result = match body {
        Ok(body) => {
            let page = Page {
                tab: Tab::Audit,
                title: "Audit log".to_owned(),
                body,
                over,
            };
            Ok(request.page(page).await)
        }
        Err(failure) => Err(failure),
    };
    request.respond(result)
}

async fn body(request: &WorkspaceRequest, filter: &Filter) -> Result<Markup, Failure> {
    if !request.access.audits() {
        return Ok(denied(request));
    }
    let (page, wrong) = match ask(request, filter).await {
        Ok(page) => (page, None),
        Err(failure) if failure.code == "invalid_field" || failure.code == "invalid_name" => {
            let none = AuditRows {
                rows: Vec::new(),
                before: None,
            };
            (none, Some(failure))
        }
        Err(failure) => return Err(failure),
    };
    let rows = page.rows.iter().rev().collect::<Vec<_>>();
    Ok(html! {
        div.head {
            h1 { "Audit log" }
            p.note #checked { (request.badge().detail) }
            span.fill {}
            a.button href=(format!("{}{}", request.path("audit.jsonl"), filter.query(None))) download="" { "Export" }
            form method="post" action=(request.path("verify")) { button.main type="submit" { "Verify now" } }
        }
        (tools(request, filter))
        @if let Some(wrong) = wrong { p.error role="alert" { (wrong.message) } }
        @else if rows.is_empty() { (empty(request, page.before.is_some())) }
        @else { (table(request, filter, &rows)) }
        p.pages {
            @if !filter.before.is_empty() { a.button href=(format!("{}{}", request.path("audit"), filter.query(None))) { "Newest" } }
            @if let Some(before) = page.before {
                a.button rel="next" href=(format!("{}{}", request.path("audit"), filter.query(Some(before)))) { "Older" }
            }
        }
    })
}

async fn ask(request: &WorkspaceRequest, filter: &Filter) -> Result<AuditRows, Failure> {
    let ask = filter.ask(&request.members, ROWS)?;
    answer!(
        request.ask(Question::AuditLog(ask)).await?,
        Answer::AuditLog
    )
}

fn denied(request: &WorkspaceRequest) -> Markup {
    html! {
        div.head { h1 { "Audit log" } }
        div.empty {
            h2 { "Owners and auditors read the audit log" }
            p { "You are " (request.access.role.as_str()) " here. The audit log records your actions too. Ask an owner if you need to read the log." }
        }
    }
}

fn empty(request: &WorkspaceRequest, more: bool) -> Markup {
    html! {
        div.empty {
            h2 { "No match" }
            @if more { p { "No row of these entries matches the filter. There are older entries." } }
            @else { p { "No row of the log matches this filter." } }
            p { a.button href=(request.path("audit")) { "Show everything" } }
        }
    }
}

fn tools(request: &WorkspaceRequest, filter: &Filter) -> Markup {
    let moment = |label: &str, name: &str, value: &str| {
        let value = for_field(value);
        html! { label { span { (label) } input type="datetime-local" step="1" name=(name) value=(value); } }
    };
    html! {
        form.filter role="search" method="get" action=(request.path("audit")) {
            label {
                span { "Actor" }
                input name="actor" value=(filter.actor) list="actors" placeholder="anybody" autocomplete="off";
                datalist #actors { @for row in request.members.iter().take(200) { option value=(row.name) {} } }
            }
            label {
                span { "Event" }
                select name="action" {
                    option value="" { "any" }
                    @for kind in KINDS { option value=(kind.name) selected[filter.action == kind.name] { (kind.name) } }
                }
            }
            label { span { "Secret" } input name="secret" value=(filter.secret) placeholder="any" autocomplete="off" spellcheck="false" data-key="/"; }
            label {
                span { "Outcome" }
                select name="outcome" {
                    @for (value, label) in [("", "any"), ("granted", "granted"), ("denied", "denied")] {
                        option value=(value) selected[filter.outcome == value] { (label) }
                    }
                }
            }
            (moment("From (UTC)", "since", &filter.since))
            (moment("Until (UTC)", "until", &filter.until))
            label { span { "Run" } input name="run" value=(filter.run) placeholder="any" autocomplete="off" spellcheck="false"; }
            p.row {
                button type="submit" { "Apply" }
                @if filter.is_filtered() { a.button href=(request.path("audit")) { "Clear" } }
            }
        }
    }
}

fn table(request: &WorkspaceRequest, filter: &Filter, rows: &[&AuditRow]) -> Markup {
    html! {
        div.scroll {
            table.audit.cards {
                caption.vh { "Audit log of " (request.workspace) }
                thead {
                    tr {
                        th scope="col" { "Entry" }
                        th scope="col" { "When (UTC)" }
                        th scope="col" { "Who" }
                        th scope="col" { "Event" }
                        th scope="col" { "Secrets" }
                        th scope="col" { "Outcome" }
                    }
                }
                tbody {
                    @for entry in rows.chunk_by(|one, next| one.index == next.index) {
                        @for row in entry.iter().take(OF_ENTRY) { (line(request, filter, row)) }
                        @if entry.len() > OF_ENTRY {
                            tr { td colspan="6" { span.dim { "and " (entry.len() - OF_ENTRY) " more of this entry" } } }
                        }
                    }
                }
            }
        }
    }
}

fn line(request: &WorkspaceRequest, filter: &Filter, row: &AuditRow) -> Markup {
    let before = filter.before.parse().ok().map(keyroll_core::Index);
    let address = format!(
        "{}{}",
        request.path(&format!("audit/{}", row.index)),
        filter.query(before)
    );
    html! {
        tr id=(format!("e-{}", row.index)) tabindex="-1" {
            th scope="row" { a href=(address) data-open="" { "#" (row.index) } }
            td.when { (short_time(row.at)) }
            td.who { (who(row)) }
            td.what { (what(row)) }
            td.which { (secrets(row)) }
            td { (outcome(row)) }
        }
    }
}

pub(super) fn who(row: &AuditRow) -> Markup {
    html! {
        (row.actor_name)
        @if row.sign_in_key.is_some() { span.flag title="Signed through a sign-in of the actor" { "signed in" } }
        @if row.delegate_key.is_some() { span.flag title="Signed by a key that the actor delegated to" { "delegated" } }
    }
}

pub(super) fn what(row: &AuditRow) -> Markup {
    html! {
        code { (row.kind) }
        @if let Some(attempted) = &row.attempted { span.dim { "tried " code { (attempted) } } }
        @if let Some(reason) = &row.reason { span.about { "“" (reason) "”" } }
        @if let Some(purpose) = &row.purpose { span.dim { (for_what(purpose)) } }
    }
}

/// The purpose of a reveal, as the actor claims.
fn for_what(purpose: &Purpose) -> Markup {
    html! {
        @match purpose {
            Purpose::View(_) => "to view",
            Purpose::Copy(_) => "to copy",
            Purpose::Export(_) => "to export",
            Purpose::Run(_) => "to run a program",
            Purpose::Agent(of) => {
                "for agent " (of.name)
                @if let Some(run) = &of.run { " / " (run) }
                @if let Some(seconds) = of.max_age { ", good for " (seconds) " s" }
            }
            Purpose::Block(of) => { (of.workflow) " / " (of.block) " / " (of.run) }
        }
    }
}

pub(super) fn secrets(row: &AuditRow) -> Markup {
    /// An import can name hundreds; the entry's dialog shows them all.
    const SHOWN: usize = 4;
    html! {
        @for secret in row.secrets.iter().take(SHOWN) {
            code { (secret.name) @if let Some(version) = secret.version { "@" (version) } } " "
        }
        @if row.secrets.len() > SHOWN { span.dim { "and " (row.secrets.len() - SHOWN) " more" } }
    }
}

pub(super) fn outcome(row: &AuditRow) -> Markup {
    match row.outcome {
        AuditOutcome::Granted => html! { span.outcome data-outcome="granted" { "granted" } },
        AuditOutcome::Denied => html! { span.outcome data-outcome="denied" { "denied" } },
    }
}
