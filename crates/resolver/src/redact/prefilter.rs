//! Where in a text a needle may begin.
//!
//! The first eight characters of a needle, spelled without escapes, are its prefix here. A match either
//! begins with a prefix as it is, or an escape stands among its first eight characters. So the prefilter
//! finds prefixes, and escapes whose character continues the start of a prefix that stands before them.

use std::collections::HashMap;
use std::ops::Range;

use super::alphabet::{ALPHABETS, Alphabet};
use super::hex;
use super::needles::Needles;
use super::prefix_filter::{PackedPrefix, PrefixFilter};
use super::unescape::fast_path::may_escape;
use super::wu_manber::{PREFIX_LEN, WuManber};

/// Needles that may match at a position.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) alphabet: Alphabet,
    /// Needles that have equal symbols as far as they were read.
    pub(super) range: Range<usize>,
}

pub(super) struct Prefilter {
    candidates: HashMap<[u8; PREFIX_LEN], Vec<Candidate>>,
    /// The prefixes in order.
    sorted: Vec<[u8; PREFIX_LEN]>,
    searcher: WuManber,
    starts_of_prefixes: PrefixFilter,
    /// The first bytes of prefixes, and all bytes of prefixes.
    first: [bool; 256],
    inside: [bool; 256],
    /// The first bytes of escapes that may stand for a byte of a prefix, and line ends.
    escapes: [bool; 256],
}

impl Prefilter {
    pub(super) fn new(needles: &Needles) -> Self {
        let candidates = candidates(needles);
        let mut sorted: Vec<[u8; PREFIX_LEN]> = candidates.keys().copied().collect();
        sorted.sort_unstable();
        let (mut first, mut inside) = ([false; 256], [false; 256]);
        for prefix in candidates.keys() {
            first[usize::from(prefix[0])] = true;
            for &byte in prefix {
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
            searcher: WuManber::new(candidates.keys().copied()),
            starts_of_prefixes: PrefixFilter::new(candidates.keys()),
            candidates,
        }
    }

    /// The first position from `from` on where a prefix may stand, or where the text is too short to tell.
    pub(super) fn next_prefix(&self, text: &[u8], from: usize) -> usize {
        self.searcher.find(text, from)
    }

    /// The first position from `from` on where an escape may begin or a line ends.
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "without branches the compiler compares a block at once"
    )]
    pub(super) fn next_escape(&self, text: &[u8], from: usize) -> Option<usize> {
        // Comparing a whole block takes a few instructions. It finds all escapes but quotes and `+`.
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

    /// The needles that have a prefix.
    pub(super) fn candidates(&self, prefix: [u8; PREFIX_LEN]) -> &[Candidate] {
        self.candidates.get(&prefix).map_or(&[], Vec::as_slice)
    }

    /// How many of the bytes before `end` may be the start of a prefix: at most seven, and as many as
    /// possible.
    pub(super) fn partial_prefix(&self, text: &[u8], end: usize) -> usize {
        (1..PREFIX_LEN.min(end + 1))
            .rev()
            .find(|&len| self.starts_a_prefix(&text[end - len..end]))
            .unwrap_or(0)
    }

    /// Whether a prefix starts with a text. The answer is exact, since it decides what is held back.
    fn starts_a_prefix(&self, text: &[u8]) -> bool {
        self.starts_of_prefixes.may_hold(PackedPrefix::of(text)) && {
            let at = self
                .sorted
                .partition_point(|prefix| prefix[..text.len()] < *text);
            self.sorted
                .get(at)
                .is_some_and(|prefix| prefix.starts_with(text))
        }
    }

    /// Whether the byte before `at` may belong to a prefix.
    pub(super) fn may_be_inside(&self, text: &[u8], at: usize) -> bool {
        at.checked_sub(1)
            .is_some_and(|before| self.holds(text[before]))
    }

    /// Whether a byte stands in a prefix.
    pub(super) fn holds(&self, byte: u8) -> bool {
        self.inside[usize::from(byte)]
    }

    /// Whether `next` may begin a prefix, or continue one that begins before `at`.
    pub(super) fn may_take(&self, text: &[u8], at: usize, next: u8) -> bool {
        self.first[usize::from(next)]
            || self.holds(next)
                && self.may_be_inside(text, at)
                && self.continued(text, at, &[next]).next().is_some()
    }

    /// All numbers of bytes before `at`, at most seven, that together with `next` may start a prefix. Bytes
    /// of `next` that go beyond a prefix do not count.
    pub(super) fn continued(
        &self,
        text: &[u8],
        at: usize,
        next: &[u8],
    ) -> impl Iterator<Item = usize> {
        let next = PackedPrefix::of(&next[..next.len().min(PREFIX_LEN)]);
        let mut before = 0;
        (0..PREFIX_LEN.min(at + 1)).filter(move |&len| {
            if len > 0 {
                before = before << 8 | u64::from(text[at - len]);
            }
            self.starts_of_prefixes.may_hold(next.after(before, len))
        })
    }
}

fn candidates(needles: &Needles) -> HashMap<[u8; PREFIX_LEN], Vec<Candidate>> {
    let mut all: HashMap<[u8; PREFIX_LEN], Vec<Candidate>> = HashMap::new();
    for alphabet in ALPHABETS {
        for index in needles.all(alphabet) {
            for prefix in prefixes(needles, alphabet, index) {
                let candidates = all.entry(prefix).or_default();
                match candidates.last_mut() {
                    Some(last) if last.alphabet == alphabet && last.range.contains(&index) => {}
                    // Needles with equal prefixes are neighbours.
                    Some(last) if last.alphabet == alphabet && last.range.end == index => {
                        last.range.end = index + 1;
                    }
                    _ => candidates.push(Candidate {
                        alphabet,
                        range: index..index + 1,
                    }),
                }
            }
        }
    }
    all
}

/// The prefixes of a needle, in each variant of its alphabet and with each separator.
fn prefixes(
    needles: &Needles,
    alphabet: Alphabet,
    index: usize,
) -> impl Iterator<Item = [u8; PREFIX_LEN]> {
    let symbols: Vec<u8> = (0..needles.len(alphabet, index).min(PREFIX_LEN))
        .map(|at| needles.symbol(alphabet, index, at))
        .collect();
    let groups: &'static [(&'static [u8], usize)] = match alphabet {
        Alphabet::Hex => hex::GROUPS,
        Alphabet::Bytes | Alphabet::Base64 => &[(b"", 2)],
    };
    let variants: &[usize] = if alphabet == Alphabet::Bytes {
        &[0]
    } else {
        &[0, 1]
    };
    let spellings = variants
        .iter()
        .flat_map(|&variant| groups.iter().map(move |group| (variant, *group)));
    spellings
        .filter_map(move |(variant, (separator, group))| {
            let mut prefix = Vec::new();
            for (at, symbol) in symbols.iter().enumerate() {
                if at > 0 && at.is_multiple_of(group) {
                    prefix.extend_from_slice(separator);
                }
                prefix.push(alphabet.characters(*symbol)[variant]);
            }
            prefix.first_chunk().copied()
        })
        .collect::<Vec<_>>()
        .into_iter()
}
