//! Escapes and line ends at which a match may begin or continue.

use std::sync::Arc;

use super::RedactStream;
use crate::redact::Matcher;
use crate::redact::alphabet::{ALPHABETS, Alphabet};
use crate::redact::match_attempt::MatchAttempt;
use crate::redact::prefilter::Candidate;
use crate::redact::unescape::fast_path::{hex_byte, may_escape, unambiguous};
use crate::redact::unescape::{Decoding, Decodings};
use crate::redact::wu_manber::PREFIX_LEN;

/// Symbols of Base64 or hex before a line end that make it worth reading on. With fewer, the needle that
/// begins after the line end is found.
const BEFORE_LINE_END: usize = 3;

impl RedactStream {
    /// Attempts matches around each escape and line end.
    pub(super) fn scan_escapes(&mut self, is_whole: bool) {
        let matcher = Arc::clone(&self.matcher);
        while let Some(at) = matcher
            .prefilter
            .next_escape(&self.pending, self.escape_cursor)
        {
            self.escape_cursor = at;
            let decodings = match self.may_matter(&matcher, at, is_whole) {
                Some(false) => None,
                Some(true) if self.pending[at] == b'\n' => {
                    self.attempt_over_separator(&matcher, at, b'\n', is_whole);
                    None
                }
                Some(true) => match self.cache.decode(&self.pending, at, is_whole) {
                    None => return,
                    decodings => decodings,
                },
                None => return,
            };
            for decoding in decodings.iter().flat_map(Decodings::as_slice) {
                match decoding.bytes() {
                    // A byte that is no escape belongs to a prefix, or stands before the first escape.
                    &[same] if decoding.width == 1 && same == self.pending[at] => {}
                    [] => self.attempt_over_escape(&matcher, at, &[], is_whole),
                    &[first, ..] => {
                        let next = self.lookahead(&matcher, at, *decoding);
                        self.attempt_over_escape(&matcher, at, &next, is_whole);
                        self.attempt_over_separator(&matcher, at, first, is_whole);
                    }
                }
            }
            self.escape_cursor = at + 1;
        }
        self.escape_cursor = self.pending.len();
    }

    /// Whether an escape at `at` may continue or begin a prefix. The next bytes rule out most escapes of
    /// ordinary text, without decoding them. None where more text is needed to tell.
    fn may_matter(&mut self, matcher: &Matcher, at: usize, is_whole: bool) -> Option<bool> {
        let prefilter = &matcher.prefilter;
        let text = self.pending.as_slice();
        let is_inside = || prefilter.may_be_inside(text, at);
        let may_take = |next: u8| prefilter.may_take(text, at, next);
        let next = match text.get(at + 1) {
            None if !is_whole && !matches!(text[at], b'\n' | b'+') => return None,
            next => next.copied().unwrap_or_default(),
        };
        Some(match text[at] {
            b'\n' => is_inside(),
            b'\r' => next == b'\n' && (is_inside() || may_take(b'\n')),
            b'+' => is_inside() || may_take(b' '),
            b'"' => next == b'"' && may_take(b'"'),
            b'\'' => {
                matches!(next, b'\'' | b'"' | b'$' | b'\\' | b'%' | b'&')
                    && (is_inside() || may_take(b'\''))
            }
            b'%' if !next.is_ascii_hexdigit() => next == b'u' || may_escape(next),
            b'%' => match text.get(at + 1..at + 3).and_then(hex_byte) {
                Some(byte) if byte.is_ascii() && !may_escape(byte) => {
                    may_take(byte) || is_inside() && Alphabet::Hex.is_separator(byte)
                }
                Some(b'"') => may_take(b'"'),
                None if text.len() < at + 3 && !is_whole => return None,
                Some(_) | None => true,
            },
            b'$' => next == b'\'' || may_escape(next),
            b'&' => matches!(next, b'#' | b'A'..=b'Z' | b'a'..=b'z') || may_escape(next),
            _ => return self.may_backslash_matter(matcher, at, is_whole),
        })
    }

    fn may_backslash_matter(
        &mut self,
        matcher: &Matcher,
        at: usize,
        is_whole: bool,
    ) -> Option<bool> {
        let prefilter = &matcher.prefilter;
        let text = self.pending.as_slice();
        let is_inside = || prefilter.may_be_inside(text, at);
        let may_take = |next: u8| prefilter.may_take(text, at, next);
        if self.backslashes_end <= at {
            let run = text[at..].iter().take_while(|&&byte| byte == b'\\').count();
            self.backslashes_end = at + run;
        }
        Some(match text.get(self.backslashes_end) {
            None => return is_whole.then(|| may_take(b'\\')),
            Some(b'u' | b'U' | b'x' | b'0'..=b'7' | b'%' | b'&' | b'+' | b'\r') => true,
            Some(b'\'') => is_inside() || may_take(b'\'') || may_take(b'\\'),
            Some(b'n' | b'r' | b't') => {
                is_inside() || [b'\n', b'\r', b'\t', b'\\'].into_iter().any(may_take)
            }
            Some(&escaped) => {
                may_take(escaped) || may_take(b'\\') || may_take_control(escaped, may_take)
            }
        })
    }

    /// The bytes from an escape on that have only one decoding, at most as many as a prefix has. They spare
    /// most attempts.
    fn lookahead(&self, matcher: &Matcher, at: usize, escape: Decoding) -> Vec<u8> {
        let mut next = escape.bytes().to_vec();
        let mut end = at + usize::from(escape.width);
        while next.len() < PREFIX_LEN {
            let Some((byte, width)) = unambiguous(&self.pending[end..]) else {
                break;
            };
            let is_separator = Alphabet::Hex.is_separator(byte);
            if is_separator || width > 1 && matcher.prefilter.holds(self.pending[end]) {
                break;
            }
            next.push(byte);
            end += width;
        }
        next
    }

    /// Attempts matches whose prefix stands before an escape at `at` and continues with it.
    fn attempt_over_escape(&mut self, matcher: &Matcher, at: usize, next: &[u8], is_whole: bool) {
        let lens: u8 = matcher
            .prefilter
            .continued(&self.pending, at, next)
            .fold(0, |lens, len| lens | 1 << len);
        for len in (0..PREFIX_LEN).filter(|len| lens & 1 << len != 0) {
            for alphabet in ALPHABETS {
                let first = next.first().copied();
                self.attempt_after(matcher, at, len, (alphabet, first), is_whole);
            }
        }
    }

    /// Attempts matches of Base64 and hex that stand before a separator at `at`.
    fn attempt_over_separator(&mut self, matcher: &Matcher, at: usize, byte: u8, is_whole: bool) {
        for alphabet in [Alphabet::Hex, Alphabet::Base64]
            .into_iter()
            .filter(|alphabet| alphabet.is_separator(byte))
        {
            let least = if byte == b'\n' { BEFORE_LINE_END } else { 2 };
            let lens: u8 = matcher
                .prefilter
                .continued(&self.pending, at, &[])
                .filter(|&len| len >= least)
                .fold(0, |lens, len| lens | 1 << len);
            for len in (0..PREFIX_LEN).filter(|len| lens & 1 << len != 0) {
                self.attempt_after(matcher, at, len, (alphabet, None), is_whole);
            }
        }
    }

    /// Attempts a match from `at` on, if needles begin with the `len` bytes before it and continue with
    /// `next`.
    fn attempt_after(
        &mut self,
        matcher: &Matcher,
        at: usize,
        len: usize,
        (alphabet, next): (Alphabet, Option<u8>),
        is_whole: bool,
    ) {
        let needles = &matcher.needles;
        let mut range = needles.all(alphabet);
        for (read, &byte) in self.pending[at - len..at].iter().enumerate() {
            let Some(symbol) = alphabet.symbol(byte) else {
                return;
            };
            range = needles.narrow(alphabet, range, read, symbol);
            if range.is_empty() {
                return;
            }
        }
        if let Some(next) = next {
            let next = alphabet.symbol(next);
            let narrowed = |next| needles.narrow(alphabet, range.clone(), len, next);
            if next.is_none_or(|next| narrowed(next).is_empty()) {
                return;
            }
        }
        let candidate = Candidate { alphabet, range };
        self.attempt(MatchAttempt::new(at - len, at, candidate, len), is_whole);
    }
}

/// Whether a letter after a backslash may be a control character of a prefix.
fn may_take_control(letter: u8, may_take: impl Fn(u8) -> bool) -> bool {
    (letter.is_ascii_lowercase() || letter == b'E')
        && [0x07, 0x08, 0x0b, 0x0c, 0x1b].into_iter().any(may_take)
}
