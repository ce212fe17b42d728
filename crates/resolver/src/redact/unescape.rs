//! Decoding one character of a text, however it is escaped.
//!
//! An encoder writes a character as itself or as an escape. Another encoder may then escape each
//! character of that escape. So decoding works in layers: the lowest layer is the text, and each layer
//! decodes escapes whose characters the layer below has decoded. Which encoders wrote a text need not be
//! known: every possible decoding is found.
//!
//! | file | escapes |
//! |---|---|
//! | `backslash` | JSON, C, Python, JavaScript, Rust and shells |
//! | `html_reference`, `html_entities` | HTML and XML |
//! | `quotes` | quotes in the words of shells |
//! | this one | percent-encoding, `+` for a space, doubled quotes (SQL, CSV), CR LF for a line feed |
//! | `fast_path` | the common ones once more, for speed |

mod backslash;
mod decoding;
pub(super) mod fast_path;
mod html_entities;
mod html_reference;
mod quotes;

use std::collections::HashMap;

use zeroize::Zeroizing;

pub(super) use decoding::{Decoding, Decodings};

use decoding::Escape;
use fast_path::{common_escape, may_escape};

/// Encoders that may have been applied one after the other.
const LAYERS: u8 = 3;

/// The longest escape of one character, in bytes. Encoders that escape every character, applied three
/// times, reach some 600. A quote in JSON in HTML in percent-encoding takes twenty.
const MAX_ESCAPE: usize = 1024;

const LEVELS: usize = LAYERS as usize + 1;

/// Positions whose decodings are cached.
const MAX_CACHED: usize = 1 << 14;

/// Decodes a text, and caches positions with several decodings: attempts ask for them again and again.
#[derive(Default)]
pub(super) struct DecodingCache {
    unescaper: Unescaper,
    cached: HashMap<usize, Decodings>,
}

impl DecodingCache {
    /// All decodings of a position, see [`Unescaper::decode`].
    pub(super) fn decode(&mut self, text: &[u8], at: usize, is_whole: bool) -> Option<Decodings> {
        if let Some(decodings) = self.cached.get(&at) {
            return Some(*decodings);
        }
        let decodings = self.unescaper.decode(text, at, is_whole)?;
        if decodings.as_slice().len() > 2 {
            if self.cached.len() == MAX_CACHED {
                self.cached.clear();
            }
            self.cached.insert(at, decodings);
        }
        Some(decodings)
    }

    /// Forgets all positions, since bytes have left the text.
    pub(super) fn clear(&mut self) {
        self.cached.clear();
    }
}

/// Decodes positions of a text. It is kept from one position to the next to reuse its memory.
#[derive(Default)]
struct Unescaper {
    /// The text from the position on.
    text: Zeroizing<Vec<u8>>,
    /// Whether the text ended where more of it could have been an escape.
    ended: bool,
    /// By position and number of layers: one more than the index in `known`, or zero.
    index: Vec<u16>,
    known: Vec<Decodings>,
    /// The slots of `index` that are in use.
    used: Vec<usize>,
}

impl Unescaper {
    /// All decodings of the position `at`; the first one is the byte itself. None where the text ends before
    /// they are known. `is_whole` says that nothing follows the text.
    fn decode(&mut self, text: &[u8], at: usize, is_whole: bool) -> Option<Decodings> {
        let rest = text.get(at..).unwrap_or_default();
        if let Some(escape) = common_escape(rest) {
            let mut decodings = Decodings::new();
            decodings.add(&rest[..1], 1);
            match char::from_u32(escape.code) {
                Some(char) if !escape.may_be_byte => decodings.add_char(char, escape.width),
                _ => decodings.add_number(escape.code, escape.width),
            }
            return Some(decodings);
        }
        let has_enough = rest.len() >= MAX_ESCAPE;
        self.text.clear();
        self.text
            .extend_from_slice(&rest[..rest.len().min(MAX_ESCAPE)]);
        self.ended = false;
        self.index.resize(MAX_ESCAPE * LEVELS, 0);
        self.used.drain(..).for_each(|slot| self.index[slot] = 0);
        self.known.clear();
        let decodings = self.decodings(0, LAYERS);
        (is_whole || has_enough || !self.ended).then_some(decodings)
    }

    /// The decodings of a position by so many layers, each worked out once.
    fn decodings(&mut self, at: usize, layers: u8) -> Decodings {
        let Some(&byte) = self.text.get(at) else {
            self.ended = true;
            return Decodings::new();
        };
        if layers == 0 || !may_escape(byte) {
            let mut plain = Decodings::new();
            plain.add(&[byte], 1);
            return plain;
        }
        let slot = at * LEVELS + usize::from(layers);
        if let Some(known) = usize::from(self.index[slot]).checked_sub(1) {
            return self.known[known];
        }
        let mut out = self.decodings(at, layers - 1);
        let below = out;
        for decoding in below.as_slice() {
            if let Some(first) = decoding.byte() {
                let mut escape = Escape {
                    start: at,
                    layers: layers - 1,
                    out: &mut out,
                };
                self.escape(first, at + usize::from(decoding.width), &mut escape);
            }
        }
        self.known.push(out);
        self.used.push(slot);
        self.index[slot] = u16::try_from(self.known.len()).unwrap_or_default();
        out
    }

    /// Decodes escapes that begin with `first` and continue at `at`.
    fn escape(&mut self, first: u8, at: usize, escape: &mut Escape) {
        match first {
            b'\\' => self.backslash(at, escape),
            b'%' => self.percent(at, escape),
            b'&' => self.html_reference(at, escape),
            b'+' => escape.bytes(b" ", at),
            b'\r' => self.literal(at, b"\n", escape, &mut |_, end, escape| {
                escape.bytes(b"\n", end);
            }),
            b'"' => self.literal(at, b"\"", escape, &mut |_, end, escape| {
                escape.bytes(b"\"", end);
            }),
            b'\'' => self.single_quote(at, escape),
            b'$' => self.dollar_quote(at, escape),
            _ => {}
        }
    }

    /// Two hex digits after `%`, or the `%u003d` of JavaScript's `escape`.
    fn percent(&mut self, at: usize, escape: &mut Escape) {
        self.number(at, (16, 2, 2), escape, &mut |_, byte, end, escape| {
            escape.number(byte, end);
        });
        self.literal(at, b"u", escape, &mut |unescaper, at, escape| {
            unescaper.utf16(at, b"%u", escape);
        });
    }

    /// Calls `then` after each spelling of `text`.
    fn literal(
        &mut self,
        at: usize,
        text: &[u8],
        escape: &mut Escape,
        then: &mut dyn FnMut(&mut Self, usize, &mut Escape),
    ) {
        let Some((first, rest)) = text.split_first() else {
            return then(self, at, escape);
        };
        for decoding in self.decodings(at, escape.layers).as_slice() {
            if decoding.byte() == Some(*first) {
                self.literal(at + usize::from(decoding.width), rest, escape, then);
            }
        }
    }

    /// Calls `then` after each number of `(base, fewest digits, most digits)`.
    fn number(
        &mut self,
        at: usize,
        form: (u32, usize, usize),
        escape: &mut Escape,
        then: &mut dyn FnMut(&mut Self, u32, usize, &mut Escape),
    ) {
        self.digits(at, form, (0, 0), escape, then);
    }

    fn digits(
        &mut self,
        at: usize,
        (base, fewest, most): (u32, usize, usize),
        (number, read): (u32, usize),
        escape: &mut Escape,
        then: &mut dyn FnMut(&mut Self, u32, usize, &mut Escape),
    ) {
        if read >= fewest {
            then(self, number, at, escape);
        }
        if read == most {
            return;
        }
        for decoding in self.decodings(at, escape.layers).as_slice() {
            let digit = decoding
                .byte()
                .and_then(|byte| char::from(byte).to_digit(base));
            let Some(digit) = digit else { continue };
            let next = number.saturating_mul(base).saturating_add(digit);
            let end = at + usize::from(decoding.width);
            self.digits(end, (base, fewest, most), (next, read + 1), escape, then);
        }
    }
}
