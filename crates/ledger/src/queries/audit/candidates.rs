//! The entries that may match a filter: those in all of its indexes, newest first.

use std::iter::Peekable;

use keyroll_core::event::KINDS;
use keyroll_core::{Code, Index, Rejection};
use keyroll_wire::query::{AuditLog, AuditOutcome};

use crate::projection::{
    AuditScan, Indexes, LEDGER_ORDINAL, ProjectionError, WorkspaceView, run_key,
};

/// Skipping this many rows of an index costs about as much as reading one entry.
const PASSED: usize = 50;

/// The indexes that serve a filter. Each part is a union, for example of several secrets that had
/// one name; an entry has to be in all parts.
fn scans(view: &WorkspaceView<'_>, filter: &AuditLog) -> Result<Vec<Vec<AuditScan>>, Rejection> {
    let mut parts = Vec::new();
    if let Some(name) = &filter.secret {
        let ordinals = view.ordinals_ever_named(&name.folded())?;
        let secrets = ordinals.into_iter().map(AuditScan::Secret);
        // A refusal may concern a name that no secret ever had.
        parts.push(secrets.chain([AuditScan::Denied(name.folded())]).collect());
    }
    if let Some(run) = &filter.run {
        parts.push(vec![AuditScan::Run(run_key(run))]);
    }
    if let Some(actor) = &filter.actor {
        let member = view.member(actor)?;
        let ordinal = member.map_or(LEDGER_ORDINAL, |member| member.ordinal);
        parts.push(vec![AuditScan::Actor(ordinal)]);
    }
    if let Some(action) = &filter.action {
        parts.push(vec![AuditScan::Kind(kind(action)?)]);
    }
    if filter.outcome == Some(AuditOutcome::Denied) {
        parts.push(vec![AuditScan::Kind(kind("access.denied")?)]);
    }
    if parts.is_empty() {
        parts.push(vec![AuditScan::All]);
    }
    Ok(parts)
}

fn kind(name: &str) -> Result<u8, Rejection> {
    let kind = KINDS.iter().find(|kind| kind.name == name);
    kind.map(|kind| kind.number).ok_or_else(|| {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        let message = format!("no event is called {name}; there are {}", names.join(", "));
        Rejection::new(Code::InvalidField, message)
    })
}

/// The union of several scans, newest first, each index once.
struct Newest(Vec<Peekable<Indexes<'static>>>);

impl Newest {
    fn of(
        view: &WorkspaceView<'_>,
        scans: &[AuditScan],
        range: (u64, u64),
    ) -> Result<Self, ProjectionError> {
        let scans = scans.iter().map(|scan| view.scan_audit(scan, range));
        let found = scans.map(|scan| scan.map(Iterator::peekable));
        found.collect::<Result<_, _>>().map(Self)
    }
}

impl Iterator for Newest {
    type Item = Result<Index, ProjectionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut newest = None;
        for scan in &mut self.0 {
            match scan.peek() {
                Some(Ok(index)) => newest = newest.max(Some(*index)),
                Some(Err(_)) => return scan.next(),
                None => {}
            }
        }
        let newest = newest?;
        for scan in &mut self.0 {
            scan.next_if(|found| matches!(found, Ok(index) if *index == newest));
        }
        Some(Ok(newest))
    }
}

/// A step back through a workspace's entries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All indexes have this entry.
    Entry(Index),
    /// No newer entry is in all indexes, and many rows were skipped to find that out.
    Passed(Index),
}

/// The steps through the entries that all parts have.
pub(super) struct Candidates {
    parts: Vec<Peekable<Newest>>,
    passed: usize,
}

impl Candidates {
    /// Those of a filter, in `[from, until)`.
    pub(super) fn of(
        view: &WorkspaceView<'_>,
        filter: &AuditLog,
        range: (u64, u64),
    ) -> Result<Self, Rejection> {
        let parts = scans(view, filter)?;
        let parts = parts.iter().map(|scans| Newest::of(view, scans, range));
        let parts = parts.map(|part| part.map(Iterator::peekable));
        let parts: Result<_, ProjectionError> = parts.collect();
        Ok(Self {
            parts: parts?,
            passed: 0,
        })
    }

    /// The oldest of the next entries of all parts: no newer entry is in all of them. `None` at the
    /// end.
    fn oldest(&mut self) -> Option<Result<Index, ProjectionError>> {
        let mut oldest = Index(u64::MAX);
        for part in &mut self.parts {
            match part.peek()? {
                Ok(index) => oldest = oldest.min(*index),
                Err(_) => return part.next(),
            }
        }
        Some(Ok(oldest))
    }
}

impl Iterator for Candidates {
    type Item = Result<Step, ProjectionError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let oldest = match self.oldest()? {
                Ok(oldest) => oldest,
                Err(error) => return Some(Err(error)),
            };
            for part in &mut self.parts {
                while part
                    .next_if(|found| matches!(found, Ok(index) if *index > oldest))
                    .is_some()
                {
                    self.passed += 1;
                    if self.passed == PASSED {
                        self.passed = 0;
                        return Some(Ok(Step::Passed(oldest)));
                    }
                }
            }
            let there = |part: &mut Peekable<Newest>| matches!(part.peek(), Some(Ok(index)) if *index == oldest);
            if self.parts.iter_mut().all(there) {
                for part in &mut self.parts {
                    part.next();
                }
                return Some(Ok(Step::Entry(oldest)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(scans: &[&'static [u64]]) -> Newest {
        let scan = |indexes: &&'static [u64]| {
            let indexes = indexes.iter().copied();
            let found: Indexes<'static> = Box::new(indexes.map(|index| Ok(Index(index))));
            found.peekable()
        };
        Newest(scans.iter().map(scan).collect())
    }

    fn candidates(parts: Vec<Newest>) -> Candidates {
        Candidates {
            parts: parts.into_iter().map(Iterator::peekable).collect(),
            passed: 0,
        }
    }

    #[test]
    fn what_several_scans_find_comes_newest_first_and_once() {
        for (scans, expected) in [
            (&[][..], &[][..]),
            (&[&[][..]][..], &[]),
            (&[&[9, 4, 1][..]], &[9, 4, 1]),
            (&[&[9, 4][..], &[9, 7, 4, 2], &[], &[8]], &[9, 8, 7, 4, 2]),
        ] {
            let found: Result<Vec<Index>, _> = newest(scans).collect();
            let found = found.expect("indexes");
            assert!(
                found
                    .iter()
                    .map(|index| index.0)
                    .eq(expected.iter().copied())
            );
        }
    }

    #[test]
    fn a_scan_that_fails_is_not_one_that_ends() {
        let damaged = || ProjectionError::Damaged("a row".to_owned());
        let fails: Indexes<'static> = Box::new([Ok(Index(5)), Err(damaged())].into_iter());
        let mut scans = newest(&[&[9, 4]]);
        scans.0.push(fails.peekable());
        let found: Vec<Option<u64>> = scans.take(3).map(|one| one.ok().map(|i| i.0)).collect();
        assert_eq!(found, [Some(9), Some(5), None]);

        let fails: Indexes<'static> = Box::new([Err(damaged())].into_iter());
        let fails = Newest(vec![fails.peekable()]);
        let mut both = candidates(vec![newest(&[&[9, 4]]), fails]);
        assert!(matches!(both.next(), Some(Err(_))));
    }

    #[test]
    fn an_entry_has_to_be_in_every_part() {
        for (parts, expected) in [
            (&[&[9, 4, 1][..]][..], &[9, 4, 1][..]),
            (&[&[9, 4, 1], &[8, 4, 2, 1, 0]], &[4, 1]),
            (&[&[9, 4, 1], &[8, 4, 2, 1], &[9, 8, 1]], &[1]),
            (&[&[9, 4, 1], &[8, 3]], &[]),
            (&[&[9, 4, 1], &[]], &[]),
        ] {
            let parts = parts.iter().map(|part| newest(&[part])).collect();
            let found: Result<Vec<Step>, _> = candidates(parts).collect();
            let expected = expected.iter().map(|index| Step::Entry(Index(*index)));
            assert!(found.expect("steps").into_iter().eq(expected));
        }
    }

    #[test]
    fn who_passes_over_much_says_how_far_that_was() {
        let many: Indexes<'static> = Box::new((100..400).rev().map(|index| Ok(Index(index))));
        let many = Newest(vec![many.peekable()]);
        let found: Result<Vec<Step>, _> = candidates(vec![many, newest(&[&[450, 7]])]).collect();
        let found = found.expect("steps");
        assert_eq!(found.len(), 300 / PASSED, "{found:?}");
        // No entry from 8 on is in both.
        assert!(
            found
                .iter()
                .skip(1)
                .all(|step| *step == Step::Passed(Index(7))),
            "{found:?}"
        );
    }
}
