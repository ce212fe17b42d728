//! What is looked for: every part of every value, as bytes, as hex digits and as Base64.
//!
//! A target is a view of a piece, not a copy: its symbols are computed from the piece's bytes. The
//! targets of one view are sorted, so those that begin alike are neighbours, and a search that has
//! read `n` symbols holds a range of them.

use std::ops::Range;

use zeroize::Zeroizing;

/// How the bytes of a piece are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum View {
    Bytes,
    /// Hex digits, of which a symbol is a value from 0 to 15.
    Hex,
    /// Base64 (RFC 4648), of which a symbol is a value from 0 to 63.
    Base64,
}

pub(super) const VIEWS: [View; 3] = [View::Bytes, View::Hex, View::Base64];

pub(super) struct Piece {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// The index of the secret.
    pub(super) secret: usize,
}

#[derive(Clone, Copy)]
struct Target {
    piece: u32,
    /// The bit of the piece with which the target begins.
    offset: u8,
}

/// Pieces and the sorted targets of each view.
pub(super) struct Targets {
    pieces: Vec<Piece>,
    sorted: [Vec<Target>; VIEWS.len()],
}

impl Targets {
    pub(super) fn new(pieces: Vec<Piece>) -> Self {
        let mut targets = Self {
            pieces,
            sorted: Default::default(),
        };
        for view in VIEWS {
            // Where the first symbol of Base64 begins depends on how many bytes stand before the value,
            // by three. A line end may stand behind the first symbols of Base64 and hex: what is before
            // it is less than four bytes, and behind it begins a target of its own.
            let offsets: &[u8] = match view {
                View::Bytes => &[0],
                View::Hex => &[0, 8, 16, 24],
                View::Base64 => &[0, 2, 4, 6, 8, 10, 12, 14, 16],
            };
            let all = (0..targets.pieces.len()).flat_map(|piece| {
                let piece = u32::try_from(piece).unwrap_or(u32::MAX);
                offsets.iter().map(move |&offset| Target { piece, offset })
            });
            let mut all: Vec<Target> = all.collect();
            all.sort_by(|a, b| {
                let symbols = |target: &Target| {
                    let target = *target;
                    (0..targets.len_of(view, target)).map(move |at| (target, at))
                };
                let value = |(target, at)| targets.symbol_of(view, target, at);
                symbols(a).map(value).cmp(symbols(b).map(value))
            });
            targets.sorted[view as usize] = all;
        }
        targets
    }

    /// All targets of a view.
    pub(super) fn all(&self, view: View) -> Range<usize> {
        0..self.sorted[view as usize].len()
    }

    fn piece(&self, target: Target) -> &Piece {
        &self.pieces[target.piece as usize]
    }

    /// The index of a target's secret.
    pub(super) fn secret(&self, view: View, index: usize) -> usize {
        self.piece(self.sorted[view as usize][index]).secret
    }

    /// How many symbols a target has.
    pub(super) fn len(&self, view: View, index: usize) -> usize {
        self.len_of(view, self.sorted[view as usize][index])
    }

    /// The symbol of a target at a place within its length.
    pub(super) fn symbol(&self, view: View, index: usize, at: usize) -> u8 {
        self.symbol_of(view, self.sorted[view as usize][index], at)
    }

    /// Whether bits of the piece lie in the Base64 character before the target, and in the one
    /// behind it.
    pub(super) fn shares(&self, view: View, index: usize) -> (bool, bool) {
        if view != View::Base64 {
            return (false, false);
        }
        let target = self.sorted[view as usize][index];
        let bits = 8 * self.piece(target).bytes.len() - usize::from(target.offset);
        (target.offset > 0, !bits.is_multiple_of(6))
    }

    fn len_of(&self, view: View, target: Target) -> usize {
        let bytes = self.piece(target).bytes.len();
        match view {
            View::Bytes => bytes,
            View::Hex => 2 * bytes - usize::from(target.offset) / 4,
            View::Base64 => (8 * bytes - usize::from(target.offset)) / 6,
        }
    }

    fn symbol_of(&self, view: View, target: Target, at: usize) -> u8 {
        let bytes = &self.piece(target).bytes;
        match view {
            View::Bytes => bytes[at],
            View::Hex => {
                let byte = bytes[usize::from(target.offset) / 8 + at / 2];
                if at.is_multiple_of(2) {
                    byte >> 4
                } else {
                    byte & 15
                }
            }
            View::Base64 => {
                let bit = usize::from(target.offset) + 6 * at;
                let high = u16::from(bytes[bit / 8]) << 8;
                let low = bytes.get(bit / 8 + 1).copied().map_or(0, u16::from);
                u8::try_from(((high | low) >> (10 - bit % 8)) & 63).unwrap_or_default()
            }
        }
    }

    /// Those of a range, alike in their first `read` symbols and longer than that, whose next symbol
    /// is `symbol`.
    pub(super) fn narrow(
        &self,
        view: View,
        range: Range<usize>,
        read: usize,
        symbol: u8,
    ) -> Range<usize> {
        let sorted = &self.sorted[view as usize];
        let at = |target: &Target| self.symbol_of(view, *target, read);
        if range.len() == 1 {
            let fits = at(&sorted[range.start]) == symbol;
            return if fits { range } else { 0..0 };
        }
        let within = &sorted[range.clone()];
        let low = within.partition_point(|target| at(target) < symbol);
        let high = low + within[low..].partition_point(|target| at(target) == symbol);
        range.start + low..range.start + high
    }
}

/// The symbol that a byte of the text is in a view.
pub(super) fn symbol(view: View, byte: u8) -> Option<u8> {
    match view {
        View::Bytes => Some(byte),
        View::Hex => char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok()),
        View::Base64 => match byte {
            b'A'..=b'Z' => Some(byte - b'A'),
            b'a'..=b'z' => Some(byte - b'a' + 26),
            b'0'..=b'9' => Some(byte - b'0' + 52),
            b'+' | b'-' => Some(62),
            b'/' | b'_' => Some(63),
            _ => None,
        },
    }
}

/// The characters that are a symbol in a view: the plain one, and one for another way of writing.
pub(super) fn characters(view: View, symbol: u8) -> [u8; 2] {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let plain = match view {
        View::Bytes => symbol,
        View::Hex => b"0123456789abcdef"[usize::from(symbol & 15)],
        View::Base64 => BASE64[usize::from(symbol & 63)],
    };
    let other = match (view, plain) {
        (View::Hex, digit) => digit.to_ascii_uppercase(),
        (View::Base64, b'+') => b'-',
        (View::Base64, b'/') => b'_',
        _ => plain,
    };
    [plain, other]
}

/// Whether a byte may stand between the symbols of a view without meaning anything.
pub(super) fn separates(view: View, byte: u8) -> bool {
    match view {
        View::Bytes => false,
        View::Hex => matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n'),
        View::Base64 => matches!(byte, b' ' | b'\t' | b'\r' | b'\n'),
    }
}
