//! The audit log: rows made from the entries themselves, found by an index.

use std::collections::BTreeMap;
use std::iter::Peekable;

use keyroll_api::query::{AuditLog, Outcome, PAGE_ROWS};
use keyroll_api::reply::{AuditRow, AuditRows, RunRow, SecretVersion};
use keyroll_core::authorize::Permission;
use keyroll_core::command::Purpose;
use keyroll_core::event::KINDS;
use keyroll_core::{
    Action, Code, Digest, Event, Identity, Index, Millis, Recorded, Rejection, Version,
};

use super::query::{Asker, actor_name, broken};
use crate::projection::{AuditScan, Indexes, ProjectionError, WorkspaceView};

/// Entries looked at for one answer at most: a filter that no index serves goes on from there on
/// the next page.
const LOOKED_AT: usize = 20_000;

pub(super) fn log(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    filter: &AuditLog,
) -> Result<AuditRows, Rejection> {
    asker.may(Permission::Audit, &[])?;
    let limit = usize::try_from(filter.limit.clamp(1, PAGE_ROWS)).unwrap_or(1);
    let range = range(view, filter)?;
    let scans = scans(view, filter)?;
    let mut reader = Reader {
        view,
        names: BTreeMap::new(),
    };
    let (mut rows, mut looked_at, mut before) = (Vec::new(), 0, None);
    for index in Newest::of(view, &scans, range).map_err(|error| broken(&error))? {
        let index = index.map_err(|error| broken(&error))?;
        if rows.len() >= limit || looked_at >= LOOKED_AT {
            before = Some(Index(index.0 + 1));
            break;
        }
        looked_at += 1;
        let recorded = reader.entry(index)?;
        let mut of_entry = reader.rows(&recorded)?;
        of_entry.retain(|row| fits(row, &recorded, filter));
        of_entry.reverse();
        rows.extend(of_entry);
    }
    rows.reverse();
    Ok(AuditRows { rows, before })
}

fn range(view: &WorkspaceView<'_>, filter: &AuditLog) -> Result<(u64, u64), Rejection> {
    let mut from = filter.after.map_or(0, |index| index.0);
    let mut until = filter.before.map_or(u64::MAX, |index| index.0);
    if let Some(since) = filter.since {
        let before = Millis(since.0.saturating_sub(1));
        let first = if since.0 == 0 {
            Index(0)
        } else {
            view.first_after(before).map_err(|error| broken(&error))?
        };
        from = from.max(first.0);
    }
    if let Some(time) = filter.until {
        let last = view
            .first_after(Millis(time.0.saturating_sub(1)))
            .map_err(|error| broken(&error))?;
        until = until.min(last.0);
    }
    Ok((from, until))
}

/// The narrowest index that serves the filter; several for a name that several secrets had.
fn scans(view: &WorkspaceView<'_>, filter: &AuditLog) -> Result<Vec<AuditScan>, Rejection> {
    if let Some(name) = &filter.secret {
        let ordinals = view
            .ordinals_ever_named(&name.folded())
            .map_err(|error| broken(&error))?;
        let secrets = ordinals.into_iter().map(AuditScan::Secret);
        // A refusal may speak of a name that no secret ever had.
        return Ok(secrets.chain([AuditScan::Denied(name.folded())]).collect());
    }
    if let Some(actor) = &filter.actor {
        let member = view.member(actor).map_err(|error| broken(&error))?;
        let scan = member.map_or(AuditScan::Actor(crate::projection::LEDGER_ORDINAL), |m| {
            AuditScan::Actor(m.ordinal)
        });
        return Ok(vec![scan]);
    }
    if let Some(action) = &filter.action {
        let kind = KINDS.iter().find(|kind| kind.1 == action).ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.1).collect();
            Rejection::new(
                Code::InvalidField,
                format!(
                    "no event is called {action}; there are {}",
                    names.join(", ")
                ),
            )
        })?;
        return Ok(vec![AuditScan::Kind(kind.0)]);
    }
    if filter.outcome == Some(Outcome::Denied) {
        let denied = KINDS.iter().filter(|kind| kind.1 == "access.denied");
        return Ok(denied.map(|kind| AuditScan::Kind(kind.0)).collect());
    }
    Ok(vec![AuditScan::All])
}

/// What several scans find, newest first, each index once.
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

/// An import has a row for each secret it made: only the one asked for counts.
fn of_secret(row: &AuditRow, filter: &AuditLog) -> bool {
    let Some(name) = &filter.secret else {
        return true;
    };
    row.kind != "secret.created"
        || row
            .secrets
            .iter()
            .any(|one| one.name.folded() == name.folded())
}

fn fits(row: &AuditRow, recorded: &Recorded, filter: &AuditLog) -> bool {
    of_secret(row, filter)
        && filter.actor.is_none_or(|actor| row.actor == actor)
        && filter
            .action
            .as_ref()
            .is_none_or(|action| row.kind == *action)
        && filter.outcome.is_none_or(|outcome| row.outcome == outcome)
        && filter
            .run
            .as_ref()
            .is_none_or(|run| row.run.as_ref().is_some_and(|said| said.run == *run))
        && filter.since.is_none_or(|since| recorded.at >= since)
        && filter.until.is_none_or(|until| recorded.at < until)
}

/// Makes rows of entries, keeping the names of actors.
struct Reader<'a> {
    view: &'a WorkspaceView<'a>,
    names: BTreeMap<Identity, String>,
}

impl Reader<'_> {
    fn entry(&self, index: Index) -> Result<Recorded, Rejection> {
        let found = self.view.entry(index).map_err(|error| broken(&error))?;
        let missing = || ProjectionError::Damaged(format!("entry {index} is missing"));
        Ok(found.ok_or_else(|| broken(&missing()))?.recorded)
    }

    fn name(&mut self, actor: Identity) -> Result<String, Rejection> {
        if let Some(name) = self.names.get(&actor) {
            return Ok(name.clone());
        }
        let name = actor_name(self.view, &actor)?;
        self.names.insert(actor, name.clone());
        Ok(name)
    }

    /// Why, in words: the actor's own, or the counts of a summary of refusals.
    fn reason(&mut self, action: &Action) -> Result<Option<String>, Rejection> {
        if let Action::DenialsSummarize(summary) = action {
            let counts: Result<Vec<String>, Rejection> = summary
                .denials
                .iter()
                .map(|one| Ok(format!("{}: {}", self.name(one.member)?, one.count)))
                .collect();
            return Ok(Some(counts?.join(", ")));
        }
        Ok(reason_of(action))
    }

    fn rows(&mut self, recorded: &Recorded) -> Result<Vec<AuditRow>, Rejection> {
        let command = &recorded.command;
        let (actor, action) = (command.actor(), &command.command().action);
        let actor_name = self.name(actor)?;
        let reason = self.reason(action)?;
        let delegate_key = command.delegation().map(|said| said.key);
        let row = |event: &Event| {
            let denied = match event {
                Event::AccessDenied(denied) => Some(denied.reason.as_str()),
                _ => None,
            };
            AuditRow {
                at: recorded.at,
                run: run_of(action),
                kind: event.kind().1.to_owned(),
                actor,
                index: recorded.index,
                digest: Digest(recorded.leaf.0),
                reason: denied.map(str::to_owned).or_else(|| reason.clone()),
                outcome: if denied.is_some() {
                    Outcome::Denied
                } else {
                    Outcome::Granted
                },
                secrets: secrets_of(event, action),
                attempted: denied.map(|_| action.name().to_owned()),
                actor_name: actor_name.clone(),
                delegate_key,
            }
        };
        Ok(recorded.events.iter().map(row).collect())
    }
}

fn run_of(action: &Action) -> Option<RunRow> {
    let Action::SecretReveal(reveal) = action else {
        return None;
    };
    let Purpose::Block(block) = &reveal.purpose else {
        return None;
    };
    Some(RunRow {
        run: block.run.to_string(),
        block: block.block.to_string(),
        workflow: block.workflow.to_string(),
    })
}

fn reason_of(action: &Action) -> Option<String> {
    let reason = match action {
        Action::SecretReveal(reveal) => reveal.reason.as_ref(),
        Action::SecretEdit(edit) => edit.reason.as_ref(),
        Action::SecretRollback(rollback) => rollback.edit.reason.as_ref(),
        _ => None,
    };
    reason.map(ToString::to_string)
}

/// The secrets that one event speaks of, with the version it made or released.
fn secrets_of(event: &Event, action: &Action) -> Vec<SecretVersion> {
    let named = |version: Option<Version>| {
        let names = action.names().into_iter();
        names
            .map(|name| SecretVersion {
                name: name.clone(),
                version,
            })
            .collect::<Vec<_>>()
    };
    match (event, action) {
        (Event::SecretRevealed(revealed), _) => {
            let one = |one: &keyroll_core::event::Revealed| SecretVersion {
                name: one.name.clone(),
                version: Some(one.version),
            };
            revealed.secrets.iter().map(one).collect()
        }
        (Event::SecretCreated(stored), Action::SecretImport(import)) => {
            let item = usize::try_from(stored.item)
                .ok()
                .and_then(|item| import.secrets.get(item));
            let one = item.map(|new| SecretVersion {
                name: new.name.clone(),
                version: Some(Version::FIRST),
            });
            one.into_iter().collect()
        }
        (Event::SecretCreated(_), _) => named(Some(Version::FIRST)),
        (Event::SecretEdited(_), Action::SecretEdit(edit)) => named(Some(edit.version)),
        (Event::SecretEdited(_), Action::SecretRollback(rollback)) => {
            named(Some(rollback.edit.version))
        }
        _ => named(None),
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
        let damaged = ProjectionError::Damaged("a row".to_owned());
        let fails: Indexes<'static> = Box::new([Ok(Index(5)), Err(damaged)].into_iter());
        let mut scans = newest(&[&[9, 4]]);
        scans.0.push(fails.peekable());
        let found: Vec<Option<u64>> = scans.take(3).map(|one| one.ok().map(|i| i.0)).collect();
        assert_eq!(found, [Some(9), Some(5), None]);
    }
}
