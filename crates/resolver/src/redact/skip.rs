//! Passing over text in which no match can begin.
//!
//! Nearly all of an output holds no value. The first eight bytes of a match tell where one may begin:
//! four of them at a time say how far the next such place is (after Wu and Manber). It errs on one
//! side only: a place that it passes over begins no match.

/// The bytes of a match that are looked at.
pub(super) const WINDOW: usize = 8;
const BLOCK: usize = 4;
const SHIFT_BITS: u32 = 18;
const START_BITS: u32 = 20;

pub(super) struct Skip {
    /// By hash of four bytes: how far it is at least from them to where a window may end.
    shifts: Vec<u8>,
    /// By hash of a window, a bit: whether it is looked for.
    starts: Vec<u64>,
}

impl Skip {
    pub(super) fn new(windows: impl Iterator<Item = [u8; WINDOW]>) -> Self {
        let far = u8::try_from(WINDOW - BLOCK + 1).unwrap_or_default();
        let mut skip = Self {
            shifts: vec![far; 1 << SHIFT_BITS],
            starts: vec![0; 1 << (START_BITS - 6)],
        };
        for window in windows {
            for (shift, block) in (0..far).zip(window.windows(BLOCK).rev()) {
                let slot = &mut skip.shifts[shift_slot(block)];
                *slot = shift.min(*slot);
            }
            let bit = start_bit(window);
            skip.starts[bit / 64] |= 1 << (bit % 64);
        }
        skip
    }

    /// The first place from `from` on where a match may begin, or which cannot be judged yet.
    pub(super) fn find(&self, text: &[u8], from: usize) -> usize {
        let mut at = from;
        while let Some(window) = text.get(at..).and_then(|rest| rest.first_chunk::<WINDOW>()) {
            match self.shifts[shift_slot(&window[WINDOW - BLOCK..])] {
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
    // Letters in either case are alike here: hex has both.
    let folded = number | 0x2020_2020;
    (folded.wrapping_mul(0x9E37_79B1) >> (u32::BITS - SHIFT_BITS)) as usize
}

fn start_bit(window: [u8; WINDOW]) -> usize {
    let number = u64::from_le_bytes(window).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (number >> (u64::BITS - START_BITS)) as usize
}
