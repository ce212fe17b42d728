//! The rows that match a filter as lines of JSON, fetched while they are sent.

use std::collections::VecDeque;

use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use keyroll_core::command::Purpose;
use keyroll_wire::query::{AuditLog, AuditOutcome, PAGE_ROWS, Question};
use keyroll_wire::reply::{Answer, AuditRow, AuditRows};
use serde_json::json;

use super::filter::Filter;
use crate::failure::Failure;
use crate::format::rfc3339;
use crate::request::{WorkspaceRequest, answer};

/// An export under way.
struct ExportStream {
    request: WorkspaceRequest,
    ask: AuditLog,
    /// Lines that were fetched but not sent yet.
    ready: VecDeque<Bytes>,
    done: bool,
}

/// Newest first, as the tab shows them.
pub(super) async fn rows(request: WorkspaceRequest, Query(filter): Query<Filter>) -> Response {
    let back = request.path("audit");
    let first = Filter {
        before: String::new(),
        ..filter
    };
    let ask = match first.ask(&request.members, PAGE_ROWS) {
        Ok(ask) => ask,
        Err(failure) => return request.responder.failure(&failure, Some(&back)),
    };
    let responder = request.responder;
    let mut export = ExportStream {
        request,
        ask,
        ready: VecDeque::new(),
        done: false,
    };
    // The first page comes before the status line, so that a refusal is not an empty file.
    if let Err(failure) = export.fetch().await {
        return responder.failure(&failure, Some(&back));
    }
    let name = format!(
        "attachment; filename=\"keyroll-{}-audit.jsonl\"",
        export.request.workspace
    );
    let kind = "application/x-ndjson".to_owned();
    let lines = stream::unfold(export, |mut export| async move {
        export.next().await.map(|line| (line, export))
    });
    (
        [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)],
        Body::from_stream(lines),
    )
        .into_response()
}

impl ExportStream {
    /// The next line. An error aborts the download, so that nobody takes a part for the whole.
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        while self.ready.is_empty() {
            if self.done {
                return None;
            }
            if let Err(failure) = self.fetch().await {
                self.done = true;
                return Some(Err(std::io::Error::other(failure.message)));
            }
        }
        self.ready.pop_front().map(Ok)
    }

    async fn fetch(&mut self) -> Result<(), Failure> {
        let answered = self
            .request
            .ask(Question::AuditLog(self.ask.clone()))
            .await?;
        let AuditRows { rows, before } = answer!(answered, Answer::AuditLog)?;
        let workspace = self.request.workspace.as_str();
        self.ready
            .extend(rows.iter().rev().map(|row| line(workspace, row)));
        // Each page must be older than the last one, so that the export ends.
        self.done = before.is_none_or(|next| self.ask.before.is_some_and(|last| next >= last));
        self.ask.before = before;
        Ok(())
    }
}

/// A line in the form of `keyroll audit log --json`.
fn line(workspace: &str, row: &AuditRow) -> Bytes {
    let secrets: Vec<_> = row
        .secrets
        .iter()
        .map(|secret| json!({"name": secret.name, "version": secret.version}))
        .collect();
    let run = row.run.as_ref();
    let value = json!({
        "workspace": workspace,
        "index": row.index,
        "at": rfc3339(row.at),
        "type": row.kind,
        "actor": row.actor,
        "actor_name": row.actor_name,
        "sign_in_key": row.sign_in_key,
        "delegate_key": row.delegate_key,
        "secrets": secrets,
        "outcome": match row.outcome { AuditOutcome::Granted => "granted", AuditOutcome::Denied => "denied" },
        "attempted": row.attempted,
        "reason": row.reason,
        "purpose": row.purpose.as_ref().map(Purpose::as_str),
        "agent": row.agent().map(|of| json!({"name": of.name, "max_age": of.max_age, "run": of.run})),
        "run": run.map(|run| json!({"workflow": run.workflow, "block": run.block, "run": run.run})),
        "digest": row.digest,
    });
    Bytes::from(format!("{value}\n"))
}
