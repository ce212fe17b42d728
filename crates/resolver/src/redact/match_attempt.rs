//! Matching needles from one position on, symbol by symbol.
//!
//! An escape can be decoded in several ways, so an attempt has branches, like the states of a
//! nondeterministic automaton. Branches that reach the same state at the same position become one.

use std::ops::Range;

use super::alphabet::Alphabet;
use super::budget::{Budget, HURRIED_SYMBOLS};
use super::needles::Needles;
use super::prefilter::Candidate;
use super::unescape::DecodingCache;
use super::unescape::fast_path::may_escape;

/// The most separators in a row: a line end with the indentation after it, shell quotes.
const MAX_SEPARATORS: u8 = 96;

/// The longest match of an attempt.
#[derive(Clone, Copy)]
pub(super) struct Match {
    pub(super) end: usize,
    pub(super) secret: usize,
    /// Whether the Base64 character before the match carries some of the value's bits.
    pub(super) shares_left: bool,
}

/// An attempt that began at `start`, and its state.
pub(super) struct MatchAttempt {
    pub(super) start: usize,
    alphabet: Alphabet,
    /// The needles with which it began.
    range: Range<usize>,
    branches: Vec<Branch>,
    max_branches: usize,
    /// The end of the text that was matched as plain bytes, until an escape came up.
    plain: Option<usize>,
    pub(super) found: Option<Match>,
}

/// One way of decoding the text up to `at`.
#[derive(Clone)]
struct Branch {
    at: usize,
    state: BranchState,
}

#[derive(Clone)]
enum BranchState {
    /// Needles that have equal first `read` symbols and are longer than that, and the number of
    /// separators since the last symbol.
    Symbol {
        range: Range<usize>,
        read: usize,
        separators: u8,
    },
    /// After the last whole Base64 character: one character that carries the last bits, then padding.
    Base64End { character: bool, padding: u8 },
}

impl Branch {
    /// Whether both branches continue alike. The number of separators makes no difference.
    fn is_same(&self, other: &Self) -> bool {
        let key = |branch: &Self| match &branch.state {
            BranchState::Symbol { range, read, .. } => (range.clone(), *read, false),
            BranchState::Base64End { character, padding } => {
                (0..0, usize::from(*padding), *character)
            }
        };
        self.at == other.at && key(self) == key(other)
    }
}

/// The text that an attempt reads.
#[derive(Clone, Copy)]
pub(super) struct Haystack<'t> {
    pub(super) text: &'t [u8],
    /// Whether nothing follows the text.
    pub(super) is_whole: bool,
}

impl MatchAttempt {
    /// An attempt that reads from `at` on. The span to mask begins at `start`; the `read` symbols between
    /// the two match already.
    pub(super) fn new(start: usize, at: usize, from: Candidate, read: usize) -> Self {
        let range = from.range.clone();
        let state = BranchState::Symbol {
            range: from.range,
            read,
            separators: 0,
        };
        Self {
            start,
            alphabet: from.alphabet,
            range,
            branches: vec![Branch { at, state }],
            max_branches: 0,
            plain: (start == at).then_some(at),
            found: None,
        }
    }

    /// Skips text that an earlier attempt at the same needles has matched as plain bytes. A needle that
    /// matches from here on repeats itself there, so the attempt continues after it; any other needle does
    /// not match. Thus a periodic value is not read again from each of its periods.
    pub(super) fn skip_to(&mut self, end: usize) {
        let (start, range) = (self.start, self.range.clone());
        if let (Some(plain), [branch]) = (&mut self.plain, self.branches.as_mut_slice())
            && branch.at < end
        {
            branch.at = end;
            branch.state = BranchState::Symbol {
                range,
                read: end - start,
                separators: 0,
            };
            *plain = end;
        }
    }

    /// The needles with which the attempt began.
    pub(super) fn needles(&self) -> (Alphabet, Range<usize>) {
        (self.alphabet, self.range.clone())
    }

    /// The end of the text that was matched as plain bytes and has no other decoding.
    pub(super) fn plain_end(&self) -> Option<usize> {
        self.plain
    }

    /// Whether more text may change the result.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.branches.is_empty()
    }

    /// Moves all positions back, since `by` bytes have left the text.
    pub(super) fn shift(&mut self, by: usize) {
        self.start -= by;
        self.plain = self.plain.map(|end| end - by);
        self.branches.iter_mut().for_each(|branch| branch.at -= by);
        if let Some(found) = &mut self.found {
            found.end -= by;
        }
    }

    /// Reads on to the end of the text.
    pub(super) fn run(
        &mut self,
        needles: &Needles,
        haystack: Haystack,
        cache: &mut DecodingCache,
        budget: &mut Budget,
    ) {
        let Haystack { text, is_whole } = haystack;
        let mut waiting = Vec::new();
        self.max_branches = budget.max_branches();
        while let Some(branch) = self.take_earliest() {
            budget.spend(1 + self.branches.len() / 8);
            if budget.is_spent() && self.give_up(needles, &branch, budget.matched_to()) {
                return;
            }
            match text.get(branch.at) {
                None if is_whole => {}
                None => waiting.push(branch),
                Some(&byte) if !may_escape(byte) => {
                    self.extend_plain(&branch);
                    self.step(needles, &branch, &[byte], 1);
                }
                Some(_) => match cache.decode(text, branch.at, is_whole) {
                    None => waiting.push(branch),
                    Some(decodings) => {
                        self.plain = None;
                        for decoding in decodings.as_slice() {
                            let width = usize::from(decoding.width);
                            self.step(needles, &branch, decoding.bytes(), width);
                        }
                    }
                },
            }
        }
        self.branches = waiting;
    }

    /// Extends the plain text, as long as no needle ends or differs from the others.
    fn extend_plain(&mut self, branch: &Branch) {
        let is_same = |range: &Range<usize>| *range == self.range;
        self.plain = self.plain.filter(|_| self.branches.is_empty());
        if let (Some(end), BranchState::Symbol { range, .. }) = (&mut self.plain, &branch.state)
            && is_same(range)
        {
            *end = branch.at;
        }
    }

    /// Takes the branch with the lowest position, so that branches that meet become one.
    fn take_earliest(&mut self) -> Option<Branch> {
        let at = match self.branches.as_slice() {
            [] => return None,
            [_] => 0,
            branches => (0..branches.len()).min_by_key(|&index| branches[index].at)?,
        };
        Some(self.branches.swap_remove(at))
    }

    /// Takes a prefix that is long enough for the whole value. The match ends where the value would end if
    /// the rest of it took as many bytes for each symbol.
    fn give_up(&mut self, needles: &Needles, branch: &Branch, matched_to: usize) -> bool {
        let BranchState::Symbol { range, read, .. } = &branch.state else {
            return false;
        };
        if *read < HURRIED_SYMBOLS {
            return false;
        }
        let longest = range
            .clone()
            .map(|index| needles.len(self.alphabet, index))
            .max();
        let rest = longest.unwrap_or(*read) - read;
        let bytes_per_symbol = (branch.at - self.start).div_ceil(*read);
        // Inside a match that was read to its end, a periodic value begins again and again.
        let beyond = if self.start < matched_to {
            0
        } else {
            rest * bytes_per_symbol
        };
        self.record(needles, range.start, branch.at + beyond);
        self.branches.clear();
        true
    }

    fn follow(&mut self, at: usize, state: BranchState) {
        let branch = Branch { at, state };
        let is_known = || self.branches.iter().any(|other| other.is_same(&branch));
        if self.branches.len() < self.max_branches && !is_known() {
            self.branches.push(branch);
        }
    }

    /// Follows a branch over one decoding: `bytes` of the value, spelled in `width` bytes of the text.
    fn step(&mut self, needles: &Needles, branch: &Branch, bytes: &[u8], width: usize) {
        let at = branch.at + width;
        match &branch.state {
            BranchState::Symbol {
                range,
                read,
                separators,
            } => match (self.alphabet, bytes) {
                (_, []) => self.pass_separator(at, range, *read, *separators),
                (Alphabet::Bytes, bytes) => self.take(needles, at, range.clone(), *read, bytes),
                (alphabet, &[byte]) => match alphabet.symbol(byte) {
                    Some(symbol) => self.take(needles, at, range.clone(), *read, &[symbol]),
                    None if alphabet.may_separate(byte, *read, *separators) => {
                        self.pass_separator(at, range, *read, *separators);
                    }
                    None => {}
                },
                (Alphabet::Hex | Alphabet::Base64, _) => {}
            },
            BranchState::Base64End { character, padding } => match bytes {
                [byte] if *character && Alphabet::Base64.symbol(*byte).is_some() => {
                    self.extend_base64(at, 2);
                }
                b"=" if *padding > 0 => self.extend_base64(at, padding - 1),
                _ => {}
            },
        }
    }

    fn pass_separator(&mut self, at: usize, range: &Range<usize>, read: usize, separators: u8) {
        self.plain = None;
        if separators < MAX_SEPARATORS {
            let state = BranchState::Symbol {
                range: range.clone(),
                read,
                separators: separators + 1,
            };
            self.follow(at, state);
        }
    }

    /// Matches symbols, and records every needle that ends with one of them.
    fn take(
        &mut self,
        needles: &Needles,
        at: usize,
        mut range: Range<usize>,
        mut read: usize,
        symbols: &[u8],
    ) {
        for &symbol in symbols {
            range = needles.narrow(self.alphabet, range, read, symbol);
            read += 1;
            // The shortest needle of a range comes first.
            while !range.is_empty() && needles.len(self.alphabet, range.start) == read {
                self.record(needles, range.start, at);
                if needles.shared_characters(self.alphabet, range.start).1 {
                    let state = BranchState::Base64End {
                        character: true,
                        padding: 0,
                    };
                    self.follow(at, state);
                }
                range.start += 1;
            }
            if range.is_empty() {
                return;
            }
        }
        let state = BranchState::Symbol {
            range,
            read,
            separators: 0,
        };
        self.follow(at, state);
    }

    /// Keeps a match, unless a longer one is known.
    fn record(&mut self, needles: &Needles, index: usize, end: usize) {
        if self.found.is_none_or(|found| found.end <= end) {
            self.found = Some(Match {
                end,
                secret: needles.secret(self.alphabet, index),
                shares_left: needles.shared_characters(self.alphabet, index).0,
            });
        }
    }

    /// Adds the last character or padding of Base64 to the match.
    fn extend_base64(&mut self, at: usize, padding: u8) {
        if let Some(found) = &mut self.found {
            found.end = found.end.max(at);
        }
        let state = BranchState::Base64End {
            character: false,
            padding,
        };
        self.follow(at, state);
    }
}
