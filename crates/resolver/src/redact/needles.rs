//! The needles of the search: every part of every value, as bytes, as hex digits and as Base64.
//!
//! A needle is a value part in one alphabet, from one bit on. Its symbols are computed from the part's
//! bytes, not stored. The needles of one alphabet are sorted, so those with equal prefixes are neighbours,
//! and a search that has read `n` symbols holds a range of them.

use std::ops::Range;

use zeroize::Zeroizing;

use super::alphabet::{ALPHABETS, Alphabet};
use super::{base64, hex};

/// A part of a value that is masked on its own.
pub(super) struct ValuePart {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// The index of the secret.
    pub(super) secret: usize,
}

#[derive(Clone, Copy)]
struct Needle {
    part: u32,
    /// The bit of the part with which the needle begins.
    first_bit: u8,
}

/// Value parts and the sorted needles of each alphabet.
pub(super) struct Needles {
    parts: Vec<ValuePart>,
    sorted: [Vec<Needle>; ALPHABETS.len()],
}

impl Needles {
    pub(super) fn new(parts: Vec<ValuePart>) -> Self {
        let mut needles = Self {
            parts,
            sorted: Default::default(),
        };
        for alphabet in ALPHABETS {
            let first_bits = match alphabet {
                Alphabet::Bytes => &[0],
                Alphabet::Hex => hex::FIRST_BITS,
                Alphabet::Base64 => base64::FIRST_BITS,
            };
            let all = (0..needles.parts.len()).flat_map(|part| {
                let part = u32::try_from(part).unwrap_or(u32::MAX);
                first_bits
                    .iter()
                    .map(move |&first_bit| Needle { part, first_bit })
            });
            let mut all: Vec<Needle> = all.collect();
            all.sort_by(|a, b| {
                let symbols = |needle: &Needle| {
                    let needle = *needle;
                    (0..needles.len_of(alphabet, needle)).map(move |at| (needle, at))
                };
                let value = |(needle, at)| needles.symbol_of(alphabet, needle, at);
                symbols(a).map(value).cmp(symbols(b).map(value))
            });
            needles.sorted[alphabet as usize] = all;
        }
        needles
    }

    /// All needles of an alphabet.
    pub(super) fn all(&self, alphabet: Alphabet) -> Range<usize> {
        0..self.sorted[alphabet as usize].len()
    }

    fn part(&self, needle: Needle) -> &ValuePart {
        &self.parts[needle.part as usize]
    }

    /// The index of a needle's secret.
    pub(super) fn secret(&self, alphabet: Alphabet, index: usize) -> usize {
        self.part(self.sorted[alphabet as usize][index]).secret
    }

    /// How many symbols a needle has.
    pub(super) fn len(&self, alphabet: Alphabet, index: usize) -> usize {
        self.len_of(alphabet, self.sorted[alphabet as usize][index])
    }

    /// The symbol of a needle at a position within its length.
    pub(super) fn symbol(&self, alphabet: Alphabet, index: usize, at: usize) -> u8 {
        self.symbol_of(alphabet, self.sorted[alphabet as usize][index], at)
    }

    /// Whether the Base64 characters before and after the needle carry bits of the value part.
    pub(super) fn shared_characters(&self, alphabet: Alphabet, index: usize) -> (bool, bool) {
        if alphabet != Alphabet::Base64 {
            return (false, false);
        }
        let needle = self.sorted[alphabet as usize][index];
        let bytes = self.part(needle).bytes.len();
        base64::shared_characters(bytes, usize::from(needle.first_bit))
    }

    fn len_of(&self, alphabet: Alphabet, needle: Needle) -> usize {
        let bytes = self.part(needle).bytes.len();
        match alphabet {
            Alphabet::Bytes => bytes,
            Alphabet::Hex => hex::len(bytes, usize::from(needle.first_bit)),
            Alphabet::Base64 => base64::len(bytes, usize::from(needle.first_bit)),
        }
    }

    fn symbol_of(&self, alphabet: Alphabet, needle: Needle, at: usize) -> u8 {
        let bytes = &self.part(needle).bytes;
        match alphabet {
            Alphabet::Bytes => bytes[at],
            Alphabet::Hex => hex::symbol_at(bytes, usize::from(needle.first_bit), at),
            Alphabet::Base64 => base64::symbol_at(bytes, usize::from(needle.first_bit), at),
        }
    }

    /// The needles of a range whose next symbol is `symbol`. All needles of the range have equal first
    /// `read` symbols and are longer than that.
    pub(super) fn narrow(
        &self,
        alphabet: Alphabet,
        range: Range<usize>,
        read: usize,
        symbol: u8,
    ) -> Range<usize> {
        let sorted = &self.sorted[alphabet as usize];
        let at = |needle: &Needle| self.symbol_of(alphabet, *needle, read);
        if range.len() == 1 {
            let fits = at(&sorted[range.start]) == symbol;
            return if fits { range } else { 0..0 };
        }
        let within = &sorted[range.clone()];
        let low = within.partition_point(|needle| at(needle) < symbol);
        let high = low + within[low..].partition_point(|needle| at(needle) == symbol);
        range.start + low..range.start + high
    }
}
