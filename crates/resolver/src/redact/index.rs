//! Where in a text a target may begin.
//!
//! A match either begins with eight bytes that no encoder changed, or an escape stands among them. So
//! two things are looked for: the first eight bytes of every target as they are, called windows here,
//! and escapes whose character goes on a beginning of a window of which the rest stands before them.

use std::collections::HashMap;
use std::ops::Range;

use super::common::may_escape;
use super::skip::{Skip, WINDOW};
use super::targets::{Targets, VIEWS, View, characters};

/// Where an attempt to match begins.
#[derive(Clone)]
pub(super) struct Start {
    pub(super) view: View,
    /// Targets that are alike in what has been read of them.
    pub(super) range: Range<usize>,
}

pub(super) struct Index {
    windows: HashMap<[u8; WINDOW], Vec<Start>>,
    /// The windows in order.
    sorted: Vec<[u8; WINDOW]>,
    skip: Skip,
    beginnings: Beginnings,
    /// The bytes with which windows begin, and those that stand in them.
    first: [bool; 256],
    inside: [bool; 256],
    /// The bytes with which an escape may begin that stands for something in a window, and line ends.
    escapes: [bool; 256],
}

impl Index {
    pub(super) fn new(targets: &Targets) -> Self {
        let mut windows: HashMap<[u8; WINDOW], Vec<Start>> = HashMap::new();
        for view in VIEWS {
            for index in targets.all(view) {
                for window in spelled(targets, view, index) {
                    let starts = windows.entry(window).or_default();
                    match starts.last_mut() {
                        Some(last) if last.view == view && last.range.contains(&index) => {}
                        // Beginnings that are alike are neighbours.
                        Some(last) if last.view == view && last.range.end == index => {
                            last.range.end = index + 1;
                        }
                        _ => starts.push(Start {
                            view,
                            range: index..index + 1,
                        }),
                    }
                }
            }
        }
        let mut sorted: Vec<[u8; WINDOW]> = windows.keys().copied().collect();
        sorted.sort_unstable();
        let (mut first, mut inside) = ([false; 256], [false; 256]);
        for window in windows.keys() {
            first[usize::from(window[0])] = true;
            for &byte in window {
                inside[usize::from(byte)] = true;
            }
        }
        let matters = |byte: u8| match byte {
            b'"' => inside[usize::from(b'"')],
            b'+' => inside[usize::from(b' ')],
            byte => byte == b'\n' || may_escape(byte),
        };
        Self {
            escapes: std::array::from_fn(|byte| u8::try_from(byte).is_ok_and(matters)),
            first,
            inside,
            sorted,
            skip: Skip::new(windows.keys().copied()),
            beginnings: Beginnings::new(windows.keys()),
            windows,
        }
    }

    /// The first place from `from` on where a window may stand, or of which less than a window is
    /// there.
    pub(super) fn next_window(&self, text: &[u8], from: usize) -> usize {
        self.skip.find(text, from)
    }

    /// The first place from `from` on where an escape may begin or a line ends.
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "without branches the compiler compares a block at once"
    )]
    pub(super) fn next_escape(&self, text: &[u8], from: usize) -> Option<usize> {
        // A comparison of a whole block is a few instructions; it finds all but quotes and `+`.
        let quiet = |block: &[u8]| {
            let any = |any, &byte: &u8| {
                any | (byte == b'\\')
                    | (byte == b'%')
                    | (byte == b'&')
                    | (byte == b'\'')
                    | (byte == b'$')
                    | (byte == b'\r')
                    | (byte == b'\n')
            };
            !self.escapes[usize::from(b'"')]
                && !self.escapes[usize::from(b'+')]
                && !block.iter().fold(false, any)
        };
        let mut at = from;
        while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
            if !quiet(block) {
                let found = block
                    .iter()
                    .position(|&byte| self.escapes[usize::from(byte)]);
                if let Some(found) = found {
                    return Some(at + found);
                }
            }
            at += block.len();
        }
        let rest = text.get(at..)?;
        let found = rest
            .iter()
            .position(|&byte| self.escapes[usize::from(byte)])?;
        Some(at + found)
    }

    /// What may begin with a window.
    pub(super) fn starts(&self, window: [u8; WINDOW]) -> &[Start] {
        self.windows.get(&window).map_or(&[], Vec::as_slice)
    }

    /// How many of the bytes before `end` may be the beginning of a window, at most seven: those of
    /// the longest one.
    pub(super) fn begun(&self, text: &[u8], end: usize) -> usize {
        (1..WINDOW.min(end + 1))
            .rev()
            .find(|&len| self.is_beginning(&text[end - len..end]))
            .unwrap_or(0)
    }

    /// Whether a window begins so. It is asked about what would be held back, so it is exact.
    fn is_beginning(&self, text: &[u8]) -> bool {
        self.beginnings.holds(Packed::of(text)) && {
            let at = self
                .sorted
                .partition_point(|window| window[..text.len()] < *text);
            self.sorted
                .get(at)
                .is_some_and(|window| window.starts_with(text))
        }
    }

    /// Whether a window may be under way before `at`.
    pub(super) fn is_under_way(&self, text: &[u8], at: usize) -> bool {
        at.checked_sub(1)
            .is_some_and(|before| self.holds(text[before]))
    }

    /// Whether a byte stands in a window.
    pub(super) fn holds(&self, byte: u8) -> bool {
        self.inside[usize::from(byte)]
    }

    /// Whether a window may go on with `next`, or begin with it, behind what stands before `at`.
    pub(super) fn may_take(&self, text: &[u8], at: usize, next: u8) -> bool {
        self.first[usize::from(next)]
            || self.holds(next)
                && self.is_under_way(text, at)
                && self.continued(text, at, &[next]).next().is_some()
    }

    /// The numbers of bytes before `at`, at most seven, that together with `next` may be the beginning
    /// of a window, or with as much of it as a window has place for.
    pub(super) fn continued(
        &self,
        text: &[u8],
        at: usize,
        next: &[u8],
    ) -> impl Iterator<Item = usize> {
        let next = Packed::of(&next[..next.len().min(WINDOW)]);
        let mut before = 0;
        (0..WINDOW.min(at + 1)).filter(move |&len| {
            if len > 0 {
                before = before << 8 | u64::from(text[at - len]);
            }
            self.beginnings.holds(next.behind(before, len))
        })
    }
}

/// The windows of a target, in each way of writing it.
fn spelled(targets: &Targets, view: View, index: usize) -> impl Iterator<Item = [u8; WINDOW]> {
    let symbols: Vec<u8> = (0..targets.len(view, index).min(WINDOW))
        .map(|at| targets.symbol(view, index, at))
        .collect();
    // What stands between groups of so many symbols. Programs that dump bytes group them by two.
    let separators: &'static [(&'static [u8], usize)] = match view {
        View::Hex => &[(b"", 2), (b":", 2), (b" ", 2), (b" ", 4)],
        View::Bytes | View::Base64 => &[(b"", 2)],
    };
    let manners: &[usize] = if view == View::Bytes { &[0] } else { &[0, 1] };
    let ways = manners
        .iter()
        .flat_map(|&manner| separators.iter().map(move |separator| (manner, *separator)));
    ways.filter_map(move |(manner, (separator, group))| {
        let mut window = Vec::new();
        for (at, symbol) in symbols.iter().enumerate() {
            if at > 0 && at.is_multiple_of(group) {
                window.extend_from_slice(separator);
            }
            window.push(characters(view, *symbol)[manner]);
        }
        window.first_chunk().copied()
    })
    .collect::<Vec<_>>()
    .into_iter()
}

/// Which texts of one to eight bytes are beginnings of windows, with some more that are not (a Bloom
/// filter with one hash).
struct Beginnings {
    bits: Vec<u64>,
    shift: u32,
}

impl Beginnings {
    fn new<'w>(windows: impl ExactSizeIterator<Item = &'w [u8; WINDOW]>) -> Self {
        // Some sixty bits for each: one in sixty that are none passes.
        let size = (windows.len() * WINDOW * 64).next_power_of_two();
        let size = size.clamp(1 << 12, 1 << 26);
        let mut beginnings = Self {
            bits: vec![0; size / 64],
            shift: u64::BITS - size.ilog2(),
        };
        for window in windows {
            for len in 1..=WINDOW {
                let bit = beginnings.bit(Packed::of(&window[..len]));
                beginnings.bits[bit / 64] |= 1 << (bit % 64);
            }
        }
        beginnings
    }

    fn holds(&self, text: Packed) -> bool {
        let bit = self.bit(text);
        text.len > 0 && self.bits[bit / 64] & (1 << (bit % 64)) != 0
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the shift leaves at most 26 bits"
    )]
    fn bit(&self, text: Packed) -> usize {
        let mixed = (text.bytes ^ (text.len as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> self.shift) as usize
    }
}

/// At most eight bytes, the first one lowest.
#[derive(Clone, Copy)]
struct Packed {
    bytes: u64,
    len: usize,
}

impl Packed {
    fn of(text: &[u8]) -> Self {
        let bytes = text.iter().rev();
        Self {
            bytes: bytes.fold(0, |packed, byte| packed << 8 | u64::from(*byte)),
            len: text.len(),
        }
    }

    /// As much of it as has place behind `len` other bytes.
    fn behind(self, before: u64, len: usize) -> Self {
        let fits = self.len.min(WINDOW - len);
        let bytes = if fits == WINDOW {
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
