//! Reading one character of a text in any of its spellings.
//!
//! An encoder writes a character as itself or as an escape, and another encoder may then write
//! each character of that escape in a spelling of its own. So a spelling is read by layers: below
//! all of them lie the bytes of the text, and a layer reads escapes whose parts the layer under it
//! has read. Which encoders wrote a text need not be known: every reading is found.
//!
//! Escapes: backslashes of JSON, C, Python, JavaScript, Rust and shells; percent-encoding; HTML and XML
//! references; quotes that are doubled (SQL, CSV) or taken out of a quoted word (shells); `+` for a
//! space; CR LF for a line feed.

use zeroize::Zeroizing;

use super::common::{common, may_escape};
use super::entities::named;

/// Encoders that may have been applied one after the other.
pub(super) const LAYERS: u8 = 3;

/// The longest spelling of one character, in bytes. Encoders that escape every character, three times
/// over, reach some 600; a quote that JSON, HTML and percent-encoding wrote has twenty.
pub(super) const MAX_SPELLING: usize = 1024;

/// The most readings of one place. More than a dozen do not occur in what encoders write.
const MAX_READINGS: usize = 24;

const LEVELS: usize = LAYERS as usize + 1;

/// What a place in a text may stand for.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reading {
    bytes: [u8; 4],
    /// How many bytes of a value it stands for; none for quotes between which a shell goes on.
    len: u8,
    /// How many bytes of the text it takes.
    pub(super) width: u16,
}

impl Reading {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The byte, where it stands for exactly one.
    pub(super) fn byte(self) -> Option<u8> {
        (self.len == 1).then_some(self.bytes[0])
    }
}

/// Readings of one place, each once.
#[derive(Clone, Copy)]
pub(super) struct Readings {
    list: [Reading; MAX_READINGS],
    len: usize,
}

impl Readings {
    fn new() -> Self {
        Self {
            list: [Reading::default(); MAX_READINGS],
            len: 0,
        }
    }

    fn add(&mut self, value: &[u8], width: usize) {
        let mut reading = Reading::default();
        let (Some(bytes), Ok(width)) = (reading.bytes.get_mut(..value.len()), u16::try_from(width))
        else {
            return;
        };
        bytes.copy_from_slice(value);
        reading.len = u8::try_from(value.len()).unwrap_or_default();
        reading.width = width;
        if self.len < MAX_READINGS && !self.as_slice().contains(&reading) {
            self.list[self.len] = reading;
            self.len += 1;
        }
    }

    fn add_char(&mut self, char: char, width: usize) {
        self.add(char.encode_utf8(&mut [0; 4]).as_bytes(), width);
    }

    /// A number that is a byte to some encoders and a character to others.
    fn add_number(&mut self, number: u32, width: usize) {
        if let Ok(byte) = u8::try_from(number) {
            self.add(&[byte], width);
        }
        if let Some(char) = char::from_u32(number) {
            self.add_char(char, width);
        }
    }

    pub(super) fn as_slice(&self) -> &[Reading] {
        &self.list[..self.len]
    }
}

/// Reads places of a text. It is kept from one place to the next for its memory.
#[derive(Default)]
pub(super) struct Reader {
    /// The text from the place on.
    text: Zeroizing<Vec<u8>>,
    /// Whether the text ended where more of it could have been an escape.
    ended: bool,
    /// What has been read already, by place and layers: one more than its index in `known`.
    index: Vec<u16>,
    known: Vec<Readings>,
    /// The used places of `index`.
    used: Vec<usize>,
}

impl Reader {
    /// All readings of the place `at`, first of all the byte itself. None where the text ends before
    /// that is known; `whole` says that nothing follows the text.
    pub(super) fn read(&mut self, text: &[u8], at: usize, whole: bool) -> Option<Readings> {
        let rest = text.get(at..).unwrap_or_default();
        if let Some((code, width, is_number)) = common(rest) {
            let mut readings = Readings::new();
            readings.add(&rest[..1], 1);
            match char::from_u32(code) {
                Some(char) if !is_number => readings.add_char(char, width),
                _ => readings.add_number(code, width),
            }
            return Some(readings);
        }
        let within = rest.len() >= MAX_SPELLING;
        self.text.clear();
        self.text
            .extend_from_slice(&rest[..rest.len().min(MAX_SPELLING)]);
        self.ended = false;
        self.index.resize(MAX_SPELLING * LEVELS, 0);
        self.used.drain(..).for_each(|slot| self.index[slot] = 0);
        self.known.clear();
        let readings = self.readings(0, LAYERS);
        (whole || within || !self.ended).then_some(readings)
    }

    /// The readings of a place, each place and number of layers worked out once.
    fn readings(&mut self, at: usize, layers: u8) -> Readings {
        let Some(&byte) = self.text.get(at) else {
            self.ended = true;
            return Readings::new();
        };
        if layers == 0 || !may_escape(byte) {
            let mut plain = Readings::new();
            plain.add(&[byte], 1);
            return plain;
        }
        let slot = at * LEVELS + usize::from(layers);
        if let Some(known) = usize::from(self.index[slot]).checked_sub(1) {
            return self.known[known];
        }
        let mut out = self.readings(at, layers - 1);
        let below = out;
        for reading in below.as_slice() {
            if let Some(first) = reading.byte() {
                let mut escape = Escape {
                    start: at,
                    layers: layers - 1,
                    out: &mut out,
                };
                self.escape(first, at + usize::from(reading.width), &mut escape);
            }
        }
        self.known.push(out);
        self.used.push(slot);
        self.index[slot] = u16::try_from(self.known.len()).unwrap_or_default();
        out
    }

    /// Escapes that begin with `first` and go on at `at`.
    fn escape(&mut self, first: u8, at: usize, escape: &mut Escape) {
        match first {
            b'\\' => self.backslash(at, escape),
            b'%' => {
                self.number(at, (16, 2, 2), escape, &mut |_, byte, end, escape| {
                    escape.number(byte, end);
                });
                self.literal(at, b"u", escape, &mut |reader, at, escape| {
                    reader.utf16(at, b"%u", escape);
                });
            }
            b'&' => self.reference(at, escape),
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

    fn backslash(&mut self, at: usize, escape: &mut Escape) {
        for second in self.readings(at, escape.layers).as_slice() {
            let end = at + usize::from(second.width);
            let Some(byte) = second.byte() else { continue };
            let control = match byte {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 0x08,
                b'f' => 0x0c,
                b'v' => 0x0b,
                b'a' => 0x07,
                b'e' | b'E' => 0x1b,
                b'u' => {
                    self.utf16(end, b"\\u", escape);
                    self.braces(end, escape);
                    continue;
                }
                b'U' => {
                    self.number(end, (16, 8, 8), escape, &mut |_, code, end, escape| {
                        escape.character(code, end);
                    });
                    continue;
                }
                b'x' => {
                    self.number(end, (16, 1, 2), escape, &mut |_, byte, end, escape| {
                        escape.number(byte, end);
                    });
                    continue;
                }
                b'0'..=b'7' => {
                    // `\0101` of `echo -e` has a digit more.
                    let most = if byte == b'0' { 4 } else { 3 };
                    self.number(at, (8, 1, most), escape, &mut |_, byte, end, escape| {
                        if byte < 256 {
                            escape.number(byte, end);
                        }
                    });
                    continue;
                }
                byte if byte.is_ascii_punctuation() || byte == b' ' => byte,
                _ => continue,
            };
            escape.bytes(&[control], end);
        }
    }

    /// Four hex digits behind `\u` or `%u`, and the second half of a pair.
    fn utf16(&mut self, at: usize, again: &[u8], escape: &mut Escape) {
        self.number(at, (16, 4, 4), escape, &mut |reader, unit, end, escape| {
            if !(0xD800..0xDC00).contains(&unit) {
                escape.character(unit, end);
                // A byte of text in Latin-1.
                escape.byte(unit, end);
                return;
            }
            reader.literal(end, again, escape, &mut |reader, at, escape| {
                reader.number(at, (16, 4, 4), escape, &mut |_, low, end, escape| {
                    if (0xDC00..0xE000).contains(&low) {
                        escape.character(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00), end);
                    }
                });
            });
        });
    }

    /// Hex digits in braces behind `\u`.
    fn braces(&mut self, at: usize, escape: &mut Escape) {
        self.literal(at, b"{", escape, &mut |reader, at, escape| {
            reader.number(at, (16, 1, 6), escape, &mut |reader, code, end, escape| {
                reader.literal(end, b"}", escape, &mut |_, end, escape| {
                    escape.character(code, end);
                });
            });
        });
    }

    /// `#39;`, `#x27;` or `apos;` behind `&`.
    fn reference(&mut self, at: usize, escape: &mut Escape) {
        let end_of = |reader: &mut Self, code: u32, at: usize, escape: &mut Escape| {
            reader.literal(at, b";", escape, &mut |_, end, escape| {
                escape.character(code, end);
                escape.byte(code, end);
            });
        };
        for second in self.readings(at, escape.layers).as_slice() {
            let next = at + usize::from(second.width);
            match second.byte() {
                Some(b'#') => {
                    self.number(
                        next,
                        (10, 1, 10),
                        escape,
                        &mut |reader, code, at, escape| {
                            end_of(reader, code, at, escape);
                        },
                    );
                    for x in [b"x", b"X"] {
                        self.literal(next, x, escape, &mut |reader, at, escape| {
                            reader.number(
                                at,
                                (16, 1, 8),
                                escape,
                                &mut |reader, code, at, escape| {
                                    end_of(reader, code, at, escape);
                                },
                            );
                        });
                    }
                }
                Some(letter) if letter.is_ascii_alphabetic() => {
                    let mut name = [0; 20];
                    self.name(at, &mut name, 0, escape);
                }
                _ => {}
            }
        }
    }

    /// A named reference, of which `len` letters have been read.
    fn name(&mut self, at: usize, name: &mut [u8; 20], len: usize, escape: &mut Escape) {
        for next in self.readings(at, escape.layers).as_slice() {
            let end = at + usize::from(next.width);
            match next.byte() {
                Some(b';') => {
                    if let Some(char) = named(&name[..len]) {
                        escape.character(u32::from(char), end);
                        escape.byte(u32::from(char), end);
                    }
                }
                Some(byte) if byte.is_ascii_alphanumeric() && len < name.len() => {
                    name[len] = byte;
                    self.name(end, name, len + 1, escape);
                }
                _ => {}
            }
        }
    }

    /// A quote inside a quoted word of a shell, and words that go on behind another quote.
    fn single_quote(&mut self, at: usize, escape: &mut Escape) {
        for quote in [b"'".as_slice(), b"\\''", b"\"'\"'"] {
            self.literal(at, quote, escape, &mut |_, end, escape| {
                escape.bytes(b"'", end);
            });
        }
        for quotes in [b"'".as_slice(), b"$'"] {
            self.literal(at, quotes, escape, &mut |_, end, escape| {
                escape.bytes(b"", end);
            });
        }
    }

    /// `$'\n'`: an escape in a word of its own.
    fn dollar_quote(&mut self, at: usize, escape: &mut Escape) {
        self.literal(at, b"'", escape, &mut |reader, at, escape| {
            for inner in reader.readings(at, escape.layers).as_slice() {
                let end = at + usize::from(inner.width);
                if inner.width > 1 {
                    reader.literal(end, b"'", escape, &mut |_, end, escape| {
                        escape.bytes(inner.bytes(), end);
                    });
                }
            }
        });
    }

    /// Goes on behind each spelling of `text`.
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
        for reading in self.readings(at, escape.layers).as_slice() {
            if reading.byte() == Some(*first) {
                self.literal(at + usize::from(reading.width), rest, escape, then);
            }
        }
    }

    /// Goes on behind each number of `(base, fewest digits, most digits)`.
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
        for reading in self.readings(at, escape.layers).as_slice() {
            let digit = reading
                .byte()
                .and_then(|byte| char::from(byte).to_digit(base));
            let Some(digit) = digit else { continue };
            let next = number.saturating_mul(base).saturating_add(digit);
            let end = at + usize::from(reading.width);
            self.digits(end, (base, fewest, most), (next, read + 1), escape, then);
        }
    }
}

/// An escape that is being read.
struct Escape<'o> {
    start: usize,
    /// The layers under this one.
    layers: u8,
    out: &'o mut Readings,
}

impl Escape<'_> {
    fn bytes(&mut self, value: &[u8], end: usize) {
        self.out.add(value, end - self.start);
    }

    fn number(&mut self, number: u32, end: usize) {
        self.out.add_number(number, end - self.start);
    }

    fn character(&mut self, code: u32, end: usize) {
        if let Some(char) = char::from_u32(code) {
            self.out.add_char(char, end - self.start);
        }
    }

    fn byte(&mut self, code: u32, end: usize) {
        if let Ok(byte) = u8::try_from(code) {
            self.out.add(&[byte], end - self.start);
        }
    }
}
