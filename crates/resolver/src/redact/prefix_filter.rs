//! A Bloom filter of the starts of prefixes: all texts of one to eight bytes that a prefix starts with.

use super::wu_manber::PREFIX_LEN;

/// A Bloom filter with one hash function: it may also hold texts that start no prefix.
pub(super) struct PrefixFilter {
    bits: Vec<u64>,
    shift: u32,
}

impl PrefixFilter {
    pub(super) fn new<'p>(prefixes: impl ExactSizeIterator<Item = &'p [u8; PREFIX_LEN]>) -> Self {
        // Some sixty bits for each text: one in sixty other texts passes.
        let size = (prefixes.len() * PREFIX_LEN * 64).next_power_of_two();
        let size = size.clamp(1 << 12, 1 << 26);
        let mut filter = Self {
            bits: vec![0; size / 64],
            shift: u64::BITS - size.ilog2(),
        };
        for prefix in prefixes {
            for len in 1..=PREFIX_LEN {
                let bit = filter.bit(PackedPrefix::of(&prefix[..len]));
                filter.bits[bit / 64] |= 1 << (bit % 64);
            }
        }
        filter
    }

    #[inline]
    pub(super) fn may_hold(&self, text: PackedPrefix) -> bool {
        let bit = self.bit(text);
        text.len > 0 && self.bits[bit / 64] & (1 << (bit % 64)) != 0
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the shift leaves at most 26 bits"
    )]
    #[inline]
    fn bit(&self, text: PackedPrefix) -> usize {
        let mixed = (text.bytes ^ (text.len as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> self.shift) as usize
    }
}

/// At most eight bytes in one number, the first byte lowest.
#[derive(Clone, Copy)]
pub(super) struct PackedPrefix {
    bytes: u64,
    len: usize,
}

impl PackedPrefix {
    #[inline]
    pub(super) fn of(text: &[u8]) -> Self {
        let bytes = text.iter().rev();
        Self {
            bytes: bytes.fold(0, |packed, byte| packed << 8 | u64::from(*byte)),
            len: text.len(),
        }
    }

    /// `len` other bytes, then as many of these bytes as fit.
    #[inline]
    pub(super) fn after(self, before: u64, len: usize) -> Self {
        let fits = self.len.min(PREFIX_LEN - len);
        let bytes = if fits == PREFIX_LEN {
            self.bytes
        } else {
            self.bytes & ((1 << (8 * fits)) - 1)
        };
        Self {
            bytes: if len == 0 {
                bytes
            } else {
                before | bytes << (8 * len)
            },
            len: len + fits,
        }
    }
}
