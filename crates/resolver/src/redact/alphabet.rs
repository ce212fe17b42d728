//! The alphabets in which a value is searched for: its bytes, hex digits and Base64 characters.
//!
//! A symbol is the value of one character of an alphabet: 0 to 255, 0 to 15, or 0 to 63.

use super::{base64, hex};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Alphabet {
    Bytes,
    Hex,
    Base64,
}

pub(super) const ALPHABETS: [Alphabet; 3] = [Alphabet::Bytes, Alphabet::Hex, Alphabet::Base64];

impl Alphabet {
    /// The symbol that a byte of the text stands for.
    #[inline]
    pub(super) fn symbol(self, byte: u8) -> Option<u8> {
        match self {
            Self::Bytes => Some(byte),
            Self::Hex => hex::symbol(byte),
            Self::Base64 => base64::symbol(byte),
        }
    }

    /// The characters for a symbol: the usual one, and the one of the other variant.
    pub(super) fn characters(self, symbol: u8) -> [u8; 2] {
        match self {
            Self::Bytes => [symbol, symbol],
            Self::Hex => hex::characters(symbol),
            Self::Base64 => base64::characters(symbol),
        }
    }

    /// Whether a byte may stand between symbols without carrying a bit of the value.
    #[inline]
    pub(super) fn is_separator(self, byte: u8) -> bool {
        match self {
            Self::Bytes => false,
            Self::Hex => hex::is_separator(byte),
            Self::Base64 => base64::is_separator(byte),
        }
    }

    /// Whether a separator may follow `read` symbols and `separators` other separators. Hex digits stay
    /// together in pairs. Blanks in Base64 are the indentation of a line, so they follow a line end.
    pub(super) fn may_separate(self, byte: u8, read: usize, separators: u8) -> bool {
        let is_line_end = matches!(byte, b'\r' | b'\n');
        self.is_separator(byte)
            && read > 0
            && match self {
                Self::Hex => read.is_multiple_of(2),
                Self::Base64 => is_line_end || separators > 0,
                Self::Bytes => false,
            }
    }
}
