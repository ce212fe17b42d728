//! Masking of values in whatever a block returns: the one choke point for output and errors.
//!
//! One automaton knows every form of every value. A stream is read byte by byte; what lies
//! before the longest possible beginning of a match is final and leaves at once. Masking is a net
//! against accidents, not a wall against a service or a block that wants to leak.

use std::collections::BTreeMap;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::noncontiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use zeroize::Zeroizing;

use crate::error::{Code, ResolveError};
use crate::forms::{Form, MIN_MASKED, forms};
use crate::secret::SecretValues;
use skip::{Skip, WINDOW};

/// The most states of an automaton, at about 50 bytes each. The largest value there is, 64 KiB of
/// random bytes, needs a third of it.
const MAX_STATES: usize = 4_000_000;

/// Masks values. Cheap to clone. It holds every form of every value, so it has no `Debug`.
#[derive(Clone)]
pub struct Redactor(Arc<Automat>);

struct Automat {
    nfa: NFA,
    start: StateID,
    /// By state.
    nodes: Vec<Node>,
    hits: Vec<Hit>,
    skip: Option<Skip>,
    /// What stands in for a value, by secret.
    labels: Vec<Vec<u8>>,
    /// The secrets.
    names: Vec<String>,
    unmasked: Vec<String>,
}

/// What is known about a state of the automaton. Small: there are as many as states, and reading
/// one is mostly waiting for memory.
#[derive(Clone, Copy, Default)]
struct Node {
    /// How many of the last bytes may be the beginning of a match.
    depth: u32,
    /// One more than the index of its hit; 0 where no form ends.
    hit: u32,
}

/// The longest form that ends in a state.
#[derive(Clone, Copy)]
struct Hit {
    len: usize,
    label: usize,
    widen_left: bool,
    widen_right: bool,
}

impl Redactor {
    /// A redactor for named values. Values under 8 bytes are not masked, see
    /// [`Redactor::unmasked`].
    ///
    /// # Errors
    ///
    /// `output_limit` when the values together are too large to be looked for.
    pub fn new(values: &[(&str, &[u8])]) -> Result<Self, ResolveError> {
        let mut known: BTreeMap<Vec<u8>, (Form, usize)> = BTreeMap::new();
        let mut unmasked = Vec::new();
        let mut labels = Vec::new();
        // At most so many states: to count them takes a walk over everything.
        let mut bound = 0;
        for (label, (name, value)) in values.iter().enumerate() {
            labels.push(format!("[REDACTED:{name}]").into_bytes());
            if value.len() < MIN_MASKED {
                unmasked.push((*name).to_owned());
            }
            for mut form in forms(value) {
                let bytes = std::mem::take(&mut form.bytes);
                bound += bytes.len();
                let (same, _) = known.entry(bytes).or_insert((Form::default(), label));
                same.widen_left |= form.widen_left;
                same.widen_right |= form.widen_right;
            }
            if bound > MAX_STATES {
                bound = states(known.keys());
            }
            if bound > MAX_STATES {
                return Err(too_large());
            }
        }
        let nfa = NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(known.keys())
            .map_err(|_| too_large())?;
        let start = nfa.start_state(Anchored::No).map_err(|_| too_large())?;
        let (nodes, hits) = nodes(&nfa, start, &known)?;
        Ok(Self(Arc::new(Automat {
            nfa,
            start,
            nodes,
            hits,
            skip: Skip::new(known.keys()),
            labels,
            names: values.iter().map(|(name, _)| (*name).to_owned()).collect(),
            unmasked,
        })))
    }

    /// A redactor for the values of a run.
    pub(crate) fn of(secrets: &SecretValues) -> Result<Self, ResolveError> {
        let values: Vec<(&str, &[u8])> = secrets
            .iter()
            .map(|(name, value)| (name, value.bytes.as_slice()))
            .collect();
        Self::new(&values)
    }

    /// Names of values that are too short to be masked.
    pub fn unmasked(&self) -> &[String] {
        &self.0.unmasked
    }

    /// Masks a whole text.
    pub fn redact(&self, text: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let mut out = stream.push(text);
        out.extend(stream.finish());
        out
    }

    /// Where in a text something would be masked, and the secret whose value it is.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<(usize, &str)> {
        let mut stream = self.stream();
        stream.read(text);
        let found = stream.marks.iter();
        found
            .map(|mark| (mark.start, self.0.names[mark.label].as_str()))
            .collect()
    }

    /// Masks a text that comes in parts.
    pub fn stream(&self) -> RedactStream {
        RedactStream {
            automat: Arc::clone(&self.0),
            state: self.0.start,
            pending: Zeroizing::default(),
            marks: Vec::new(),
        }
    }
}

fn too_large() -> ResolveError {
    ResolveError::new(
        Code::OutputLimit,
        "the values are together too large to be masked",
    )
}

/// The size of the trie of sorted patterns.
fn states<'a>(patterns: impl Iterator<Item = &'a Vec<u8>>) -> usize {
    let mut last: &[u8] = &[];
    let mut states = 0;
    for pattern in patterns {
        let shared = pattern.iter().zip(last).take_while(|(a, b)| a == b).count();
        states += pattern.len() - shared;
        last = pattern;
    }
    states
}

/// Walks every pattern through the automaton: with [`MatchKind::Standard`], the state after its
/// first `n` bytes is the trie's node at depth `n`, so every state but the start is met.
fn nodes(
    nfa: &NFA,
    start: StateID,
    known: &BTreeMap<Vec<u8>, (Form, usize)>,
) -> Result<(Vec<Node>, Vec<Hit>), ResolveError> {
    let small = |number: usize| u32::try_from(number).map_err(|_| too_large());
    let patterns: Vec<Hit> = known
        .iter()
        .map(|(bytes, (form, label))| Hit {
            len: bytes.len(),
            label: *label,
            widen_left: form.widen_left,
            widen_right: form.widen_right,
        })
        .collect();
    let (mut nodes, mut hits): (Vec<Node>, Vec<Hit>) = (Vec::new(), Vec::new());
    // The states of the pattern before, whose beginning this one may share.
    let (mut way, mut last): (Vec<StateID>, &[u8]) = (Vec::new(), &[]);
    for bytes in known.keys() {
        let shared = bytes.iter().zip(last).take_while(|(a, b)| a == b).count();
        way.truncate(shared);
        last = bytes;
        let mut state = way.last().copied().unwrap_or(start);
        for (index, byte) in bytes.iter().enumerate().skip(shared) {
            state = nfa.next_state(Anchored::No, state, *byte);
            way.push(state);
            if nodes.len() <= state.as_usize() {
                nodes.resize(state.as_usize() + 1, Node::default());
            }
            let node = &mut nodes[state.as_usize()];
            if node.depth == 0 {
                hits.extend(longest(nfa, state, &patterns));
                *node = Node {
                    depth: small(index + 1)?,
                    hit: 0,
                };
                if nfa.is_match(state) {
                    node.hit = small(hits.len())?;
                }
            }
        }
    }
    Ok((nodes, hits))
}

/// The longest form that ends in a state. It covers the shorter ones, except that one of those
/// may reach further to the right.
fn longest(nfa: &NFA, state: StateID, patterns: &[Hit]) -> Option<Hit> {
    if !nfa.is_match(state) {
        return None;
    }
    let ending = (0..nfa.match_len(state))
        .filter_map(|index| patterns.get(nfa.match_pattern(state, index).as_usize()));
    let widen_right = ending.clone().any(|hit| hit.widen_right);
    ending.max_by_key(|hit| hit.len).map(|hit| Hit {
        widen_right,
        ..*hit
    })
}

/// A text being masked in parts. Holds back at most the longest form of a value.
pub struct RedactStream {
    automat: Arc<Automat>,
    state: StateID,
    /// Bytes that have been read and are not final.
    pending: Zeroizing<Vec<u8>>,
    /// Stretches of `pending` to be masked, in order and apart.
    marks: Vec<Mark>,
}

#[derive(Clone, Copy)]
struct Mark {
    start: usize,
    end: usize,
    label: usize,
    /// What the mark may still swallow at its end.
    tail: Tail,
}

/// What follows a Base64 core that ends inside a character.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tail {
    Nothing,
    Padding(u8),
    Character,
}

impl RedactStream {
    /// Reads a part and returns what has become final.
    pub fn push(&mut self, part: &[u8]) -> Vec<u8> {
        self.read(part);
        let mut out = Vec::with_capacity(part.len());
        self.emit(self.final_end(), &mut out);
        out
    }

    fn read(&mut self, part: &[u8]) {
        let read = self.pending.len();
        self.pending.extend_from_slice(part);
        let mut at = self.pass_over(read);
        while let Some(byte) = self.pending.get(at).copied() {
            self.step(at, byte);
            at = self.pass_over(at + 1);
        }
    }

    /// Returns the rest: nothing follows that could complete a match.
    pub fn finish(mut self) -> Vec<u8> {
        if let Some(last) = self.marks.last_mut() {
            last.tail = Tail::Nothing;
        }
        let mut out = Vec::with_capacity(self.pending.len());
        self.emit(self.pending.len(), &mut out);
        out
    }

    /// The next byte to read, when those up to `at` have been: beyond text in which no match can
    /// begin, as long as nothing is in progress that has got past its first bytes. It may lie
    /// before `at`, where what was in progress has come to nothing; no match ends in between.
    fn pass_over(&mut self, at: usize) -> usize {
        let depth = self.node().depth as usize;
        let settled = self
            .marks
            .last()
            .is_none_or(|mark| mark.tail == Tail::Nothing);
        let from = at.saturating_sub(depth);
        match &self.automat.skip {
            Some(skip) if depth < WINDOW && settled => match skip.find(&self.pending, from) {
                next if next > from => {
                    self.state = self.automat.start;
                    next
                }
                _ => at,
            },
            _ => at,
        }
    }

    fn node(&self) -> Node {
        // The start state is no pattern's node, and without patterns there are none at all.
        self.automat
            .nodes
            .get(self.state.as_usize())
            .copied()
            .unwrap_or_default()
    }

    fn step(&mut self, at: usize, byte: u8) {
        if let Some(last) = self.marks.last_mut()
            && last.end == at
        {
            last.tail = match last.tail {
                Tail::Character if is_base64(byte) => Tail::Padding(2),
                Tail::Padding(left @ 1..) if byte == b'=' => Tail::Padding(left - 1),
                _ => Tail::Nothing,
            };
            last.end += usize::from(last.tail != Tail::Nothing);
        }
        self.state = self.automat.nfa.next_state(Anchored::No, self.state, byte);
        let hit = (self.node().hit as usize).checked_sub(1);
        if let Some(hit) = hit.and_then(|hit| self.automat.hits.get(hit).copied()) {
            self.mark(at + 1, hit);
        }
    }

    fn mark(&mut self, end: usize, hit: Hit) {
        let mut start = end.saturating_sub(hit.len);
        if hit.widen_left && start > 0 && is_base64(self.pending[start - 1]) {
            start -= 1;
        }
        let tail = if hit.widen_right {
            Tail::Character
        } else {
            Tail::Nothing
        };
        let mut mark = Mark {
            start,
            end,
            label: hit.label,
            tail,
        };
        while let Some(last) = self.marks.pop_if(|last| mark.start < last.end) {
            if last.start <= mark.start {
                mark.label = last.label;
            }
            if last.end == mark.end {
                mark.tail = mark.tail.max(last.tail);
            }
            mark.start = mark.start.min(last.start);
        }
        self.marks.push(mark);
    }

    /// The end of what no later match can reach: a match begins within the automaton's depth, and
    /// may be widened by one Base64 character before that.
    fn final_end(&self) -> usize {
        let end = self
            .pending
            .len()
            .saturating_sub(self.node().depth as usize);
        let widened = end
            .checked_sub(1)
            .filter(|before| is_base64(self.pending[*before]));
        match widened {
            Some(before) if !self.automat.nodes.is_empty() => before,
            _ => end,
        }
    }

    /// Writes what lies before `end`. A mark that goes on after it keeps only that part, so that
    /// a run of overlapping matches does not pile up.
    fn emit(&mut self, end: usize, out: &mut Vec<u8>) {
        let mut written = 0;
        let mut open = Vec::new();
        for mut mark in std::mem::take(&mut self.marks) {
            out.extend_from_slice(&self.pending[written..mark.start.min(end).max(written)]);
            if mark.end <= end && mark.tail == Tail::Nothing {
                out.extend_from_slice(&self.automat.labels[mark.label]);
                written = mark.end;
            } else {
                mark.start = mark.start.max(end) - end;
                mark.end = mark.end.saturating_sub(end);
                open.push(mark);
                written = end;
            }
        }
        out.extend_from_slice(&self.pending[written.min(end)..end]);
        self.pending.drain(..end);
        self.marks = open;
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

mod skip;
#[cfg(test)]
mod tests;
