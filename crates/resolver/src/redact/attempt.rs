//! Reading a target from a place on, symbol by symbol, in every way the text can be read.

use std::collections::HashMap;
use std::ops::Range;

use super::common::may_escape;
use super::index::Start;
use super::spelling::{Reader, Readings};
use super::targets::{Targets, View, separates, symbol};

/// Ways of reading one text that are followed side by side. Runs of backslashes make the most.
const MAX_WAYS: usize = 256;

/// The most bytes in a row that mean nothing: a line end with the indentation behind it, quotes.
const MAX_IDLE: u8 = 96;

/// Steps for each byte of the text. Ordinary text takes less than one.
const STEPS_PER_BYTE: usize = 32;

/// Steps that are free, so that short texts are never judged in haste.
const FREE_STEPS: usize = 1 << 20;

/// Attempts under way that are read to their end, whatever it takes: those that began first.
const PATIENT: usize = 16;

/// Attempts under way, beyond which later ones are judged in haste.
const MAX_WAITING: usize = 1 << 16;

/// Symbols after which a beginning counts as a match where time runs out.
const HASTY: usize = 16;

/// Ways that are followed where time runs out.
const HASTY_WAYS: usize = 2;

/// Readings that are remembered.
const MAX_REMEMBERED: usize = 1 << 14;

/// The bound on all attempts together, so that masking is linear in the text. It is reached only by
/// a text that repeats a beginning of a value over and over. Then what has [`HASTY`] symbols of a
/// value counts as the whole value, without reading further.
#[derive(Default)]
pub(super) struct Effort {
    reader: Reader,
    /// Readings of places of the text, which are asked for again and again.
    remembered: HashMap<usize, Readings>,
    pub(super) bytes: usize,
    steps: usize,
    /// How many attempts that are under way began before the one that runs.
    before: usize,
    /// Whether the one that runs is read to its end, whatever it takes.
    patient: bool,
    /// The end of what has been found so far.
    covered: usize,
}

impl Effort {
    /// All readings of a place, see [`Reader::read`].
    pub(super) fn read(&mut self, text: &[u8], at: usize, whole: bool) -> Option<Readings> {
        if let Some(readings) = self.remembered.get(&at) {
            return Some(*readings);
        }
        let readings = self.reader.read(text, at, whole)?;
        if readings.as_slice().len() > 2 {
            if self.remembered.len() == MAX_REMEMBERED {
                self.remembered.clear();
            }
            self.remembered.insert(at, readings);
        }
        Some(readings)
    }

    /// Forgets places, since bytes have left the text.
    pub(super) fn shift(&mut self, by: usize) {
        self.covered = self.covered.saturating_sub(by);
        self.remembered.clear();
    }

    /// Notes where a match ends.
    pub(super) fn cover(&mut self, end: usize) {
        self.covered = self.covered.max(end);
    }

    /// Says which attempt runs next: one that has just begun, or goes on.
    pub(super) fn turn_to(&mut self, before: usize, goes_on: bool) {
        self.before = before;
        self.patient = goes_on && before < PATIENT;
    }

    fn is_spent(&self) -> bool {
        let steps = FREE_STEPS + STEPS_PER_BYTE * self.bytes;
        !self.patient && (self.before > MAX_WAITING || self.steps > steps)
    }

    fn ways(&self) -> usize {
        if self.is_spent() {
            HASTY_WAYS
        } else {
            MAX_WAYS
        }
    }
}

/// What an attempt has found.
#[derive(Clone, Copy)]
pub(super) struct Match {
    pub(super) end: usize,
    pub(super) secret: usize,
    /// The Base64 character before the match carries some of the value's bits.
    pub(super) shares_left: bool,
}

/// An attempt that began at `start`, and where it is.
pub(super) struct Attempt {
    pub(super) start: usize,
    view: View,
    /// The targets with which it began.
    range: Range<usize>,
    ways: Vec<Way>,
    /// The most of them.
    most: usize,
    /// The end of what was read byte by byte, until something could be read in another way.
    plain: Option<usize>,
    /// The longest match.
    pub(super) found: Option<Match>,
}

/// One way of reading the text up to `at`.
#[derive(Clone)]
struct Way {
    at: usize,
    next: Next,
}

impl Way {
    /// Whether both go on in the same way, however many bytes without meaning they have passed.
    fn is_same(&self, other: &Self) -> bool {
        let key = |way: &Self| match &way.next {
            Next::Symbol { range, read, .. } => (range.clone(), *read, false),
            Next::Rest { character, padding } => (0..0, usize::from(*padding), *character),
        };
        self.at == other.at && key(self) == key(other)
    }
}

#[derive(Clone)]
enum Next {
    /// Targets that are alike in the first `read` symbols and longer than that, and how many bytes
    /// without meaning have just been passed.
    Symbol {
        range: Range<usize>,
        read: usize,
        idle: u8,
    },
    /// Behind the last whole Base64 character: one that holds some more bits, then padding.
    Rest { character: bool, padding: u8 },
}

impl Attempt {
    /// Reads from `at` on; the mask begins at `start`, and the `read` symbols between them are as they
    /// should be.
    pub(super) fn new(start: usize, at: usize, from: Start, read: usize) -> Self {
        let range = from.range.clone();
        let next = Next::Symbol {
            range: from.range,
            read,
            idle: 0,
        };
        Self {
            start,
            view: from.view,
            range,
            ways: vec![Way { at, next }],
            most: MAX_WAYS,
            plain: (start == at).then_some(at),
            found: None,
        }
    }

    /// Leaves out what an earlier attempt at the same targets has read byte by byte. Where one of them
    /// matches from here on, it repeats itself, and so it goes on behind that; else it does not match. So
    /// a value that repeats itself is not read again from each of its beginnings.
    pub(super) fn pass_over(&mut self, end: usize) {
        let (start, range) = (self.start, self.range.clone());
        if let (Some(plain), [way]) = (&mut self.plain, self.ways.as_mut_slice())
            && way.at < end
        {
            let (read, idle) = (end - start, 0);
            way.at = end;
            way.next = Next::Symbol { range, read, idle };
            *plain = end;
        }
    }

    /// The targets with which it began at its start.
    pub(super) fn targets(&self) -> (View, Range<usize>) {
        (self.view, self.range.clone())
    }

    /// The end of what was read byte by byte and cannot be read in another way.
    pub(super) fn plain_end(&self) -> Option<usize> {
        self.plain
    }

    /// Whether more text may change what it has found.
    pub(super) fn is_under_way(&self) -> bool {
        !self.ways.is_empty()
    }

    /// Moves all places back by `by` bytes, which have left the text.
    pub(super) fn shift(&mut self, by: usize) {
        self.start -= by;
        self.plain = self.plain.map(|end| end - by);
        self.ways.iter_mut().for_each(|way| way.at -= by);
        if let Some(found) = &mut self.found {
            found.end -= by;
        }
    }

    /// Reads on as far as the text goes; `whole` says that nothing follows it.
    pub(super) fn run(&mut self, targets: &Targets, text: &[u8], whole: bool, effort: &mut Effort) {
        let mut waiting = Vec::new();
        self.most = effort.ways();
        while let Some(way) = self.earliest() {
            effort.steps += 1 + self.ways.len() / 8;
            if effort.is_spent() && self.give_up(targets, &way, effort.covered) {
                return;
            }
            match text.get(way.at) {
                None if whole => {}
                None => waiting.push(way),
                Some(&byte) if !may_escape(byte) => {
                    self.pass_plainly(&way);
                    self.step(targets, &way, &[byte], 1);
                }
                Some(_) => match effort.read(text, way.at, whole) {
                    None => waiting.push(way),
                    Some(readings) => {
                        self.plain = None;
                        for reading in readings.as_slice() {
                            self.step(targets, &way, reading.bytes(), usize::from(reading.width));
                        }
                    }
                },
            }
        }
        self.ways = waiting;
    }

    /// Moves the end of what was read plainly, as long as no target differs from the others or ends.
    fn pass_plainly(&mut self, way: &Way) {
        let is_same = |range: &Range<usize>| *range == self.range;
        self.plain = self.plain.filter(|_| self.ways.is_empty());
        if let (Some(end), Next::Symbol { range, .. }) = (&mut self.plain, &way.next)
            && is_same(range)
        {
            *end = way.at;
        }
    }

    /// Takes the way that is least far, so that ways which meet become one.
    fn earliest(&mut self) -> Option<Way> {
        let at = match self.ways.as_slice() {
            [] => return None,
            [_] => 0,
            ways => (0..ways.len()).min_by_key(|&index| ways[index].at)?,
        };
        Some(self.ways.swap_remove(at))
    }

    /// Takes a beginning that is long enough for the whole value: it is masked as far as the value
    /// would reach if the rest of it took as many bytes for each symbol.
    fn give_up(&mut self, targets: &Targets, way: &Way, covered: usize) -> bool {
        let Next::Symbol { range, read, .. } = &way.next else {
            return false;
        };
        if *read < HASTY {
            return false;
        }
        let longest = range
            .clone()
            .map(|index| targets.len(self.view, index))
            .max();
        let rest = longest.unwrap_or(*read) - read;
        let spelled = (way.at - self.start).div_ceil(*read);
        // Within a match that was read to its end, a value that repeats itself begins again and again.
        let beyond = if self.start < covered {
            0
        } else {
            rest * spelled
        };
        self.find(targets, range.start, way.at + beyond);
        self.ways.clear();
        true
    }

    fn follow(&mut self, at: usize, next: Next) {
        let way = Way { at, next };
        if self.ways.len() < self.most && !self.ways.iter().any(|other| other.is_same(&way)) {
            self.ways.push(way);
        }
    }

    fn step(&mut self, targets: &Targets, way: &Way, bytes: &[u8], width: usize) {
        let at = way.at + width;
        match &way.next {
            Next::Symbol { range, read, idle } => match (self.view, bytes) {
                (_, []) => self.pass(at, range, *read, *idle),
                (View::Bytes, bytes) => self.take(targets, at, range.clone(), *read, bytes),
                (view, &[byte]) => match symbol(view, byte) {
                    Some(symbol) => self.take(targets, at, range.clone(), *read, &[symbol]),
                    None if may_separate(view, byte, *read, *idle) => {
                        self.pass(at, range, *read, *idle);
                    }
                    None => {}
                },
                (View::Hex | View::Base64, _) => {}
            },
            Next::Rest { character, padding } => match bytes {
                [byte] if *character && symbol(View::Base64, *byte).is_some() => {
                    self.extend(at, 2);
                }
                b"=" if *padding > 0 => self.extend(at, padding - 1),
                _ => {}
            },
        }
    }

    fn pass(&mut self, at: usize, range: &Range<usize>, read: usize, idle: u8) {
        self.plain = None;
        if idle < MAX_IDLE {
            let next = Next::Symbol {
                range: range.clone(),
                read,
                idle: idle + 1,
            };
            self.follow(at, next);
        }
    }

    fn take(
        &mut self,
        targets: &Targets,
        at: usize,
        mut range: Range<usize>,
        mut read: usize,
        symbols: &[u8],
    ) {
        for &symbol in symbols {
            range = targets.narrow(self.view, range, read, symbol);
            read += 1;
            // The shortest comes first.
            while !range.is_empty() && targets.len(self.view, range.start) == read {
                self.find(targets, range.start, at);
                if targets.shares(self.view, range.start).1 {
                    let next = Next::Rest {
                        character: true,
                        padding: 0,
                    };
                    self.follow(at, next);
                }
                range.start += 1;
            }
            if range.is_empty() {
                return;
            }
        }
        let idle = 0;
        self.follow(at, Next::Symbol { range, read, idle });
    }

    fn find(&mut self, targets: &Targets, index: usize, end: usize) {
        if self.found.is_none_or(|found| found.end <= end) {
            self.found = Some(Match {
                end,
                secret: targets.secret(self.view, index),
                shares_left: targets.shares(self.view, index).0,
            });
        }
    }

    fn extend(&mut self, at: usize, padding: u8) {
        if let Some(found) = &mut self.found {
            found.end = found.end.max(at);
        }
        let next = Next::Rest {
            character: false,
            padding,
        };
        self.follow(at, next);
    }
}

/// Whether a byte may stand behind `read` symbols without meaning anything. Blanks in Base64 are the
/// indentation of a line; pairs of hex digits stay together.
fn may_separate(view: View, byte: u8, read: usize, idle: u8) -> bool {
    let is_line_end = matches!(byte, b'\r' | b'\n');
    separates(view, byte)
        && read > 0
        && match view {
            View::Hex => read.is_multiple_of(2),
            View::Base64 => is_line_end || idle > 0,
            View::Bytes => false,
        }
}
