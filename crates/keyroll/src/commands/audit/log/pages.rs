//! The rows of the audit log that match a filter, from the oldest to the newest, in bounded memory.
//!
//! The ledger pages from the newest row back, and people read the other way. So this walks the pages
//! backwards once, and requests the first ones again when their turn comes.

use std::collections::VecDeque;

use keyroll_core::Index;
use keyroll_wire::Question;
use keyroll_wire::query::{AuditLog, PAGE_ROWS};
use keyroll_wire::reply::{Answer, AuditRow};

use crate::error::Failure;
use crate::session::{Session, answer};

/// Pages that stay in memory instead of being requested again. Each has at most half a mebibyte of CBOR.
const CACHED_PAGES: usize = 4;

/// The entries of a page: from the first index to the one before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    from: Index,
    until: Index,
}

/// The pages that were found and not returned yet.
#[derive(Debug)]
pub(super) struct AuditPages {
    filter: AuditLog,
    /// Pages whose rows are not in memory, the newest first.
    known: Vec<Range>,
    /// Rows of the pages before those, the newest first.
    cached: VecDeque<(Range, Vec<AuditRow>)>,
    /// The index after the newest entry that was examined.
    pub(super) size: Index,
}

impl AuditPages {
    /// Finds the newest rows that match a filter; without a limit, all of them.
    pub(super) async fn newest(
        session: &Session,
        filter: AuditLog,
        limit: Option<u32>,
    ) -> Result<Self, Failure> {
        let mut pages = Self {
            known: Vec::new(),
            cached: VecDeque::new(),
            size: Index(0),
            filter,
        };
        let (mut left, mut before, mut begun) = (limit, pages.filter.before, false);
        while left != Some(0) {
            let limit = left.map_or(PAGE_ROWS, |left| left.min(PAGE_ROWS));
            let page = pages.ask(session, limit, before).await?;
            if !begun {
                // Entries that are appended meanwhile come after these.
                (begun, pages.size) = (true, page.size);
            }
            let until = before.unwrap_or(pages.size);
            // Each page must end before the previous one begins.
            let next = page.before.filter(|next| *next < until);
            let mut rows = page.rows;
            if let Some(left) = &mut left {
                // Pages hold whole entries, and one of an import has hundreds of rows.
                rows.drain(..rows.len().saturating_sub(*left as usize));
                *left -= u32::try_from(rows.len()).unwrap_or(*left).min(*left);
            }
            let from = next.unwrap_or(Index(0));
            pages.keep(Range { from, until }, rows);
            match next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        if !begun {
            let (_, seen) = session.client.checkpoint(&session.workspace).await?;
            pages.size = Index(seen.size);
        }
        Ok(pages)
    }

    fn keep(&mut self, range: Range, rows: Vec<AuditRow>) {
        if rows.is_empty() {
            return;
        }
        self.cached.push_back((range, rows));
        if self.cached.len() > CACHED_PAGES {
            self.known
                .extend(self.cached.pop_front().map(|page| page.0));
        }
    }

    /// The next page: its rows, the oldest first. `None` at the end.
    pub(super) async fn next(
        &mut self,
        session: &Session,
    ) -> Result<Option<Vec<AuditRow>>, Failure> {
        if let Some((_, rows)) = self.cached.pop_back() {
            return Ok(Some(rows));
        }
        match self.known.pop() {
            Some(range) => self.reload(session, range).await.map(Some),
            None => Ok(None),
        }
    }

    /// Requests the rows of an earlier page again. By now they may need several pages, because names of
    /// members can have become longer.
    async fn reload(&self, session: &Session, range: Range) -> Result<Vec<AuditRow>, Failure> {
        let (mut parts, mut until) = (Vec::new(), range.until);
        loop {
            let page = self.ask(session, PAGE_ROWS, Some(until)).await?;
            let (rows, next) = (page.rows, page.before);
            parts.push(rows);
            match next.filter(|next| *next < until && *next > range.from) {
                Some(next) => until = next,
                None => break,
            }
        }
        let rows = parts.into_iter().rev().flatten();
        Ok(rows.filter(|row| row.index >= range.from).collect())
    }

    async fn ask(
        &self,
        session: &Session,
        limit: u32,
        before: Option<Index>,
    ) -> Result<Page, Failure> {
        let ask = AuditLog {
            limit,
            before,
            ..self.filter.clone()
        };
        let answered = session.ask(Question::AuditLog(ask)).await?;
        let size = answered.size.next_index();
        let page = answer!(answered, Answer::AuditLog)?;
        Ok(Page {
            rows: page.rows,
            before: page.before,
            size,
        })
    }
}

struct Page {
    rows: Vec<AuditRow>,
    before: Option<Index>,
    size: Index,
}
