//! The multi-pattern search of Wu and Manber (1994), for the first eight bytes of matches.
//!
//! Nearly all of an output holds no value. Four bytes of the text tell how far the next position lies at
//! which a match may begin, so most of the text is skipped. The search may stop at a position where no
//! match begins, but never skips one where a match does.

/// The bytes of a match that are searched for.
pub(super) const PREFIX_LEN: usize = 8;
const BLOCK: usize = 4;
const SHIFT_BITS: u32 = 18;
const START_BITS: u32 = 20;

pub(super) struct WuManber {
    /// By the hash of four bytes: the least distance from them to the end of a prefix.
    shifts: Vec<u8>,
    /// By the hash of eight bytes, one bit: whether they are a prefix.
    starts: Vec<u64>,
}

impl WuManber {
    pub(super) fn new(prefixes: impl Iterator<Item = [u8; PREFIX_LEN]>) -> Self {
        let far = u8::try_from(PREFIX_LEN - BLOCK + 1).unwrap_or_default();
        let mut searcher = Self {
            shifts: vec![far; 1 << SHIFT_BITS],
            starts: vec![0; 1 << (START_BITS - 6)],
        };
        for prefix in prefixes {
            for (shift, block) in (0..far).zip(prefix.windows(BLOCK).rev()) {
                let slot = &mut searcher.shifts[shift_slot(block)];
                *slot = shift.min(*slot);
            }
            let bit = start_bit(prefix);
            searcher.starts[bit / 64] |= 1 << (bit % 64);
        }
        searcher
    }

    /// The first position from `from` on where a match may begin, or where the text is too short to tell.
    pub(super) fn find(&self, text: &[u8], from: usize) -> usize {
        let mut at = from;
        while let Some(window) = text
            .get(at..)
            .and_then(|rest| rest.first_chunk::<PREFIX_LEN>())
        {
            match self.shifts[shift_slot(&window[PREFIX_LEN - BLOCK..])] {
                0 => {
                    let bit = start_bit(*window);
                    if self.starts[bit / 64] & (1 << (bit % 64)) != 0 {
                        return at;
                    }
                    at += 1;
                }
                shift => at += usize::from(shift),
            }
        }
        at
    }
}

fn shift_slot(block: &[u8]) -> usize {
    let number = block
        .first_chunk()
        .map_or(0, |block| u32::from_le_bytes(*block));
    // Both cases of a letter get one slot, since hex has both.
    let folded = number | 0x2020_2020;
    (folded.wrapping_mul(0x9E37_79B1) >> (u32::BITS - SHIFT_BITS)) as usize
}

fn start_bit(window: [u8; PREFIX_LEN]) -> usize {
    let number = u64::from_le_bytes(window).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (number >> (u64::BITS - START_BITS)) as usize
}
