//! The bound on the work for one text, so that masking takes time linear in the text.
//!
//! Only a text that repeats the prefix of a value over and over reaches it. From then on a match attempt
//! that has read [`HURRIED_SYMBOLS`] symbols counts as a match of the whole value, without reading on.

/// Branches of one attempt that are followed side by side. Runs of backslashes make the most.
const MAX_BRANCHES: usize = 256;

/// Steps for each byte of the text. Ordinary text takes less than one.
const STEPS_PER_BYTE: usize = 32;

/// Steps that are free, so that a short text is always read in full.
const FREE_STEPS: usize = 1 << 20;

/// So many unfinished attempts, the oldest ones, are read to their end at any cost.
const UNHURRIED: usize = 16;

/// Unfinished attempts beyond which later ones are hurried.
const MAX_ATTEMPTS: usize = 1 << 16;

/// Symbols after which a hurried attempt counts as a match.
pub(super) const HURRIED_SYMBOLS: usize = 16;

/// Branches of a hurried attempt.
const HURRIED_BRANCHES: usize = 2;

/// The steps of all attempts at one text.
#[derive(Default)]
pub(super) struct Budget {
    bytes: usize,
    steps: usize,
    /// How many unfinished attempts are older than the current one.
    older: usize,
    /// Whether the current attempt is read to its end at any cost.
    unhurried: bool,
    /// The end of the last match.
    matched_to: usize,
}

impl Budget {
    /// Adds the allowance for more bytes of text.
    pub(super) fn add_text(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Counts steps of the current attempt.
    pub(super) fn spend(&mut self, steps: usize) {
        self.steps += steps;
    }

    /// Moves positions back, since `by` bytes have left the text.
    pub(super) fn shift(&mut self, by: usize) {
        self.matched_to = self.matched_to.saturating_sub(by);
    }

    /// Records where a match ends.
    pub(super) fn record_match(&mut self, end: usize) {
        self.matched_to = self.matched_to.max(end);
    }

    /// The end of the last match.
    pub(super) fn matched_to(&self) -> usize {
        self.matched_to
    }

    /// Selects the attempt that runs next: a new one, or one that is resumed.
    pub(super) fn select(&mut self, older: usize, is_resumed: bool) {
        self.older = older;
        self.unhurried = is_resumed && older < UNHURRIED;
    }

    /// Whether the current attempt is hurried.
    pub(super) fn is_spent(&self) -> bool {
        let steps = FREE_STEPS + STEPS_PER_BYTE * self.bytes;
        !self.unhurried && (self.older > MAX_ATTEMPTS || self.steps > steps)
    }

    /// How many branches the current attempt may have.
    pub(super) fn max_branches(&self) -> usize {
        if self.is_spent() {
            HURRIED_BRANCHES
        } else {
            MAX_BRANCHES
        }
    }
}
