//! Commits, fetched verbatim and in order.

use keyroll_core::{Code, Commit, Index, TreeSize};
use keyroll_wire::Question;
use keyroll_wire::query::AuditCommits;
use keyroll_wire::reply::{Answer, LogProblem};

use crate::error::Failure;
use crate::session::{Session, answer};

/// Hands the commits of the first `size` entries to `take`. A commit that cannot be read is handed
/// on as well: to say what is wrong with it is the verifier's part. Gives what the ledger itself says
/// is wrong with the log beyond them.
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
            // Entries that came meanwhile are not covered by the checkpoint: the next run's.
            if !Commit::decode(&commit.0).is_ok_and(|commit| commit.payload.first >= size) {
                take(&commit.0)?;
            }
        }
        match page.next {
            None => return Ok(page.problems),
            Some(next) if next > first => first = next,
            Some(next) => {
                let message = format!("after entry {first} the ledger leads on to entry {next}");
                return Err(Failure::coded(Code::Corrupt, message));
            }
        }
    }
}
