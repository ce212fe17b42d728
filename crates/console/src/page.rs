//! The frame around every page of a workspace: header, banner, tabs, messages.

use axum::response::{IntoResponse as _, Response};
use keyroll_wire::reply::WorkspaceRow;
use maud::{Markup, html};

use crate::format::{sentence, until};
use crate::layout::{document, icon, icon_sprite, keys_dialog};
use crate::request::WorkspaceRequest;
use crate::verification::StatusBadge;

/// The parts of a workspace's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Secrets,
    Audit,
    Members,
}

impl Tab {
    const ALL: [Self; 3] = [Self::Secrets, Self::Audit, Self::Members];

    const fn label_and_path(self) -> (&'static str, &'static str) {
        match self {
            Self::Secrets => ("Secrets", "secrets"),
            Self::Audit => ("Audit log", "audit"),
            Self::Members => ("Members", "members"),
        }
    }
}

/// A page in a workspace, perhaps with a dialog over it.
pub(crate) struct Page {
    pub(crate) tab: Tab,
    pub(crate) title: String,
    pub(crate) body: Markup,
    pub(crate) over: Option<Markup>,
}

impl WorkspaceRequest {
    /// Puts a page into its frame.
    pub(crate) async fn page(&self, page: Page) -> Response {
        let workspaces = self.workspaces().await;
        let title = format!("{} · {}", page.title, self.workspace);
        let body = html! {
            (icon_sprite())
            a.skip href="#main" { "Skip to content" }
            (self.header(&workspaces))
            (self.banner())
            main #main {
                (self.tabs(page.tab))
                @for flash in self.session.take_flashes() {
                    @if flash.warning { p.flash.warning role="alert" { (icon("alert")) (flash.message) } }
                    @else { p.flash role="status" { (icon("tick")) (flash.message) } }
                }
                (page.body)
            }
            @if let Some(over) = page.over { (over) }
            (keys_dialog())
            div #offline role="alert" hidden {
                "The console does not answer. Is keyroll still running?"
            }
        };
        document(&title, &body).into_response()
    }

    /// The workspaces to switch to; none when the ledger does not answer.
    async fn workspaces(&self) -> Vec<WorkspaceRow> {
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
                (self.status_link(&self.badge()))
                span.fill {}
                details.menu.me {
                    summary { span.vh { "You: " } span.name { (self.access.name) } span.flag { (self.access.role.as_str()) } }
                    ul {
                        li.fact { span.dim { "Public key" } code { (self.session.client.member()) } }
                        li.fact {
                            @if let Some(consent) = self.session.client.signer().consent() {
                                span.dim { "Signed in at" } code { (consent.origin) }
                            } @else {
                                span.dim { "Signing with" } span { "your own key, on this machine" }
                            }
                        }
                        li.fact {
                            span.dim { "Session ends" }
                            span { (until(self.session.until, self.now)) }
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

    /// The state of verification, as a link to the audit log.
    fn status_link(&self, badge: &StatusBadge) -> Markup {
        let symbol = match badge.state {
            "verified" => "check",
            "failed" => "alert",
            _ => "clock",
        };
        html! {
            a #chip .chip href=(self.path("audit")) data-state=(badge.state) data-from=(self.path("verification")) title=(badge.detail) {
                (icon(symbol)) span.words role="status" { (badge.text) } span.when { (badge.when) }
            }
        }
    }

    fn banner(&self) -> Markup {
        let Some(failure) = self.app.verification.failure(&self.workspace) else {
            return html! {};
        };
        html! {
            div.banner role="alert" {
                (icon("alert"))
                div {
                    strong {
                        "The log does not verify"
                        @if let Some(index) = failure.index { " at #" (index) }
                        ". "
                    }
                    (sentence(&failure.message)) " "
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
                    @let (label, path) = tab.label_and_path();
                    a href=(self.path(path)) aria-current=[(tab == current).then_some("page")] { (label) }
                }
            }
        }
    }
}
