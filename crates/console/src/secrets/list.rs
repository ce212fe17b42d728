//! The table of secrets: search, filters, pages.

use axum::extract::Query;
use axum::response::Response;
use keyroll_wire::query::{PAGE_ROWS, Question, SecretList};
use keyroll_wire::reply::{Answer, SecretRow};
use maud::{Markup, html};

use super::row::row;
use crate::failure::Failure;
use crate::listing::Listing;
use crate::page::{Page, Tab};
use crate::request::{WorkspaceRequest, answer};

/// Rows of a page: some 75 KB of HTML.
const ROWS: usize = 50;
/// Answers searched for one filtered page: a hundred thousand secrets.
const MAX_ANSWERS: usize = 100;

const FILTERS: [(&str, &str); 5] = [
    ("", "All"),
    ("stale", "Stale"),
    ("unused", "Unused"),
    ("restricted", "Restricted"),
    ("deleted", "Deleted"),
];

/// A page of the list, and the cursor of the next page.
struct ListPage {
    rows: Vec<SecretRow>,
    next: Option<String>,
}

async fn load(request: &WorkspaceRequest, listing: &Listing) -> Result<ListPage, Failure> {
    let limit = if listing.is_filtered() {
        PAGE_ROWS
    } else {
        u32::try_from(ROWS).unwrap_or(PAGE_ROWS)
    };
    let mut after = (!listing.after.is_empty()).then(|| listing.after.clone());
    let mut rows: Vec<SecretRow> = Vec::new();
    for _ in 0..MAX_ANSWERS {
        let ask = SecretList {
            at: None,
            after: after.clone(),
            limit,
            deleted: listing.show == "deleted",
        };
        let answered = request.ask(Question::SecretList(ask)).await?;
        let page = answer!(answered, Answer::SecretList)?;
        for row in page.rows {
            let full = rows.len() >= ROWS;
            if full
                && rows
                    .last()
                    .is_some_and(|last| last.name.folded() != row.name.folded())
            {
                let next = rows.last().map(|last| last.name.folded());
                return Ok(ListPage { rows, next });
            }
            if listing.matches(&row) {
                rows.push(row);
            }
        }
        if page.next.is_none() || page.next == after || rows.len() >= ROWS {
            return Ok(ListPage {
                rows,
                next: page.next,
            });
        }
        after = page.next;
    }
    Ok(ListPage { rows, next: after })
}

pub(crate) async fn show(request: WorkspaceRequest, Query(listing): Query<Listing>) -> Response {
    request
        .session
        .set_listing(&request.workspace, listing.clone());
    let result = match load(&request, &listing).await {
        Ok(rows) => Ok(page(&request, body(&request, &listing, rows), None).await),
        Err(failure) => Err(failure),
    };
    request.respond(result)
}

async fn page(request: &WorkspaceRequest, body: Markup, over: Option<Markup>) -> Response {
    request
        .page(Page {
            tab: Tab::Secrets,
            title: "Secrets".to_owned(),
            body,
            over,
        })
        .await
}

/// A dialog over the session's last list.
pub(super) async fn with_sheet(
    request: &WorkspaceRequest,
    over: Result<Markup, Failure>,
) -> Response {
    over_list(request, over.map(|over| (over, None))).await
}

/// A dialog about one secret, over the session's last list. If that list is filtered, only the
/// secret's own row is shown, because finding the others again would take a search.
pub(super) async fn with_sheet_of(
    request: &WorkspaceRequest,
    over: Result<(SecretRow, Markup), Failure>,
) -> Response {
    over_list(request, over.map(|(row, over)| (over, Some(row)))).await
}

async fn over_list(
    request: &WorkspaceRequest,
    over: Result<(Markup, Option<SecretRow>), Failure>,
) -> Response {
    match try_over_list(request, over).await {
        Ok(response) => response,
        Err(failure) => request
            .responder
            .failure(&failure, Some(&back(request, None))),
    }
}

async fn try_over_list(
    request: &WorkspaceRequest,
    over: Result<(Markup, Option<SecretRow>), Failure>,
) -> Result<Response, Failure> {
    let (over, about) = over?;
    let listing = request.session.listing(&request.workspace);
    let shown = match about {
        Some(row) if listing.is_filtered() => ListPage {
            rows: vec![row],
            next: None,
        },
        _ => load(request, &listing).await?,
    };
    Ok(page(request, body(request, &listing, shown), Some(over)).await)
}

/// The page behind a dialog: the list, at the secret's row.
pub(super) fn back(request: &WorkspaceRequest, name: Option<&keyroll_core::SecretName>) -> String {
    let address = request
        .session
        .listing(&request.workspace)
        .address(&request.workspace);
    match name {
        Some(name) => format!("{address}#s-{name}"),
        None => address,
    }
}

fn body(request: &WorkspaceRequest, listing: &Listing, page: ListPage) -> Markup {
    let next = page.next.map(|after| {
        let next = Listing {
            after,
            ..listing.clone()
        };
        next.address(&request.workspace)
    });
    html! {
        div.head {
            h1 { "Secrets" }
            p.note { "Viewing is recorded." }
            span.fill {}
            @if request.access.creates() {
                a.button href=[request.form_path("import")] aria-disabled=[request.aria_disabled()] { "Import" }
                a.button.main href=[request.form_path("new")] aria-disabled=[request.aria_disabled()] data-key="n" { "New secret" }
            }
        }
        (tools(request, listing))
        @if page.rows.is_empty() { (empty(request, listing)) }
        @else { (table(request, &page.rows)) }
        p.pages {
            @if !listing.after.is_empty() {
                a.button href=(Listing { after: String::new(), ..listing.clone() }.address(&request.workspace)) { "First page" }
            }
            @if let Some(next) = next { a.button rel="next" href=(next) { "Next page" } }
        }
    }
}

fn tools(request: &WorkspaceRequest, listing: &Listing) -> Markup {
    html! {
        div.tools {
            form.search role="search" method="get" action=(request.path("secrets")) {
                label.vh for="q" { "Search secrets" }
                input #q type="search" name="q" value=(listing.q) placeholder="Search names and descriptions" autocomplete="off" data-key="/";
                @if !listing.show.is_empty() { input type="hidden" name="show" value=(listing.show); }
            }
            nav.filters aria-label="Filter" {
                @for (show, label) in FILTERS {
                    @let address = Listing { show: show.to_owned(), after: String::new(), ..listing.clone() }.address(&request.workspace);
                    a href=(address) aria-current=[(listing.show == show).then_some("true")] { (label) }
                }
            }
        }
    }
}

fn table(request: &WorkspaceRequest, rows: &[SecretRow]) -> Markup {
    html! {
        div.scroll {
            table.secrets.cards {
                caption.vh { "Secrets of " (request.workspace) }
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
                tbody { @for secret in rows { (row(request, secret)) } }
            }
        }
    }
}

fn empty(request: &WorkspaceRequest, listing: &Listing) -> Markup {
    let all = Listing::default().address(&request.workspace);
    html! {
        div.empty {
            @if listing.is_filtered() || !listing.after.is_empty() {
                h2 { "No match" }
                p { "No secret matches this search and filter." }
                p { a.button href=(all) { "Show all secrets" } }
            } @else if listing.show == "deleted" {
                h2 { "Nothing is deleted" }
                p { "Deleted secrets wait here and can be restored." }
                p { a.button href=(all) { "Show all secrets" } }
            } @else if request.access.creates() {
                h2 { "No secrets yet" }
                p { "Add the first one: an API key, a password, a token. Its value is sealed before it leaves this console, and every read of it is recorded." }
                p.row {
                    a.button.main href=[request.form_path("new")] aria-disabled=[request.aria_disabled()] { "New secret" }
                    a.button href=[request.form_path("import")] aria-disabled=[request.aria_disabled()] { "Import a file" }
                }
            } @else {
                h2 { "No secrets that you may list" }
                p { "An editor or owner can add some, or let you list more names." }
            }
        }
    }
}
