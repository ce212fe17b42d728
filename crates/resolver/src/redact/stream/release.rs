//! Which bytes of a text are released, and when.

use super::{RedactStream, Span, is_base64};

/// How much of a possible start of a value is released in a pause, in bytes of the text. A masked value has
/// at least eight bytes.
const RELEASED_IN_A_PAUSE: usize = 3;

impl RedactStream {
    /// Returns text that need not be held back any longer, although it is not known how the text continues.
    /// Call this when no text has arrived for a while, since a person may be waiting for it.
    ///
    /// A possible start of a value is released while it has at most three bytes; an incomplete escape does
    /// not count. From the fourth byte on it is held back, however long the pause is. If it was the start of
    /// a value, the rest of the value is masked. So a value that arrives in pieces, with pauses, shows at
    /// most three of its bytes, and one more if that is escaped.
    pub fn pause(&mut self) -> Vec<u8> {
        let text = self.pending.as_slice();
        let end = text.len();
        // Where a possible match begins, and where the text that was read of it ends.
        let partial = |at: usize| (at - self.matcher.prefilter.partial_prefix(text, at), at);
        let escape = self.escape_cursor.min(end);
        let starts = self.unfinished.iter().map(|one| (one.start, end));
        let held = starts
            .chain([partial(end), partial(escape)])
            .filter(|(start, known)| known - start > RELEASED_IN_A_PAUSE)
            .map(|(start, _)| start)
            .min();
        // A match in Base64 may include the character before it.
        let held = held.map(|at| match at.checked_sub(1) {
            Some(before) if is_base64(text[before]) => before,
            _ => at,
        });
        self.release(held.unwrap_or(end))
    }

    /// Returns the text before `end` that has not been released yet. The label of a span that goes beyond
    /// `end` follows once the span's end is known.
    pub(super) fn release(&mut self, end: usize) -> Vec<u8> {
        let end = end.max(self.released);
        let mut out = Vec::with_capacity(end - self.released);
        let mut written = self.released;
        let is_due = |span: &&Span| span.end > self.released && span.start < end;
        for span in self.spans.iter().filter(is_due) {
            out.extend_from_slice(&self.pending[written..span.start.max(written)]);
            if span.end <= end {
                out.extend_from_slice(&self.matcher.labels[span.secret]);
                written = span.end;
            } else {
                written = end;
            }
        }
        out.extend_from_slice(&self.pending[written..end]);
        self.released = end;
        out
    }

    /// Drops the text before `end`. A span that goes beyond it keeps only the rest, so that a run of
    /// overlapping matches does not pile up.
    pub(super) fn forget(&mut self, end: usize) {
        self.spans.retain_mut(|span| {
            let goes_beyond = span.end > end;
            if goes_beyond {
                span.start = span.start.max(end) - end;
                span.end -= end;
            }
            goes_beyond
        });
        self.pending.drain(..end);
        self.released = self.released.saturating_sub(end);
        if end > 0 {
            self.budget.shift(end);
            self.cache.clear();
            self.plain_matches.clear();
        }
        self.prefix_cursor = self.prefix_cursor.saturating_sub(end);
        self.escape_cursor = self.escape_cursor.saturating_sub(end);
        self.backslashes_end = 0;
        self.unfinished.iter_mut().for_each(|one| one.shift(end));
    }
}
