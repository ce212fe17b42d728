//! A page of rows ends by rows or by bytes, whichever comes first. Every list of the ledger is made
//! here, so no history that members can write makes an answer too large for a reply.

use keyroll_core::cbor;
use keyroll_wire::query::{PAGE_BYTES, PAGE_ROWS};
use serde::Serialize;

/// Rows that fit one answer.
#[derive(Debug)]
pub(crate) struct Page<R> {
    rows: Vec<R>,
    limit: usize,
    bytes: usize,
}

impl<R: Serialize> Page<R> {
    /// An empty page of at most `limit` rows, [`PAGE_ROWS`] at most.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            rows: Vec::new(),
            limit: usize::try_from(limit.clamp(1, PAGE_ROWS)).unwrap_or(1),
            bytes: 0,
        }
    }

    /// Takes rows that belong together, unless the page is full: then it returns `false`, and they
    /// belong to the next page. The first rows are always taken, so that paging makes progress.
    pub(crate) fn take(&mut self, together: Vec<R>) -> bool {
        let bytes: usize = together.iter().map(|row| cbor::encode_row(row).len()).sum();
        let full = self.rows.len() >= self.limit || self.bytes + bytes > PAGE_BYTES;
        if full && !self.rows.is_empty() {
            return false;
        }
        self.bytes += bytes;
        self.rows.extend(together);
        true
    }

    /// Whether the page has all its rows, so that no further row need be made.
    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= self.limit
    }

    pub(crate) fn rows(self) -> Vec<R> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_by_rows() {
        let mut page = Page::new(3);
        assert!(page.take(vec![1, 2]));
        assert!(page.take(vec![3, 4]), "together, though one is too many");
        assert!(page.is_full());
        assert!(!page.take(vec![5]));
        assert_eq!(page.rows(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_page_ends_by_bytes() {
        let long = "x".repeat(PAGE_BYTES / 3);
        let mut page = Page::new(PAGE_ROWS);
        assert!(page.take(vec![long.clone(), long.clone()]));
        assert!(!page.take(vec![long.clone()]));
        assert!(page.take(vec![]), "nothing always fits");
        assert!(!page.is_full());
        assert_eq!(page.rows().len(), 2);
    }

    #[test]
    fn what_comes_first_is_taken_whatever_its_size() {
        let long = "x".repeat(PAGE_BYTES + 1);
        let mut page = Page::new(PAGE_ROWS);
        assert!(page.take(vec![long.clone()]));
        assert!(!page.take(vec![long]));
    }
}
