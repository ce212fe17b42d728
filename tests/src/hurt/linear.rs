//! Checks linearizability: whether a secret that executes one call at a time could have given
//! concurrent callers these results. The search is Wing and Gong's with Lowe's memoization. It uses
//! only the times at which calls began and ended.

use std::collections::HashSet;

/// A version and a name for its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Content {
    /// The version.
    pub version: u32,
    /// Stands for the value.
    pub value: u64,
}

/// A call with its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// It read this content.
    Read(Content),
    /// It wrote this content as the next version.
    Wrote(Content),
    /// It tried to write this version, and was refused because another is current.
    Refused(u32),
}

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// When it began.
    pub begun: u64,
    /// When it ended; a call without an end may have had its effect at any time since, or never.
    pub ended: Option<u64>,
    /// Its result; for a call without an end, the intended one.
    pub did: Did,
}

impl Call {
    fn end(&self) -> u64 {
        self.ended.unwrap_or(u64::MAX)
    }

    /// The content after it, if it is possible on the content before it.
    fn on(&self, before: Content) -> Option<Content> {
        match self.did {
            Did::Read(content) => (content == before).then_some(before),
            Did::Wrote(content) => (content.version == before.version + 1).then_some(content),
            Did::Refused(version) => (version != before.version + 1).then_some(before),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Chosen(Vec<u64>);

impl Chosen {
    fn has(&self, call: usize) -> bool {
        self.0[call / 64] & (1 << (call % 64)) != 0
    }

    fn flip(&mut self, call: usize) {
        self.0[call / 64] ^= 1 << (call % 64);
    }
}

/// Whether some order of `calls` that respects their times explains every one, from `first` on.
pub fn is_linearizable(first: Content, calls: &[Call]) -> bool {
    let mut calls = calls.to_vec();
    calls.sort_by_key(|call| call.begun);
    let mut chosen = Chosen(vec![0; calls.len().div_ceil(64)]);
    let mut open = calls.iter().filter(|call| call.ended.is_some()).count();
    let mut tried = HashSet::new();
    let mut path: Vec<(usize, Content)> = Vec::new();
    let (mut now, mut from) = (first, 0);
    while open > 0 {
        if let Some((call, after)) = next(&calls, &mut chosen, now, from, &mut tried) {
            open -= usize::from(calls[call].ended.is_some());
            chosen.flip(call);
            path.push((call, now));
            (now, from) = (after, 0);
        } else {
            let Some((call, before)) = path.pop() else {
                return false;
            };
            open += usize::from(calls[call].ended.is_some());
            chosen.flip(call);
            (now, from) = (before, call + 1);
        }
    }
    true
}

/// The first call from `from` on that may come next and was not tried yet.
fn next(
    calls: &[Call],
    chosen: &mut Chosen,
    now: Content,
    from: usize,
    tried: &mut HashSet<(Chosen, Content)>,
) -> Option<(usize, Content)> {
    let waiting = |call: &usize| !chosen.has(*call);
    // A call that began after the end of another comes after it.
    let earliest = (0..calls.len()).filter(waiting);
    let earliest = earliest.map(|call| calls[call].end()).min()?;
    for (call, at) in calls.iter().enumerate().skip(from) {
        if at.begun > earliest {
            return None;
        }
        if chosen.has(call) {
            continue;
        }
        if let Some(after) = at.on(now) {
            chosen.flip(call);
            let fresh = tried.insert((chosen.clone(), after));
            chosen.flip(call);
            if fresh {
                return Some((call, after));
            }
        }
    }
    None
}

/// Makes the last read that began after the end of some write return the content before that write.
/// Returns `false` when there is no such read.
pub fn plant_stale_read(calls: &mut [Call]) -> bool {
    let writes: Vec<(u64, Content)> = calls
        .iter()
        .filter_map(|call| match call.did {
            Did::Wrote(content) => Some((call.end(), content)),
            Did::Read(_) | Did::Refused(_) => None,
        })
        .collect();
    let stale = |begun: u64| {
        let before = writes.iter().filter(|(ended, _)| *ended < begun);
        let newest = before
            .map(|(_, content)| *content)
            .max_by_key(|content| content.version)?;
        let older = writes
            .iter()
            .filter(|(_, content)| content.version < newest.version);
        older
            .map(|(_, content)| *content)
            .max_by_key(|content| content.version)
    };
    let planted = calls.iter_mut().rev().find_map(|call| {
        let (Did::Read(_), Some(content)) = (call.did, stale(call.begun)) else {
            return None;
        };
        call.did = Did::Read(content);
        Some(())
    });
    planted.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hurt::Seeded;

    const FIRST: Content = content(1);

    const fn content(version: u32) -> Content {
        Content {
            version,
            value: version as u64 * 1_000,
        }
    }

    fn call(begun: u64, ended: u64, did: Did) -> Call {
        Call {
            begun,
            ended: Some(ended),
            did,
        }
    }

    fn open(begun: u64, did: Did) -> Call {
        Call {
            ended: None,
            ..call(begun, 0, did)
        }
    }

    #[test]
    fn small_histories_are_judged_rightly() {
        use Did::{Read, Refused, Wrote};
        let other = |version| Content {
            value: 7,
            ..content(version)
        };
        let judge = |calls: &[Call]| is_linearizable(FIRST, calls);
        assert!(judge(&[]));
        assert!(judge(&[
            call(0, 1, Wrote(content(2))),
            call(2, 3, Read(content(2)))
        ]));
        // Stale: the write had ended before the read began.
        assert!(!judge(&[
            call(0, 1, Wrote(content(2))),
            call(2, 3, Read(FIRST))
        ]));
        // While they overlap, either content is right, but the old one never follows the new one.
        let write = call(0, 10, Wrote(content(2)));
        assert!(judge(&[
            write,
            call(1, 2, Read(FIRST)),
            call(3, 4, Read(content(2)))
        ]));
        assert!(!judge(&[
            write,
            call(1, 2, Read(content(2))),
            call(3, 4, Read(FIRST))
        ]));
        // No caller wrote this content.
        assert!(!judge(&[call(0, 1, Read(content(2)))]));
        assert!(!judge(&[write, call(11, 12, Read(other(2)))]));
        // One of two writes of the same version is refused.
        assert!(!judge(&[write, call(1, 9, Wrote(other(2)))]));
        assert!(judge(&[write, call(1, 9, Refused(2))]));
        assert!(!judge(&[call(0, 1, Refused(2))]));
        // A call with an unknown outcome may have happened, late or not at all, but never twice.
        assert!(judge(&[
            open(0, Wrote(content(2))),
            call(5, 6, Read(FIRST))
        ]));
        assert!(judge(&[
            open(0, Wrote(content(2))),
            call(5, 6, Read(FIRST)),
            call(7, 8, Read(content(2)))
        ]));
        assert!(!judge(&[
            open(0, Wrote(content(2))),
            call(5, 6, Read(content(2))),
            call(7, 8, Read(FIRST))
        ]));
        assert!(!judge(&[
            open(9, Wrote(content(2))),
            call(5, 6, Read(content(2)))
        ]));
    }

    /// The results of callers of one real secret, with overlapping calls.
    fn history(numbers: &mut Seeded) -> Vec<Call> {
        let (mut now, mut calls) = (FIRST, Vec::new());
        for moment in 0..200_u64 {
            // The effect is at `moment * 10`; the call began before and ended after.
            let begun = (moment * 10).saturating_sub(numbers.below(40));
            let ended = moment * 10 + 1 + numbers.below(40);
            let did = match numbers.below(4) {
                0 => {
                    now = Content {
                        version: now.version + 1,
                        value: numbers.any(),
                    };
                    Did::Wrote(now)
                }
                1 => Did::Refused(now.version),
                _ => Did::Read(now),
            };
            calls.push(call(begun, ended, did));
        }
        calls
    }

    #[test]
    fn real_histories_pass_and_a_planted_stale_read_is_found() {
        let mut numbers = Seeded::new(11);
        for _ in 0..50 {
            let mut calls = history(&mut numbers);
            assert!(is_linearizable(FIRST, &calls));
            assert!(plant_stale_read(&mut calls));
            assert!(!is_linearizable(FIRST, &calls));
        }
    }

    #[test]
    fn a_lost_write_is_found() {
        let mut numbers = Seeded::new(12);
        let mut calls = history(&mut numbers);
        let written = calls
            .iter()
            .position(|call| matches!(call.did, Did::Wrote(_)))
            .expect("a write");
        calls.remove(written);
        assert!(!is_linearizable(FIRST, &calls));
    }
}
