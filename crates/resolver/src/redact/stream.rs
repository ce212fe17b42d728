//! Masking a text that comes in parts.

mod output;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Matcher;
use super::attempt::{Attempt, Effort};
use super::common::{hex, may_escape, plain};
use super::index::Start;
use super::skip::WINDOW;
use super::spelling::{Reading, Readings};
use super::targets::{VIEWS, View, separates, symbol};

/// Symbols of Base64 or hex before a line end that make what follows worth reading. Of fewer, the
/// target is found behind the line end.
const BEFORE_LINE_END: usize = 3;

/// A stretch of a text to be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The index of the secret.
    pub(super) secret: usize,
}

/// A text being masked in parts. Holds back only what may still become a match.
pub struct RedactStream {
    matcher: Arc<Matcher>,
    /// Bytes that have been read and are not final.
    pending: Zeroizing<Vec<u8>>,
    /// How many bytes at its beginning have been shown after a pause. They are kept, since a match may
    /// begin among them.
    shown: usize,
    /// Where the next window may stand.
    windows_at: usize,
    /// Where the next escape may stand.
    escapes_at: usize,
    /// The end of the run of backslashes that was met last.
    backslashes_end: usize,
    under_way: Vec<Attempt>,
    /// By targets, from where and up to where the last attempt at them has read byte by byte.
    read_plainly: HashMap<(View, Range<usize>), Range<usize>>,
    /// Stretches of `pending` to be masked, in order and apart.
    marks: Vec<Mark>,
    effort: Effort,
}

impl RedactStream {
    pub(super) fn new(matcher: &Arc<Matcher>) -> Self {
        Self {
            matcher: Arc::clone(matcher),
            pending: Zeroizing::default(),
            shown: 0,
            windows_at: 0,
            escapes_at: 0,
            backslashes_end: 0,
            under_way: Vec::new(),
            read_plainly: HashMap::new(),
            marks: Vec::new(),
            effort: Effort::default(),
        }
    }

    /// Reads a part and returns what has become final.
    pub fn push(&mut self, part: &[u8]) -> Vec<u8> {
        let end = self.read(part, false);
        let out = self.show(end);
        self.forget(end);
        out
    }

    /// Returns the rest: nothing follows that could complete a match.
    pub fn finish(mut self) -> Vec<u8> {
        let end = self.read(&[], true);
        self.show(end)
    }

    /// How many bytes are held back.
    #[cfg(test)]
    pub(super) fn held_back(&self) -> usize {
        self.pending.len()
    }

    /// What is to be masked in a whole text.
    pub(super) fn marks(mut self, text: &[u8]) -> Vec<Mark> {
        self.read(text, true);
        self.marks
    }

    /// Reads a part and returns the end of what no match can reach any more.
    fn read(&mut self, part: &[u8], whole: bool) -> usize {
        self.pending.extend_from_slice(part);
        if self.matcher.is_empty() {
            return self.pending.len();
        }
        self.effort.bytes += part.len();
        let matcher = Arc::clone(&self.matcher);
        let mut under_way = std::mem::take(&mut self.under_way);
        under_way.sort_by_key(|attempt| attempt.start);
        for attempt in under_way {
            self.effort.turn_to(self.under_way.len(), true);
            self.go_on(attempt, whole);
        }
        self.read_windows(whole);
        self.read_escapes(whole);
        self.merge();
        if whole {
            // One that was taken in haste may go beyond the end.
            let end = self.pending.len();
            self.marks
                .iter_mut()
                .for_each(|mark| mark.end = mark.end.min(end));
            return end;
        }
        let text = self.pending.as_slice();
        let begun = |end: usize| end - matcher.index.begun(text, end);
        let end = begun(text.len()).min(begun(self.escapes_at.min(text.len())));
        let end = self
            .under_way
            .iter()
            .map(|one| one.start)
            .fold(end, usize::min);
        // A match in Base64 may take the character before it.
        let shared = end.checked_sub(1).filter(|&at| is_base64(text[at]));
        shared.unwrap_or(end)
    }

    fn read_windows(&mut self, whole: bool) {
        let matcher = Arc::clone(&self.matcher);
        loop {
            let at = matcher.index.next_window(&self.pending, self.windows_at);
            let Some(window) = self.pending.get(at..).and_then(|rest| rest.first_chunk()) else {
                self.windows_at = at;
                return;
            };
            for start in matcher.index.starts(*window) {
                self.attempt(Attempt::new(at, at, start.clone(), 0), whole);
            }
            self.windows_at = at + 1;
        }
    }

    fn read_escapes(&mut self, whole: bool) {
        let matcher = Arc::clone(&self.matcher);
        while let Some(at) = matcher.index.next_escape(&self.pending, self.escapes_at) {
            self.escapes_at = at;
            let readings = match self.may_matter(&matcher, at, whole) {
                Some(false) => None,
                Some(true) if self.pending[at] == b'\n' => {
                    self.separated(&matcher, at, b'\n', whole);
                    None
                }
                Some(true) => match self.effort.read(&self.pending, at, whole) {
                    None => return,
                    readings => readings,
                },
                None => return,
            };
            for reading in readings.iter().flat_map(Readings::as_slice) {
                match reading.bytes() {
                    // What is no escape belongs to a window, or stands before the first escape.
                    &[same] if reading.width == 1 && same == self.pending[at] => {}
                    [] => self.continued(&matcher, at, &[], whole),
                    &[first, ..] => {
                        let next = self.ahead(&matcher, at, *reading);
                        self.continued(&matcher, at, &next, whole);
                        self.separated(&matcher, at, first, whole);
                    }
                }
            }
            self.escapes_at = at + 1;
        }
        self.escapes_at = self.pending.len();
    }

    /// Whether what stands at `at` may go on or begin a window. Most of what ordinary text holds can be
    /// told from its next bytes, without reading every spelling. None where that is not known yet.
    fn may_matter(&mut self, matcher: &Matcher, at: usize, whole: bool) -> Option<bool> {
        let index = &matcher.index;
        let text = self.pending.as_slice();
        let under_way = || index.is_under_way(text, at);
        let may_take = |next: u8| index.may_take(text, at, next);
        let next = match text.get(at + 1) {
            None if !whole && !matches!(text[at], b'\n' | b'+') => return None,
            next => next.copied().unwrap_or_default(),
        };
        Some(match text[at] {
            b'\n' => under_way(),
            b'\r' => next == b'\n' && (under_way() || may_take(b'\n')),
            b'+' => under_way() || may_take(b' '),
            b'"' => next == b'"' && may_take(b'"'),
            b'\'' => {
                matches!(next, b'\'' | b'"' | b'$' | b'\\' | b'%' | b'&')
                    && (under_way() || may_take(b'\''))
            }
            b'%' if !next.is_ascii_hexdigit() => next == b'u' || may_escape(next),
            b'%' => match text.get(at + 1..at + 3).and_then(hex) {
                Some(byte) if byte.is_ascii() && !may_escape(byte) => {
                    may_take(byte) || under_way() && separates(View::Hex, byte)
                }
                Some(b'"') => may_take(b'"'),
                None if text.len() < at + 3 && !whole => return None,
                Some(_) | None => true,
            },
            b'$' => next == b'\'' || may_escape(next),
            b'&' => matches!(next, b'#' | b'A'..=b'Z' | b'a'..=b'z') || may_escape(next),
            _ => {
                if self.backslashes_end <= at {
                    let run = text[at..].iter().take_while(|&&byte| byte == b'\\').count();
                    self.backslashes_end = at + run;
                }
                match text.get(self.backslashes_end) {
                    None => return whole.then(|| may_take(b'\\')),
                    Some(b'u' | b'U' | b'x' | b'0'..=b'7' | b'%' | b'&' | b'+' | b'\r') => true,
                    Some(b'\'') => under_way() || may_take(b'\'') || may_take(b'\\'),
                    Some(b'n' | b'r' | b't') => under_way() || may_take(b'\n') || may_take(b'\t'),
                    Some(&escaped) => {
                        may_take(escaped) || may_take(b'\\') || may_take_control(escaped, may_take)
                    }
                }
            }
        })
    }

    /// The bytes from an escape on for which there is only one reading, at most those of a window. They
    /// spare most attempts.
    fn ahead(&self, matcher: &Matcher, at: usize, escape: Reading) -> Vec<u8> {
        let mut next = escape.bytes().to_vec();
        let mut end = at + usize::from(escape.width);
        while next.len() < WINDOW {
            let Some((byte, width)) = plain(&self.pending[end..]) else {
                break;
            };
            let is_separator = separates(View::Hex, byte);
            if is_separator || width > 1 && matcher.index.holds(self.pending[end]) {
                break;
            }
            next.push(byte);
            end += width;
        }
        next
    }

    /// An escape that stands at `at` and goes on what stands before it.
    fn continued(&mut self, matcher: &Matcher, at: usize, next: &[u8], whole: bool) {
        let lens: u8 = matcher
            .index
            .continued(&self.pending, at, next)
            .fold(0, |lens, len| lens | 1 << len);
        for len in (0..WINDOW).filter(|len| lens & 1 << len != 0) {
            for view in VIEWS {
                self.begun(matcher, at, len, (view, next.first().copied()), whole);
            }
        }
    }

    /// A byte without meaning at `at`, with Base64 or hex before it.
    fn separated(&mut self, matcher: &Matcher, at: usize, byte: u8, whole: bool) {
        for view in [View::Hex, View::Base64]
            .into_iter()
            .filter(|&view| separates(view, byte))
        {
            let least = if byte == b'\n' { BEFORE_LINE_END } else { 2 };
            let lens: u8 = matcher
                .index
                .continued(&self.pending, at, &[])
                .filter(|&len| len >= least)
                .fold(0, |lens, len| lens | 1 << len);
            for len in (0..WINDOW).filter(|len| lens & 1 << len != 0) {
                self.begun(matcher, at, len, (view, None), whole);
            }
        }
    }

    /// Goes on from `at`, where targets that begin with the `len` bytes before it may go on.
    fn begun(
        &mut self,
        matcher: &Matcher,
        at: usize,
        len: usize,
        (view, next): (View, Option<u8>),
        whole: bool,
    ) {
        let targets = &matcher.targets;
        let mut range = targets.all(view);
        for (read, &byte) in self.pending[at - len..at].iter().enumerate() {
            let Some(symbol) = symbol(view, byte) else {
                return;
            };
            range = targets.narrow(view, range, read, symbol);
            if range.is_empty() {
                return;
            }
        }
        if let Some(next) = next {
            let next = symbol(view, next);
            if next.is_none_or(|next| targets.narrow(view, range.clone(), len, next).is_empty()) {
                return;
            }
        }
        let from = Start { view, range };
        self.attempt(Attempt::new(at - len, at, from, len), whole);
    }

    fn attempt(&mut self, attempt: Attempt, whole: bool) {
        self.effort.turn_to(self.under_way.len(), false);
        self.go_on(attempt, whole);
    }

    fn go_on(&mut self, mut attempt: Attempt, whole: bool) {
        let targets = attempt.targets();
        let read = self.read_plainly.get(&targets);
        if let Some(read) = read.filter(|read| read.contains(&attempt.start)) {
            attempt.pass_over(read.end);
        }
        attempt.run(
            &self.matcher.targets,
            &self.pending,
            whole,
            &mut self.effort,
        );
        if let Some(end) = attempt.plain_end() {
            self.read_plainly.insert(targets, attempt.start..end);
        }
        self.keep(attempt);
    }

    fn keep(&mut self, attempt: Attempt) {
        if attempt.is_under_way() {
            self.under_way.push(attempt);
        } else if let Some(found) = attempt.found {
            self.effort.cover(found.end);
            let start = attempt.start;
            let shared = found.shares_left && start > 0 && is_base64(self.pending[start - 1]);
            self.marks.push(Mark {
                start: start - usize::from(shared),
                end: found.end,
                secret: found.secret,
            });
        }
    }

    /// Makes one mark of those that overlap; it is named after the first, and of those that begin
    /// together after the longest.
    fn merge(&mut self) {
        self.marks
            .sort_by_key(|mark| (mark.start, usize::MAX - mark.end));
        self.marks.dedup_by(|mark, last| {
            let overlap = mark.start < last.end;
            if overlap {
                last.end = last.end.max(mark.end);
            }
            overlap
        });
    }
}

/// Whether a letter behind a backslash may be a control character in a window.
fn may_take_control(letter: u8, may_take: impl Fn(u8) -> bool) -> bool {
    (letter.is_ascii_lowercase() || letter == b'E')
        && [0x07, 0x08, 0x0b, 0x0c, 0x1b].into_iter().any(may_take)
}

fn is_base64(byte: u8) -> bool {
    symbol(View::Base64, byte).is_some()
}
