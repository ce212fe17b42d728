//! Questions about secrets. No answer has a value in it, nor could: the read model holds none.

use keyroll_api::query::{PAGE_ROWS, SecretList};
use keyroll_api::reply::{SecretRow, SecretRows, UsedBy, VersionRow, VersionRows};
use keyroll_core::authorize::Permission;
use keyroll_core::state::{Lifecycle, Secret, VersionInfo, VersionKind};
use keyroll_core::{Code, Millis, Rejection, SecretId, SecretName, Version};

use super::query::{Asker, actor_name, broken};
use crate::projection::{ProjectionError, WorkspaceView};

/// A secret whose value nobody took for this long counts as unused: 90 days.
const UNUSED_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

pub(super) fn list(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    list: &SecretList,
) -> Result<SecretRows, Rejection> {
    asker.may(Permission::Read, &[])?;
    let limit = usize::try_from(list.limit.clamp(1, PAGE_ROWS)).unwrap_or(1);
    let mut rows: Vec<(SecretId, Secret)> = Vec::new();
    let mut next = None;
    let mut last: Option<String> = None;
    view.scan_names(list.after.as_deref(), |folded, ordinal| {
        // A page ends between names, never among secrets of one name.
        if rows.len() >= limit && last.as_deref() != Some(folded) {
            next.clone_from(&last);
            return Ok(false);
        }
        let missing = || ProjectionError::Damaged("a name without its secret".to_owned());
        let (id, secret) = view.secret(ordinal)?.ok_or_else(missing)?;
        let wanted = (secret.lifecycle != Lifecycle::Active) == list.deleted;
        if wanted && asker.member.covers(&secret.name) {
            rows.push((id, secret));
            last = Some(folded.to_owned());
        }
        Ok(true)
    })
    .map_err(|error| broken(&error))?;
    let rows: Result<_, _> = rows
        .into_iter()
        .map(|(id, secret)| row(view, asker.now, id, secret))
        .collect();
    Ok(SecretRows { next, rows: rows? })
}

pub(super) fn show(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    name: &SecretName,
) -> Result<SecretRow, Rejection> {
    let (id, secret) = find(view, asker, name)?;
    row(view, asker.now, id, secret)
}

pub(super) fn history(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    name: &SecretName,
) -> Result<VersionRows, Rejection> {
    let (_, secret) = find(view, asker, name)?;
    let versions = view
        .versions(secret.ordinal)
        .map_err(|error| broken(&error))?;
    let numbered = (1_u32..).map(Version).zip(versions);
    let rows: Result<Vec<_>, _> = numbered
        .map(|(version, info)| version_row(view, version, info))
        .collect();
    let mut rows = rows?;
    rows.reverse();
    Ok(VersionRows { rows })
}

/// The active secret of this name, or else the one that went last. Permission is judged on the
/// name alone, so that who may not list it learns nothing.
fn find(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    name: &SecretName,
) -> Result<(SecretId, Secret), Rejection> {
    asker.may(Permission::Read, &[name])?;
    let ordinals = view
        .ordinals_named(&name.folded())
        .map_err(|error| broken(&error))?;
    let mut found: Vec<(SecretId, Secret)> = Vec::new();
    for ordinal in ordinals {
        found.extend(view.secret(ordinal).map_err(|error| broken(&error))?);
    }
    let rank = |secret: &Secret| (secret.lifecycle == Lifecycle::Active, secret.updated_at);
    let best = found.into_iter().max_by_key(|(_, secret)| rank(secret));
    match best {
        Some((id, secret)) if secret.name == *name => Ok((id, secret)),
        Some((_, secret)) => Err(Rejection::new(
            Code::NotFound,
            format!("there is no secret {name}; there is {}", secret.name),
        )),
        None => Err(Rejection::new(
            Code::NotFound,
            format!("there is no secret {name}"),
        )),
    }
}

fn row(
    view: &WorkspaceView<'_>,
    now: Millis,
    id: SecretId,
    secret: Secret,
) -> Result<SecretRow, Rejection> {
    let versions = view
        .versions(secret.ordinal)
        .map_err(|error| broken(&error))?;
    let version = Version(u32::try_from(versions.len()).unwrap_or(u32::MAX));
    let created_at = versions
        .first()
        .map_or(secret.updated_at, |version| version.at);
    let newest = versions
        .last()
        .map_or(secret.updated_at, |version| version.at);
    let older_than = |at: Millis, ms: u64| now.0.saturating_sub(at.0) > ms;
    let stale = secret
        .rotate_every
        .is_some_and(|period| older_than(newest, period.saturating_mul(1_000)));
    let uses = view
        .uses(secret.name.as_str())
        .map_err(|error| broken(&error))?;
    let used_by = |(workflow, block)| UsedBy { block, workflow };
    let used_by: Vec<UsedBy> = uses.into_iter().map(used_by).collect();
    let last_use = secret.last_revealed_at.unwrap_or(created_at);
    let unused = used_by.is_empty() && older_than(last_use, UNUSED_MS);
    Ok(SecretRow {
        id,
        stale,
        state: secret.lifecycle,
        unused,
        used_by,
        version,
        created_at,
        restricted: secret.restricted,
        updated_at: secret.updated_at,
        updated_by: secret.updated_by,
        updated_by_name: actor_name(view, &secret.updated_by)?,
        rotate_every: secret.rotate_every,
        last_revealed_at: secret.last_revealed_at,
        name: secret.name,
        hosts: secret.hosts,
        description: secret.description,
    })
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
        version,
        actor_name: actor_name(view, &info.actor)?,
    })
}
