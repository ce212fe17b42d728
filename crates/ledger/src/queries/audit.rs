//! The audit log: rows are made from the entries themselves, which are found by an index.

mod candidates;

use std::collections::BTreeMap;

use keyroll_core::command::BlockRun;
use keyroll_core::roles::Permission;
use keyroll_core::{Action, Digest, Event, Index, MemberId, Millis, Recorded, Rejection, Version};
use keyroll_wire::query::{AuditLog, AuditOutcome};
use keyroll_wire::reply::{AuditRow, AuditRows, RunRow, SecretVersion};

use self::candidates::{Candidates, Step};
use super::{Asker, actor_name};
use crate::page::Page;
use crate::projection::{ProjectionError, WorkspaceView};

/// Entries read for one answer at most. A filter that no index serves continues from there on the
/// next page.
const LOOKED_AT: usize = 20_000;
/// Members named in one summary of refusals: a workspace has thousands.
const SUMMARIZED: usize = 50;

pub(super) fn log(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    filter: &AuditLog,
) -> Result<AuditRows, Rejection> {
    asker.may(Permission::Audit, &[])?;
    let range = range(view, filter)?;
    let mut reader = Reader {
        view,
        names: BTreeMap::new(),
    };
    let (mut page, mut looked_at, mut before) = (Page::new(filter.limit), 0, None);
    for step in Candidates::of(view, filter, range)? {
        let step = step?;
        let (Step::Entry(index) | Step::Passed(index)) = step;
        if page.is_full() || looked_at >= LOOKED_AT {
            before = Some(Index(index.0 + 1));
            break;
        }
        looked_at += 1;
        if matches!(step, Step::Passed(_)) {
            continue;
        }
        let recorded = reader.entry(index)?;
        let mut of_entry = reader.rows(&recorded)?;
        of_entry.retain(|row| fits(row, &recorded, filter));
        of_entry.reverse();
        if !page.take(of_entry) {
            before = Some(Index(index.0 + 1));
            break;
        }
    }
    let mut rows = page.rows();
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
            view.first_after(before)?
        };
        from = from.max(first.0);
    }
    if let Some(time) = filter.until {
        let last = view.first_after(Millis(time.0.saturating_sub(1)))?;
        until = until.min(last.0);
    }
    Ok((from, until))
}

/// An import has a row for each secret that it created: only the secret of the filter matches.
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
            .is_none_or(|run| row.run.as_ref().is_some_and(|of| of.run == *run))
        && filter.since.is_none_or(|since| recorded.at >= since)
        && filter.until.is_none_or(|until| recorded.at < until)
}

/// Makes rows of entries and caches the names of actors.
struct Reader<'a> {
    view: &'a WorkspaceView<'a>,
    names: BTreeMap<MemberId, String>,
}

impl Reader<'_> {
    fn entry(&self, index: Index) -> Result<Recorded, Rejection> {
        let found = self.view.entry(index)?;
        let missing = || ProjectionError::Damaged(format!("entry {index} is missing"));
        Ok(found.ok_or_else(missing)?.recorded)
    }

    fn name(&mut self, actor: MemberId) -> Result<String, Rejection> {
        if let Some(name) = self.names.get(&actor) {
            return Ok(name.clone());
        }
        let name = actor_name(self.view, &actor)?;
        self.names.insert(actor, name.clone());
        Ok(name)
    }

    /// The reason of an action: the actor's own words, or the counts of a summary of refusals.
    fn reason(&mut self, action: &Action) -> Result<Option<String>, Rejection> {
        if let Action::DenialsSummarize(summary) = action {
            let (named, more) = summary
                .denials
                .split_at(summary.denials.len().min(SUMMARIZED));
            let mut counts = Vec::new();
            for one in named {
                counts.push(format!("{}: {}", self.name(one.member)?, one.count));
            }
            if !more.is_empty() {
                let sum: u64 = more.iter().map(|one| u64::from(one.count)).sum();
                counts.push(format!("{} more members: {sum}", more.len()));
            }
            return Ok(Some(counts.join(", ")));
        }
        Ok(reason_of(action))
    }

    fn rows(&mut self, recorded: &Recorded) -> Result<Vec<AuditRow>, Rejection> {
        let command = &recorded.command;
        let (actor, action) = (command.actor(), &command.command().action);
        let actor_name = self.name(actor)?;
        let reason = self.reason(action)?;
        let sign_in_key = command.command().member.map(|_| command.signer());
        let delegate_key = command.delegation().map(|delegation| delegation.key);
        let row = |event: &Event| {
            let denied = if let Event::AccessDenied(denied) = event {
                Some(denied.reason.as_str())
            } else {
                None
            };
            AuditRow {
                at: recorded.at,
                run: action.block_run().map(run_row),
                kind: event.kind().name.to_owned(),
                actor,
                index: recorded.index,
                digest: Digest(recorded.leaf.0),
                reason: denied.map(str::to_owned).or_else(|| reason.clone()),
                outcome: if denied.is_some() {
                    AuditOutcome::Denied
                } else {
                    AuditOutcome::Granted
                },
                purpose: action.purpose().cloned(),
                secrets: secrets_of(event, action),
                attempted: denied.map(|_| action.name().to_owned()),
                actor_name: actor_name.clone(),
                sign_in_key,
                delegate_key,
            }
        };
        Ok(recorded.events.iter().map(row).collect())
    }
}

fn run_row(run: &BlockRun) -> RunRow {
    RunRow {
        run: run.run.to_string(),
        block: run.block.to_string(),
        workflow: run.workflow.to_string(),
    }
}

fn reason_of(action: &Action) -> Option<String> {
    let reason = if let Action::SecretReveal(reveal) = action {
        reveal.reason.as_ref()
    } else if let Action::SecretEdit(edit) = action {
        edit.reason.as_ref()
    } else if let Action::SecretRollback(rollback) = action {
        rollback.edit.reason.as_ref()
    } else {
        None
    };
    reason.map(ToString::to_string)
}

/// The secrets that one event concerns, with the version that it created or revealed.
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
    match event {
        Event::SecretRevealed(revealed) => {
            let one = |one: &keyroll_core::event::Revealed| SecretVersion {
                name: one.name.clone(),
                version: Some(one.version),
            };
            revealed.secrets.iter().map(one).collect()
        }
        Event::SecretCreated(stored) => {
            let Action::SecretImport(import) = action else {
                return named(Some(Version::FIRST));
            };
            let item = usize::try_from(stored.item)
                .ok()
                .and_then(|item| import.secrets.get(item));
            let one = item.map(|new| SecretVersion {
                name: new.name.clone(),
                version: Some(Version::FIRST),
            });
            one.into_iter().collect()
        }
        Event::SecretEdited(_) => {
            if let Action::SecretEdit(edit) = action {
                named(Some(edit.version))
            } else if let Action::SecretRollback(rollback) = action {
                named(Some(rollback.edit.version))
            } else {
                named(None)
            }
        }
        Event::WorkspaceCreated(_)
        | Event::MemberAdded(_)
        | Event::MemberChanged(_)
        | Event::MemberRemoved(_)
        | Event::MemberInvited(_)
        | Event::MemberAccepted(_)
        | Event::MemberConfirmed(_)
        | Event::MemberRevoked(_)
        | Event::SecretDescribed(_)
        | Event::SecretRenamed(_)
        | Event::SecretDeleted(_)
        | Event::SecretRestored(_)
        | Event::SecretDestroyed(_)
        | Event::WorkflowSaved(_)
        | Event::WorkflowRemoved(_)
        | Event::KeyRotated(_)
        | Event::DelegationRevoked(_)
        | Event::SignInOpened(_)
        | Event::SignInClosed(_)
        | Event::AccessDenied(_)
        | Event::ValueErased(_)
        | Event::ValuesSwept(_)
        | Event::ValuesLost(_)
        | Event::KeyErased(_)
        | Event::LogTruncated(_)
        | Event::DenialsSummarized(_) => named(None),
    }
}
