//! Commits as the log has them, and the problems of the log beyond them.

use keyroll_core::{Blob, Code, Index, Rejection};
use keyroll_wire::query::PAGE_ROWS;
use keyroll_wire::reply::{Commits, LogProblem};

use crate::context::Context;
use crate::page::Page;
use crate::projection::WorkspaceView;

/// Commits from an entry on, as many as fit a page.
pub(super) fn commits(
    context: &Context,
    view: &WorkspaceView<'_>,
    first: Index,
) -> Result<Commits, Rejection> {
    let (mut at, mut page) = (first, Page::<Blob>::new(PAGE_ROWS));
    while at.0 < view.size().0 {
        let found = view.commit_of(at)?;
        let Some(found) = found else { break };
        if !page.take(vec![found.bytes.to_vec().into()]) {
            return Ok(Commits {
                next: Some(at),
                commits: page.rows(),
                problems: Vec::new(),
            });
        }
        at = found.next;
    }
    Ok(Commits {
        next: None,
        commits: page.rows(),
        problems: problems_of(context, view)?,
    })
}

/// The problems of a workspace's log beyond the commits that fit each other.
fn problems_of(context: &Context, view: &WorkspaceView<'_>) -> Result<Vec<LogProblem>, Rejection> {
    let name = &view.head().name;
    let anomaly = view.problems()?;
    let mut problems: Vec<LogProblem> = anomaly
        .into_iter()
        .map(|anomaly| LogProblem {
            kind: anomaly.kind,
            detail: anomaly.detail,
            sequence: anomaly.sequence,
        })
        .collect();
    // For example a log that was set back: none of its messages shows that.
    if let Err(wrong) = context.health.workspace(name)
        && !problems
            .iter()
            .any(|known| known.kind == wrong.code.as_str())
        && matches!(
            wrong.code,
            Code::Rollback | Code::Fork | Code::Corrupt | Code::UpgradeNeeded
        )
    {
        let sequence = view.head().sequence;
        problems.push(LogProblem {
            kind: wrong.code.to_string(),
            detail: wrong.message,
            sequence,
        });
    }
    Ok(problems)
}
