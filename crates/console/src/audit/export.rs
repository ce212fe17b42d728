//! The rows that fit a filter as JSON, a line each, fetched while they are sent.

use std::collections::VecDeque;

use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use keyroll_wire::query::{AuditLog, AuditOutcome, PAGE_ROWS, Question};
use keyroll_wire::reply::{Answer, AuditRow, AuditRows};
use serde_json::json;

use super::filter::Filter;
use crate::failure::Failure;
use crate::visit::{Visit, answer};
use crate::words::rfc3339;

/// Where an export is.
struct Walk {
    visit: Visit,
    ask: AuditLog,
    /// Lines that were fetched and not sent yet.
    ready: VecDeque<Bytes>,
    done: bool,
}

/// Newest first, as the tab shows them.
pub(super) async fn rows(visit: Visit, Query(filter): Query<Filter>) -> Response {
    let back = visit.path("audit");
    let first = Filter {
        before: String::new(),
        ..filter
    };
    let ask = match first.ask(&visit.members, PAGE_ROWS) {
        Ok(ask) => ask,
        Err(failure) => return visit.wants.failure(&failure, Some(&back)),
    };
    let wants = visit.wants;
    let mut walk = Walk {
        visit,
        ask,
        ready: VecDeque::new(),
        done: false,
    };
    // The first page before the status: what is refused is refused, not an empty file.
    if let Err(failure) = walk.fetch().await {
        return wants.failure(&failure, Some(&back));
    }
    let name = format!(
        "attachment; filename=\"keyroll-{}-audit.jsonl\"",
        walk.visit.workspace
    );
    let kind = "application/x-ndjson".to_owned();
    let lines = stream::unfold(walk, |mut walk| async move {
        walk.next().await.map(|line| (line, walk))
    });
    (
        [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)],
        Body::from_stream(lines),
    )
        .into_response()
}

impl Walk {
    /// The next line. An error in the middle breaks the download off, so that a part is never
    /// taken for the whole.
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        while self.ready.is_empty() {
            if self.done {
                return None;
            }
            if let Err(failure) = self.fetch().await {
                self.done = true;
                return Some(Err(std::io::Error::other(failure.words)));
            }
        }
        self.ready.pop_front().map(Ok)
    }

    async fn fetch(&mut self) -> Result<(), Failure> {
        let answered = self.visit.ask(Question::AuditLog(self.ask.clone())).await?;
        let AuditRows { rows, before } = answer!(answered, Answer::AuditLog)?;
        let workspace = self.visit.workspace.as_str();
        self.ready
            .extend(rows.iter().rev().map(|row| line(workspace, row)));
        // Each page has to lie before the one before.
        self.done = before.is_none_or(|next| self.ask.before.is_some_and(|last| next >= last));
        self.ask.before = before;
        Ok(())
    }
}

/// The shape of `keyroll audit log --json`.
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
        "delegate_key": row.delegate_key,
        "secrets": secrets,
        "outcome": match row.outcome { AuditOutcome::Granted => "granted", AuditOutcome::Denied => "denied" },
        "attempted": row.attempted,
        "reason": row.reason,
        "run": run.map(|run| json!({"workflow": run.workflow, "block": run.block, "run": run.run})),
        "digest": row.digest,
    });
    Bytes::from(format!("{value}\n"))
}
