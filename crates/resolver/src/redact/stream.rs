//! Masking text that arrives in chunks.

mod escapes;
mod release;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Matcher;
use super::alphabet::Alphabet;
use super::budget::Budget;
use super::match_attempt::{Haystack, MatchAttempt};
use super::unescape::DecodingCache;

/// A span of a text that is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The index of the secret.
    pub(super) secret: usize,
}

/// Masks a text in chunks. Holds back only what may still become a match.
pub struct RedactStream {
    matcher: Arc<Matcher>,
    /// Bytes that were read and are not final.
    pending: Zeroizing<Vec<u8>>,
    /// How many bytes of `pending` were released in a pause. They are kept, since a match may begin among
    /// them.
    released: usize,
    /// Where the next prefix may stand.
    prefix_cursor: usize,
    /// Where the next escape may stand.
    escape_cursor: usize,
    /// The end of the last run of backslashes.
    backslashes_end: usize,
    unfinished: Vec<MatchAttempt>,
    /// By needles: the text that the last attempt at them has matched as plain bytes.
    plain_matches: HashMap<(Alphabet, Range<usize>), Range<usize>>,
    /// Spans of `pending` to be masked, in order and without overlaps.
    spans: Vec<Span>,
    cache: DecodingCache,
    budget: Budget,
}

impl RedactStream {
    pub(super) fn new(matcher: &Arc<Matcher>) -> Self {
        Self {
            matcher: Arc::clone(matcher),
            pending: Zeroizing::default(),
            released: 0,
            prefix_cursor: 0,
            escape_cursor: 0,
            backslashes_end: 0,
            unfinished: Vec::new(),
            plain_matches: HashMap::new(),
            spans: Vec::new(),
            cache: DecodingCache::default(),
            budget: Budget::default(),
        }
    }

    /// Reads a chunk and returns the text that has become final, masked.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let end = self.read(chunk, false);
        let out = self.release(end);
        self.forget(end);
        out
    }

    /// Returns the rest, masked. Nothing follows that could complete a match.
    pub fn finish(mut self) -> Vec<u8> {
        let end = self.read(&[], true);
        self.release(end)
    }

    /// How many bytes are held back.
    #[cfg(test)]
    pub(super) fn held_back(&self) -> usize {
        self.pending.len()
    }

    /// The spans to mask in a whole text.
    pub(super) fn spans(mut self, text: &[u8]) -> Vec<Span> {
        self.read(text, true);
        self.spans
    }

    /// Reads a chunk and returns the end of the text that no match can reach any more.
    fn read(&mut self, chunk: &[u8], is_whole: bool) -> usize {
        self.pending.extend_from_slice(chunk);
        if self.matcher.is_empty() {
            return self.pending.len();
        }
        self.budget.add_text(chunk.len());
        let matcher = Arc::clone(&self.matcher);
        let mut unfinished = std::mem::take(&mut self.unfinished);
        unfinished.sort_by_key(|attempt| attempt.start);
        for attempt in unfinished {
            self.budget.select(self.unfinished.len(), true);
            self.run(attempt, is_whole);
        }
        self.scan_prefixes(is_whole);
        self.scan_escapes(is_whole);
        self.merge_spans();
        if is_whole {
            // The match of a hurried attempt may go beyond the end.
            let end = self.pending.len();
            self.spans
                .iter_mut()
                .for_each(|span| span.end = span.end.min(end));
            return end;
        }
        let text = self.pending.as_slice();
        let partial = |end: usize| end - matcher.prefilter.partial_prefix(text, end);
        let end = partial(text.len()).min(partial(self.escape_cursor.min(text.len())));
        let end = self
            .unfinished
            .iter()
            .map(|one| one.start)
            .fold(end, usize::min);
        // A match in Base64 may include the character before it.
        let shared = end.checked_sub(1).filter(|&at| is_base64(text[at]));
        shared.unwrap_or(end)
    }

    /// Attempts a match at each prefix.
    fn scan_prefixes(&mut self, is_whole: bool) {
        let matcher = Arc::clone(&self.matcher);
        loop {
            let at = matcher
                .prefilter
                .next_prefix(&self.pending, self.prefix_cursor);
            let Some(prefix) = self.pending.get(at..).and_then(|rest| rest.first_chunk()) else {
                self.prefix_cursor = at;
                return;
            };
            for candidate in matcher.prefilter.candidates(*prefix) {
                self.attempt(MatchAttempt::new(at, at, candidate.clone(), 0), is_whole);
            }
            self.prefix_cursor = at + 1;
        }
    }

    /// Runs a new attempt.
    fn attempt(&mut self, attempt: MatchAttempt, is_whole: bool) {
        self.budget.select(self.unfinished.len(), false);
        self.run(attempt, is_whole);
    }

    fn run(&mut self, mut attempt: MatchAttempt, is_whole: bool) {
        let needles = attempt.needles();
        let plain = self.plain_matches.get(&needles);
        if let Some(plain) = plain.filter(|plain| plain.contains(&attempt.start)) {
            attempt.skip_to(plain.end);
        }
        let haystack = Haystack {
            text: &self.pending,
            is_whole,
        };
        attempt.run(
            &self.matcher.needles,
            haystack,
            &mut self.cache,
            &mut self.budget,
        );
        if let Some(end) = attempt.plain_end() {
            self.plain_matches.insert(needles, attempt.start..end);
        }
        self.keep(attempt);
    }

    /// Keeps an unfinished attempt, or the span of its match.
    fn keep(&mut self, attempt: MatchAttempt) {
        if attempt.is_unfinished() {
            self.unfinished.push(attempt);
        } else if let Some(found) = attempt.found {
            self.budget.record_match(found.end);
            let start = attempt.start;
            let shared = found.shares_left && start > 0 && is_base64(self.pending[start - 1]);
            self.spans.push(Span {
                start: start - usize::from(shared),
                end: found.end,
                secret: found.secret,
            });
        }
    }

    /// Makes one span of those that overlap. It gets the secret of the first one, and where several begin
    /// together, of the longest.
    fn merge_spans(&mut self) {
        self.spans
            .sort_by_key(|span| (span.start, usize::MAX - span.end));
        self.spans.dedup_by(|span, last| {
            let overlap = span.start < last.end;
            if overlap {
                last.end = last.end.max(span.end);
            }
            overlap
        });
    }
}

fn is_base64(byte: u8) -> bool {
    Alphabet::Base64.symbol(byte).is_some()
}
