//! The rows of the audit log, newest first.

use axum::extract::Query;
use axum::response::Response;
use keyroll_core::event::KINDS;
use keyroll_wire::query::{AuditOutcome, Question};
use keyroll_wire::reply::{Answer, AuditRow, AuditRows};
use maud::{Markup, html};

use super::filter::{Filter, for_field};
use crate::failure::Failure;
use crate::page::{Page, Tab};
use crate::visit::{Visit, answer};
use crate::words::short_time;

/// Rows of a page.
const ROWS: u32 = 50;
/// Rows of one entry: an import has hundreds, which the export has all.
const OF_ENTRY: usize = 4;

pub(super) async fn show(visit: Visit, Query(filter): Query<Filter>) -> Response {
    with_sheet(&visit, &filter, None).await
}

/// The tab, perhaps with a row opened over it.
pub(super) async fn with_sheet(visit: &Visit, filter: &Filter, over: Option<Markup>) -> Response {
    let body = body(visit, filter).await;
    let result = match body {
        Ok(body) => {
            let page = Page {
                tab: Tab::Audit,
                title: "Audit log".to_owned(),
                body,
                over,
            };
            Ok(visit.page(page).await)
        }
        Err(failure) => Err(failure),
    };
    visit.shown(result)
}

async fn body(visit: &Visit, filter: &Filter) -> Result<Markup, Failure> {
    if !visit.access.audits() {
        return Ok(denied(visit));
    }
    let (page, wrong) = match ask(visit, filter).await {
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
            p.note #checked { (visit.chip().detail) }
            span.fill {}
            a.button href=(format!("{}{}", visit.path("audit.jsonl"), filter.query(None))) download="" { "Export" }
            form method="post" action=(visit.path("verify")) { button.main type="submit" { "Verify now" } }
        }
        (tools(visit, filter))
        @if let Some(wrong) = wrong { p.error role="alert" { (wrong.words) } }
        @else if rows.is_empty() { (empty(visit, page.before.is_some())) }
        @else { (table(visit, filter, &rows)) }
        p.pages {
            @if !filter.before.is_empty() { a.button href=(format!("{}{}", visit.path("audit"), filter.query(None))) { "Newest" } }
            @if let Some(before) = page.before {
                a.button rel="next" href=(format!("{}{}", visit.path("audit"), filter.query(Some(before)))) { "Older" }
            }
        }
    })
}

async fn ask(visit: &Visit, filter: &Filter) -> Result<AuditRows, Failure> {
    let ask = filter.ask(&visit.members, ROWS)?;
    answer!(visit.ask(Question::AuditLog(ask)).await?, Answer::AuditLog)
}

fn denied(visit: &Visit) -> Markup {
    html! {
        div.head { h1 { "Audit log" } }
        div.empty {
            h2 { "Owners and auditors read the audit log" }
            p { "You are " (visit.access.role.as_str()) " here. What you do is on record all the same; ask an owner if you need to read it." }
        }
    }
}

fn empty(visit: &Visit, more: bool) -> Markup {
    html! {
        div.empty {
            h2 { "Nothing fits" }
            @if more { p { "No row of these entries fits the filter. There are older ones." } }
            @else { p { "No row of the log fits this filter." } }
            p { a.button href=(visit.path("audit")) { "Show everything" } }
        }
    }
}

fn tools(visit: &Visit, filter: &Filter) -> Markup {
    let moment = |label: &str, name: &str, value: &str| {
        let value = for_field(value);
        html! { label { span { (label) } input type="datetime-local" step="1" name=(name) value=(value); } }
    };
    html! {
        form.filter role="search" method="get" action=(visit.path("audit")) {
            label {
                span { "Actor" }
                input name="actor" value=(filter.actor) list="actors" placeholder="anybody" autocomplete="off";
                datalist #actors { @for row in visit.members.iter().take(200) { option value=(row.name) {} } }
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
                span { "AuditOutcome" }
                select name="outcome" {
                    @for (value, words) in [("", "any"), ("granted", "granted"), ("denied", "denied")] {
                        option value=(value) selected[filter.outcome == value] { (words) }
                    }
                }
            }
            (moment("From (UTC)", "since", &filter.since))
            (moment("Until (UTC)", "until", &filter.until))
            label { span { "Run" } input name="run" value=(filter.run) placeholder="any" autocomplete="off" spellcheck="false"; }
            p.row {
                button type="submit" { "Apply" }
                @if filter.narrows() { a.button href=(visit.path("audit")) { "Clear" } }
            }
        }
    }
}

fn table(visit: &Visit, filter: &Filter, rows: &[&AuditRow]) -> Markup {
    html! {
        div.scroll {
            table.audit.cards {
                caption.vh { "Audit log of " (visit.workspace) }
                thead {
                    tr {
                        th scope="col" { "Entry" }
                        th scope="col" { "When (UTC)" }
                        th scope="col" { "Who" }
                        th scope="col" { "Event" }
                        th scope="col" { "Secrets" }
                        th scope="col" { "AuditOutcome" }
                    }
                }
                tbody {
                    @for entry in rows.chunk_by(|one, next| one.index == next.index) {
                        @for row in entry.iter().take(OF_ENTRY) { (line(visit, filter, row)) }
                        @if entry.len() > OF_ENTRY {
                            tr { td colspan="6" { span.dim { "and " (entry.len() - OF_ENTRY) " more of this entry" } } }
                        }
                    }
                }
            }
        }
    }
}

fn line(visit: &Visit, filter: &Filter, row: &AuditRow) -> Markup {
    let before = filter.before.parse().ok().map(keyroll_core::Index);
    let address = format!(
        "{}{}",
        visit.path(&format!("audit/{}", row.index)),
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
        @if row.delegate_key.is_some() { span.flag title="Signed by a key that the actor delegated to" { "delegated" } }
    }
}

pub(super) fn what(row: &AuditRow) -> Markup {
    html! {
        code { (row.kind) }
        @if let Some(attempted) = &row.attempted { span.dim { "tried " code { (attempted) } } }
        @if let Some(reason) = &row.reason { span.about { "“" (reason) "”" } }
        @if let Some(run) = &row.run { span.dim { (run.workflow) " / " (run.block) " / " (run.run) } }
    }
}

pub(super) fn secrets(row: &AuditRow) -> Markup {
    /// An import can name hundreds; the row's own page has them all.
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
