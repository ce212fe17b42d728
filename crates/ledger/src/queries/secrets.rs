//! Queries about secrets. No answer contains a value: the read model holds none.

use keyroll_core::roles::Permission;
use keyroll_core::state::{Lifecycle, ValueState, VersionInfo, VersionKind};
use keyroll_core::{Code, Millis, Rejection, SecretName, Version};
use keyroll_wire::query::{PointInTime, SecretHistory, SecretList, SecretShow};
use keyroll_wire::reply::{
    READER_ROWS, SecretReader, SecretRow, SecretRows, UsedBy, VersionRow, VersionRows,
};

use super::past::check_size;
use super::{Asker, actor_name};
use crate::page::Page;
use crate::projection::{ProjectionError, SecretRecord, WorkspaceView};

/// A secret whose value was not revealed for this long counts as unused: 90 days.
const UNUSED_MS: u64 = 90 * 24 * 60 * 60 * 1_000;
pub(super) fn list(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    list: &SecretList,
) -> Result<SecretRows, Rejection> {
    asker.may(Permission::Read, &[])?;
    if let Some(at) = list.at {
        check_size(view, at.size)?;
    }
    let last = list.at.map(|at| view.last_secret_at(at.size)).transpose();
    let last = last?.unwrap_or(u32::MAX);
    let now = list.at.map_or(asker.now, |at| at.time);
    let mut page = Page::new(list.limit);
    let (mut shown_last, mut next) = (None, None);
    let mut visit = |folded: &str, ordinal: u32| {
        if ordinal > last {
            return Ok(true);
        }
        if let Some(record) = shown(view, asker, list.at, (folded, ordinal))?
            && (record.secret.lifecycle != Lifecycle::Active) == list.deleted
        {
            let used_by = used_by(view, &record, list.at)?;
            if !page.take(vec![row(view, (now, list.at), record, used_by)?]) {
                next = shown_last.take();
                return Ok(false);
            }
            shown_last = Some(cursor(folded, ordinal));
        }
        Ok::<_, Rejection>(true)
    };
    let from = list.after.as_deref().map(parse_cursor);
    match list.at {
        Some(_) => view.scan_names_ever(from, &mut visit),
        None => view.scan_names(from, &mut visit),
    }?;
    Ok(SecretRows {
        next,
        rows: page.rows(),
    })
}

/// Separates a name and an ordinal in [`SecretRows::next`]. No name contains it.
const BETWEEN: char = '#';

/// Where the page after this secret begins. Thousands of deleted secrets can have one name.
fn cursor(folded: &str, ordinal: u32) -> String {
    format!("{folded}{BETWEEN}{ordinal}")
}

/// The name and ordinal of a [`cursor`]. A name alone stands for all secrets that have it.
fn parse_cursor(after: &str) -> (&str, u32) {
    let both = after.split_once(BETWEEN);
    let both = both.and_then(|(name, ordinal)| Some((name, ordinal.parse().ok()?)));
    both.unwrap_or((after, u32::MAX))
}

/// The blocks that reference a secret's name now, or at a point in history.
fn used_by(
    view: &WorkspaceView<'_>,
    record: &SecretRecord,
    at: Option<PointInTime>,
) -> Result<Vec<UsedBy>, ProjectionError> {
    let name = record.secret.name.as_str();
    let uses = match at {
        Some(at) => view.uses_at(name, at.size)?,
        None => view.uses(name)?,
    };
    let used_by = |(workflow, block)| UsedBy { block, workflow };
    Ok(uses.into_iter().map(used_by).collect())
}

/// The secret with an ordinal, if it has or had this name and the asker may see it. An asker who
/// may not see its present name does not see it under an old name either.
fn shown(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    at: Option<PointInTime>,
    (folded, ordinal): (&str, u32),
) -> Result<Option<SecretRecord>, ProjectionError> {
    let missing = || ProjectionError::Damaged("a name without its secret".to_owned());
    let now = view.secret(ordinal)?.ok_or_else(missing)?;
    if !asker.member.covers(&now.secret.name) {
        return Ok(None);
    }
    let Some(at) = at else {
        return Ok(Some(now));
    };
    let then = view.secret_at(ordinal, at.size)?;
    let fits = |then: &SecretRecord| {
        then.secret.name.folded() == folded && asker.member.covers(&then.secret.name)
    };
    Ok(then.filter(fits))
}

pub(super) fn show(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    named: &SecretShow,
) -> Result<SecretRow, Rejection> {
    let record = find(view, asker, &named.name, named.at)?;
    let used_by = used_by(view, &record, named.at)?;
    let now = named.at.map_or(asker.now, |at| at.time);
    row(view, (now, named.at), record, used_by)
}

pub(super) fn history(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    history: &SecretHistory,
) -> Result<VersionRows, Rejection> {
    let record = find(view, asker, &history.name, None)?;
    let ordinal = record.secret.ordinal;
    let audit = asker.may(Permission::Audit, &[]).is_ok();
    let before = history.before.unwrap_or(Version(u32::MAX));
    let (mut page, mut next) = (Page::new(history.limit), None);
    view.versions(ordinal, before, |version, info| {
        let mut row = version_row(view, version, info)?;
        if audit {
            let (count, by) = readers_of(view, ordinal, version)?;
            (row.seen_by_count, row.seen_by) = (Some(count), Some(by));
        }
        let taken = page.take(vec![row]);
        if !taken {
            next = Some(version.next());
        }
        Ok::<_, Rejection>(taken)
    })?;
    Ok(VersionRows {
        next,
        rows: page.rows(),
    })
}

/// The members to whom a version was revealed: how many, and the latest.
fn readers_of(
    view: &WorkspaceView<'_>,
    ordinal: u32,
    version: Version,
) -> Result<(u32, Vec<SecretReader>), Rejection> {
    let mut readers = view.exposures(ordinal, version)?;
    let count = u32::try_from(readers.len()).unwrap_or(u32::MAX);
    readers.sort_unstable_by_key(|(_, exposure)| std::cmp::Reverse(exposure.index));
    let named = readers
        .into_iter()
        .take(READER_ROWS)
        .map(|(actor, exposure)| {
            Ok(SecretReader {
                actor,
                count: exposure.count,
                index: exposure.index,
                last_at: exposure.last,
                first_at: exposure.first,
                actor_name: actor_name(view, &actor)?,
            })
        });
    Ok((count, named.collect::<Result<_, Rejection>>()?))
}

/// The active secret of this name, or else the one that was deleted last. Permission is judged on
/// the name alone, so that an asker who may not list it learns nothing.
fn find(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    name: &SecretName,
    at: Option<PointInTime>,
) -> Result<SecretRecord, Rejection> {
    asker.may(Permission::Read, &[name])?;
    let folded = name.folded();
    let ordinals = match at {
        Some(at) => {
            check_size(view, at.size)?;
            view.ordinals_ever_named(&folded)
        }
        None => view.ordinals_named(&folded),
    };
    let mut found: Vec<SecretRecord> = Vec::new();
    for ordinal in ordinals? {
        found.extend(shown(view, asker, at, (&folded, ordinal))?);
    }
    let best = found.into_iter().max_by_key(|record| {
        let secret = &record.secret;
        (secret.lifecycle == Lifecycle::Active, secret.updated_at)
    });
    let then = if at.is_some() { " then" } else { "" };
    match best {
        Some(record) if record.secret.name == *name => Ok(record),
        Some(other) => Err(Rejection::new(
            Code::NotFound,
            format!(
                "there is no secret {name}{then}; there is {}",
                other.secret.name
            ),
        )),
        None => Err(Rejection::new(
            Code::NotFound,
            format!("there is no secret {name}{then}"),
        )),
    }
}

fn row(
    view: &WorkspaceView<'_>,
    (now, at): (Millis, Option<PointInTime>),
    record: SecretRecord,
    used_by: Vec<UsedBy>,
) -> Result<SecretRow, Rejection> {
    let value_state = match at {
        None => value_state(view, &record)?,
        Some(_) => None,
    };
    let secret = record.secret;
    let older_than = |at: Millis, ms: u64| now.0.saturating_sub(at.0) > ms;
    let stale = secret
        .rotate_every
        .is_some_and(|period| older_than(record.renewed_at, period.saturating_mul(1_000)));
    let last_use = secret.last_revealed_at.unwrap_or(record.created_at);
    let unused = used_by.is_empty() && older_than(last_use, UNUSED_MS);
    Ok(SecretRow {
        id: record.id,
        stale,
        state: secret.lifecycle,
        unused,
        used_by,
        version: record.version,
        created_at: record.created_at,
        restricted: secret.restricted,
        updated_at: secret.updated_at,
        updated_by: secret.updated_by,
        updated_by_name: actor_name(view, &secret.updated_by)?,
        value_state,
        rotate_every: secret.rotate_every,
        last_revealed_at: secret.last_revealed_at,
        name: secret.name,
        hosts: secret.hosts,
        description: secret.description,
    })
}

/// The state of a current value that cannot be revealed, though its secret is not destroyed.
fn value_state(
    view: &WorkspaceView<'_>,
    record: &SecretRecord,
) -> Result<Option<ValueState>, ProjectionError> {
    if record.secret.lifecycle == Lifecycle::Destroyed {
        return Ok(None);
    }
    let mut state = None;
    let current = |_, info: VersionInfo| {
        state = Some(info.state).filter(|state| *state != ValueState::Live);
        Ok::<_, ProjectionError>(false)
    };
    view.versions(record.secret.ordinal, record.version.next(), current)?;
    Ok(state)
}

fn version_row(
    view: &WorkspaceView<'_>,
    version: Version,
    info: VersionInfo,
) -> Result<VersionRow, Rejection> {
    let kind = match info.kind {
        VersionKind::Created => "created".to_owned(),
        VersionKind::Edited => "edited".to_owned(),
        VersionKind::Rolledback(from) => format!("rolled back from {from}"),
    };
    Ok(VersionRow {
        at: info.at,
        kind,
        actor: info.actor,
        state: info.state,
        reason: info.reason,
        seen_by: None,
        version,
        actor_name: actor_name(view, &info.actor)?,
        seen_by_count: None,
    })
}
