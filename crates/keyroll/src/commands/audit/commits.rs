//! Commits, fetched verbatim and in order.

use keyroll_core::{Code, Commit, Index, TreeSize};
use keyroll_wire::Question;
use keyroll_wire::query::AuditCommits;
use keyroll_wire::reply::{Answer, LogProblem};

use crate::error::Failure;
use crate::session::{Session, answer};

/// Passes the commits of the first `size` entries to `take`. It passes commits that cannot be decoded too: the
/// verifier reports them. Returns the problems that the ledger itself reports about the rest of the log.
pub(super) async fn each(
    session: &Session,
    size: TreeSize,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Vec<LogProblem>, Failure> {
    let mut first = Index(0);
    loop {
        let answered = session
            .ask(Question::AuditCommits(AuditCommits { first }))
            .await?;
        let page = answer!(answered, Answer::AuditCommits)?;
        for commit in &page.commits {
            // The checkpoint does not cover entries that were appended meanwhile.
            if !Commit::decode(&commit.0).is_ok_and(|commit| commit.payload.first >= size) {
                take(&commit.0)?;
            }
        }
        match page.next {
            None => return Ok(page.problems),
            Some(next) if next > first => first = next,
            Some(next) => {
                let message = format!("the ledger lists entry {next} after entry {first}");
                return Err(Failure::coded(Code::Corrupt, message));
            }
        }
    }
}
