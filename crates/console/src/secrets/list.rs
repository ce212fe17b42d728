//! The table of secrets: search, filters, pages.

use axum::extract::Query;
use axum::response::Response;
use keyroll_wire::query::{PAGE_ROWS, Question, SecretList};
use keyroll_wire::reply::{Answer, SecretRow};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::row::row;
use crate::failure::Failure;
use crate::page::{Page, Tab};
use crate::visit::{Visit, answer};

/// Rows of a page: some 75 KB of HTML.
const ROWS: usize = 50;
/// Answers looked through for one filtered page: a hundred thousand secrets.
const LOOKED_AT: usize = 100;

/// What to list, as the address says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    q: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    show: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    after: String,
}

const FILTERS: [(&str, &str); 5] = [
    ("", "All"),
    ("stale", "Stale"),
    ("unused", "Unused"),
    ("restricted", "Restricted"),
    ("deleted", "Deleted"),
];

impl Listing {
    fn fits(&self, row: &SecretRow) -> bool {
        let wanted = match self.show.as_str() {
            "stale" => row.stale,
            "unused" => row.unused,
            "restricted" => row.restricted,
            _ => true,
        };
        let q = self.q.trim().to_lowercase();
        wanted
            && (q.is_empty()
                || row.name.folded().contains(&q)
                || row.description.as_str().to_lowercase().contains(&q))
    }

    /// Whether some rows that the ledger sends do not fit.
    fn narrows(&self) -> bool {
        !self.q.trim().is_empty() || matches!(self.show.as_str(), "stale" | "unused" | "restricted")
    }

    pub(crate) fn address(&self, visit: &Visit) -> String {
        let path = visit.path("secrets");
        let fields = [("q", &self.q), ("show", &self.show), ("after", &self.after)];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        let query = query.finish();
        if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        }
    }
}

struct Found {
    rows: Vec<SecretRow>,
    next: Option<String>,
}

async fn find(visit: &Visit, listing: &Listing) -> Result<Found, Failure> {
    let limit = if listing.narrows() {
        PAGE_ROWS
    } else {
        u32::try_from(ROWS).unwrap_or(PAGE_ROWS)
    };
    let mut after = (!listing.after.is_empty()).then(|| listing.after.clone());
    let mut rows: Vec<SecretRow> = Vec::new();
    for _ in 0..LOOKED_AT {
        let ask = SecretList {
            at: None,
            after: after.clone(),
            limit,
            deleted: listing.show == "deleted",
        };
        let answered = visit.ask(Question::SecretList(ask)).await?;
        let page = answer!(answered, Answer::SecretList)?;
        for row in page.rows {
            let full = rows.len() >= ROWS;
            if full
                && rows
                    .last()
                    .is_some_and(|last| last.name.folded() != row.name.folded())
            {
                let next = rows.last().map(|last| last.name.folded());
                return Ok(Found { rows, next });
            }
            if listing.fits(&row) {
                rows.push(row);
            }
        }
        if page.next.is_none() || page.next == after || rows.len() >= ROWS {
            return Ok(Found {
                rows,
                next: page.next,
            });
        }
        after = page.next;
    }
    Ok(Found { rows, next: after })
}

pub(crate) async fn show(visit: Visit, Query(listing): Query<Listing>) -> Response {
    visit.session.listed(&visit.workspace, listing.clone());
    let result = match find(&visit, &listing).await {
        Ok(found) => Ok(page(&visit, body(&visit, &listing, found), None).await),
        Err(failure) => Err(failure),
    };
    visit.shown(result)
}

async fn page(visit: &Visit, body: Markup, over: Option<Markup>) -> Response {
    visit
        .page(Page {
            tab: Tab::Secrets,
            title: "Secrets".to_owned(),
            body,
            over,
        })
        .await
}

/// A dialog over the list that this session looked at last.
pub(super) async fn with_sheet(visit: &Visit, over: Result<Markup, Failure>) -> Response {
    over_list(visit, over.map(|over| (over, None))).await
}

/// A dialog about one secret, over the list that this session looked at last. Nobody waits for a
/// search through all names again only to see its rows behind a dialog: the secret's own is enough.
pub(super) async fn with_sheet_of(
    visit: &Visit,
    over: Result<(SecretRow, Markup), Failure>,
) -> Response {
    over_list(visit, over.map(|(row, over)| (over, Some(row)))).await
}

async fn over_list(visit: &Visit, over: Result<(Markup, Option<SecretRow>), Failure>) -> Response {
    match try_over_list(visit, over).await {
        Ok(response) => response,
        Err(failure) => visit.wants.failure(&failure, Some(&back(visit, None))),
    }
}

async fn try_over_list(
    visit: &Visit,
    over: Result<(Markup, Option<SecretRow>), Failure>,
) -> Result<Response, Failure> {
    let (over, about) = over?;
    let listing = visit.session.listing(&visit.workspace);
    let found = match about {
        Some(row) if listing.narrows() => Found {
            rows: vec![row],
            next: None,
        },
        _ => find(visit, &listing).await?,
    };
    Ok(page(visit, body(visit, &listing, found), Some(over)).await)
}

/// Where a dialog came from: the list, at the secret's row.
pub(super) fn back(visit: &Visit, name: Option<&keyroll_core::SecretName>) -> String {
    let address = visit.session.listing(&visit.workspace).address(visit);
    match name {
        Some(name) => format!("{address}#s-{name}"),
        None => address,
    }
}

fn body(visit: &Visit, listing: &Listing, found: Found) -> Markup {
    let next = found.next.map(|after| {
        let next = Listing {
            after,
            ..listing.clone()
        };
        next.address(visit)
    });
    html! {
        div.head {
            h1 { "Secrets" }
            p.note { "Viewing is recorded." }
            span.fill {}
            @if visit.access.creates() {
                a.button href=[visit.to("import")] aria-disabled=[visit.off()] { "Import" }
                a.button.main href=[visit.to("new")] aria-disabled=[visit.off()] data-key="n" { "New secret" }
            }
        }
        (tools(visit, listing))
        @if found.rows.is_empty() { (empty(visit, listing)) }
        @else { (table(visit, &found.rows)) }
        p.pages {
            @if !listing.after.is_empty() {
                a.button href=(Listing { after: String::new(), ..listing.clone() }.address(visit)) { "First page" }
            }
            @if let Some(next) = next { a.button rel="next" href=(next) { "Next page" } }
        }
    }
}

fn tools(visit: &Visit, listing: &Listing) -> Markup {
    html! {
        div.tools {
            form.search role="search" method="get" action=(visit.path("secrets")) {
                label.vh for="q" { "Search secrets" }
                input #q type="search" name="q" value=(listing.q) placeholder="Search names and descriptions" autocomplete="off" data-key="/";
                @if !listing.show.is_empty() { input type="hidden" name="show" value=(listing.show); }
            }
            nav.filters aria-label="Filter" {
                @for (show, words) in FILTERS {
                    @let address = Listing { show: show.to_owned(), after: String::new(), ..listing.clone() }.address(visit);
                    a href=(address) aria-current=[(listing.show == show).then_some("true")] { (words) }
                }
            }
        }
    }
}

fn table(visit: &Visit, rows: &[SecretRow]) -> Markup {
    html! {
        div.scroll {
            table.secrets.cards {
                caption.vh { "Secrets of " (visit.workspace) }
                thead {
                    tr {
                        th scope="col" { "Name" }
                        th scope="col" { "Value" }
                        th scope="col" { "Version" }
                        th scope="col" { "Changed" }
                        th scope="col" { "Last read" }
                        th scope="col" { "Used by" }
                        th scope="col" { span.vh { "Actions" } }
                    }
                }
                tbody { @for secret in rows { (row(visit, secret)) } }
            }
        }
    }
}

fn empty(visit: &Visit, listing: &Listing) -> Markup {
    let all = Listing::default().address(visit);
    html! {
        div.empty {
            @if listing.narrows() || !listing.after.is_empty() {
                h2 { "Nothing fits" }
                p { "No secret fits this search and filter." }
                p { a.button href=(all) { "Show all secrets" } }
            } @else if listing.show == "deleted" {
                h2 { "Nothing is deleted" }
                p { "Deleted secrets wait here and can be restored." }
                p { a.button href=(all) { "Show all secrets" } }
            } @else if visit.access.creates() {
                h2 { "No secrets yet" }
                p { "Add the first one: an API key, a password, a token. Its value is sealed before it leaves this console, and every look at it is recorded." }
                p.row {
                    a.button.main href=[visit.to("new")] aria-disabled=[visit.off()] { "New secret" }
                    a.button href=[visit.to("import")] aria-disabled=[visit.off()] { "Import a file" }
                }
            } @else {
                h2 { "No secrets that you may list" }
                p { "An editor or owner can add some, or widen the names that you may see." }
            }
        }
    }
}
