//! The frame around every page.

use axum::response::{IntoResponse as _, Response};
use keyroll_wire::reply::WorkspaceRow;
use maud::{DOCTYPE, Markup, html};

use crate::assets::ADDRESSES;
use crate::outcome::html_page;
use crate::visit::Visit;

/// The parts of a workspace's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Secrets,
    Audit,
    Members,
}

impl Tab {
    const ALL: [Self; 3] = [Self::Secrets, Self::Audit, Self::Members];

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Secrets => ("Secrets", "secrets"),
            Self::Audit => ("Audit log", "audit"),
            Self::Members => ("Members", "members"),
        }
    }
}

/// A symbol of the sheet that every page carries.
pub(crate) fn icon(name: &str) -> Markup {
    html! { svg.icon aria-hidden="true" { use href=(format!("#i-{name}")) {} } }
}

fn symbols() -> Markup {
    let symbol = |name: &str, path: &str| {
        html! {
            symbol id=(format!("i-{name}")) viewBox="0 0 16 16" fill="none" stroke="currentColor"
                stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" { path d=(path) {} }
        }
    };
    html! {
        svg.symbols aria-hidden="true" {
            (symbol("check", "M8 1.5l5.5 2v4c0 3.4-2.3 5.9-5.5 7-3.2-1.1-5.5-3.6-5.5-7v-4zM5.5 8l1.8 1.8L10.7 6.3"))
            (symbol("alert", "M8 1.8l6.5 11.7h-13zM8 6.3v3.2M8 11.6v.1"))
            (symbol("clock", "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8zM8 4.6V8l2.3 1.6"))
            (symbol("copy", "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z"))
            (symbol("tick", "M3 8.5l3.2 3.2L13 5"))
        }
    }
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · keyroll" }
                link rel="icon" href=(ADDRESSES.icon) type="image/svg+xml";
                link rel="stylesheet" href=(ADDRESSES.style);
                script type="module" src=(ADDRESSES.module) {}
            }
            body { (body) }
        }
    }
}

/// A page for somebody who is nowhere yet, or cannot go where they wanted to.
pub(crate) fn alone(title: &str, body: &Markup) -> Markup {
    let body = html! {
        main.alone {
            p.brand { span.mark aria-hidden="true" {} "keyroll" }
            div.card { (body) }
        }
    };
    document(title, &body)
}

/// A page in a workspace, perhaps with a dialog over it.
pub(crate) struct Page {
    pub(crate) tab: Tab,
    pub(crate) title: String,
    pub(crate) body: Markup,
    pub(crate) over: Option<Markup>,
}

impl Visit {
    /// Puts a page into its frame.
    pub(crate) async fn page(&self, page: Page) -> Response {
        let workspaces = self.workspaces().await;
        let title = format!("{} · {}", page.title, self.workspace);
        let body = html! {
            (symbols())
            a.skip href="#main" { "Skip to content" }
            (self.header(&workspaces))
            (self.banner())
            main #main {
                (self.tabs(page.tab))
                @for said in self.session.said() {
                    @if said.warning { p.flash.warning role="alert" { (icon("alert")) (said.words) } }
                    @else { p.flash role="status" { (icon("tick")) (said.words) } }
                }
                (page.body)
            }
            @if let Some(over) = page.over { (over) }
            (help())
            div #offline role="alert" hidden {
                "The console does not answer. Is keyroll still running?"
            }
        };
        html_page(&document(&title, &body)).into_response()
    }

    /// Workspaces to switch to. Without an answer there is nothing to switch to.
    async fn workspaces(&self) -> Vec<WorkspaceRow> {
        if self.session.only.is_some() {
            return Vec::new();
        }
        self.session.client.workspaces().await.unwrap_or_default()
    }

    fn header(&self, workspaces: &[WorkspaceRow]) -> Markup {
        html! {
            header.bar {
                a.brand href="/" aria-label="keyroll, all secrets" { span.mark aria-hidden="true" {} span { "keyroll" } }
                @if workspaces.len() > 1 {
                    details.menu.switch {
                        summary { span.vh { "Workspace: " } (self.workspace) }
                        ul {
                            @for row in workspaces {
                                li {
                                    a href=(format!("/w/{}/secrets", row.workspace))
                                        aria-current=[(row.workspace == self.workspace).then_some("true")] {
                                        (row.workspace) span.dim { (row.role.as_str()) }
                                    }
                                }
                            }
                        }
                    }
                } @else {
                    span.switch { span.vh { "Workspace: " } (self.workspace) }
                }
                (self.chip().markup(self))
                span.fill {}
                details.menu.me {
                    summary { span.vh { "You: " } span.name { (self.access.name) } span.flag { (self.access.role.as_str()) } }
                    ul {
                        li.fact { span.dim { "Public key" } code { (self.session.client.identity()) } }
                        li.fact {
                            @if let Some(said) = self.session.client.signer().delegation() {
                                span.dim { "Signing through" } code { (said.place) }
                            } @else {
                                span.dim { "Signing with" } span { "your own key, on this machine" }
                            }
                        }
                        li.fact {
                            span.dim { "Session ends" }
                            span { (crate::words::until(self.session.until, self.now)) }
                        }
                        li.keys-item { button.plain type="button" data-help="" hidden { "Keys" kbd { "?" } } }
                        li {
                            form method="post" action="/sign-out" data-plain="" {
                                button.plain type="submit" { "Sign out" }
                            }
                        }
                    }
                }
            }
        }
    }

    fn banner(&self) -> Markup {
        let Some(flaw) = self.app.verification.flaw(&self.workspace) else {
            return html! {};
        };
        html! {
            div.banner role="alert" {
                (icon("alert"))
                div {
                    strong {
                        "The log does not verify"
                        @if let Some(index) = flaw.index { " at #" (index) }
                        ". "
                    }
                    (crate::words::sentence(&flaw.words)) " "
                    "Writes and reads of values are off. Keep this machine’s files as evidence and tell whoever runs the ledger."
                }
                form method="post" action=(self.path("verify")) { button type="submit" { "Verify now" } }
            }
        }
    }

    fn tabs(&self, current: Tab) -> Markup {
        html! {
            nav.tabs aria-label="Settings" {
                @for tab in Tab::ALL {
                    @let (words, path) = tab.words();
                    a href=(self.path(path)) aria-current=[(tab == current).then_some("page")] { (words) }
                }
            }
        }
    }
}

/// A dialog over a page: a sheet at the side, with the page behind it as the way back.
pub(crate) fn sheet(title: &str, back: &str, wide: bool, body: &Markup) -> Markup {
    html! {
        div.scrim {}
        dialog.sheet.wide[wide] open data-back=(back) aria-labelledby="sheet-title" {
            header {
                h2 #sheet-title tabindex="-1" { (title) }
                a.close href=(back) aria-label="Close" { "×" }
            }
            (body)
        }
    }
}

/// The end of a dialog's form: where errors appear, and the buttons.
pub(crate) fn form_end(label: &str, back: &str, danger: bool, off: bool) -> Markup {
    html! {
        p.error role="alert" {}
        p.buttons {
            button.main.danger[danger] type="submit" disabled[off] { (label) }
            a.button href=(back) { "Cancel" }
        }
    }
}

fn help() -> Markup {
    let keys = [
        ("/", "search"),
        ("n", "new secret"),
        ("j k", "next and previous row"),
        ("v", "view or hide the row's value"),
        ("c", "copy the row's name"),
        ("e", "edit"),
        ("h", "history"),
        ("?", "this list"),
        ("Esc", "close"),
    ];
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keys" }
            dl.keys {
                @for (key, words) in keys {
                    div { dt { @for key in key.split(' ') { kbd { (key) } } } dd { (words) } }
                }
            }
            form method="dialog" { button type="submit" { "Close" } }
        }
    }
}
