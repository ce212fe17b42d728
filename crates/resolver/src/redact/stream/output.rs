//! What of a text is given out, and when.

use super::{RedactStream, is_base64};

/// How much of what may be the beginning of a value is shown after a pause, in bytes of the text. A value
/// that is masked has at least eight bytes.
const SHOWN_IN_A_PAUSE: usize = 3;

impl RedactStream {
    /// Returns what need not be held back any longer, though nothing says yet how the text goes on: call
    /// this when nothing has come for a while, since somebody may be waiting to read it.
    ///
    /// What may be the beginning of a value is shown as long as it has at most three bytes (an escape that
    /// is not complete yet does not count); from the fourth on it is held back, however long the pause is.
    /// When it was one, the rest of the value is masked. So a value that comes in pieces, with pauses,
    /// gives away three of its bytes at most, and one more when an escape spells it.
    pub fn pause(&mut self) -> Vec<u8> {
        let text = self.pending.as_slice();
        let end = text.len();
        // Where what may become a match begins, and where what is known of it ends.
        let begun = |at: usize| (at - self.matcher.index.begun(text, at), at);
        let escape = self.escapes_at.min(end);
        let starts = self.under_way.iter().map(|one| (one.start, end));
        let held = starts
            .chain([begun(end), begun(escape)])
            .filter(|(start, known)| known - start > SHOWN_IN_A_PAUSE)
            .map(|(start, _)| start)
            .min();
        // A match in Base64 may take the character before it.
        let held = held.map(|at| match at.checked_sub(1) {
            Some(before) if is_base64(text[before]) => before,
            _ => at,
        });
        self.show(held.unwrap_or(end))
    }

    /// Returns what lies before `end` and has not been shown yet. A mark that goes on after `end` is
    /// shown when its end is known.
    pub(super) fn show(&mut self, end: usize) -> Vec<u8> {
        let end = end.max(self.shown);
        let mut out = Vec::with_capacity(end - self.shown);
        let mut written = self.shown;
        let unseen = |mark: &&super::Mark| mark.end > self.shown && mark.start < end;
        for mark in self.marks.iter().filter(unseen) {
            out.extend_from_slice(&self.pending[written..mark.start.max(written)]);
            if mark.end <= end {
                out.extend_from_slice(&self.matcher.labels[mark.secret]);
                written = mark.end;
            } else {
                written = end;
            }
        }
        out.extend_from_slice(&self.pending[written..end]);
        self.shown = end;
        out
    }

    /// Drops what lies before `end`. A mark that goes on after it keeps only that part, so that a run of
    /// overlapping matches does not pile up.
    pub(super) fn forget(&mut self, end: usize) {
        self.marks.retain_mut(|mark| {
            let goes_on = mark.end > end;
            if goes_on {
                mark.start = mark.start.max(end) - end;
                mark.end -= end;
            }
            goes_on
        });
        self.pending.drain(..end);
        self.shown = self.shown.saturating_sub(end);
        if end > 0 {
            self.effort.shift(end);
            self.read_plainly.clear();
        }
        self.windows_at = self.windows_at.saturating_sub(end);
        self.escapes_at = self.escapes_at.saturating_sub(end);
        self.backslashes_end = 0;
        self.under_way.iter_mut().for_each(|one| one.shift(end));
    }
}
