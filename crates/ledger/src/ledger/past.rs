//! Questions about a point in history. Who may ask is judged as of now; what is shown is as of
//! then.

use keyroll_api::query::{MemberList, Moment, PAGE_ROWS, Point};
use keyroll_api::reply::{MemberRow, MemberRows, WorkspaceAt};
use keyroll_core::authorize::Permission;
use keyroll_core::state::Member;
use keyroll_core::{Code, Digest, Identity, Rejection, TreeSize};

use super::query::{Asker, broken};
use crate::projection::WorkspaceView;

/// Bytes of members in one answer: their patterns make rows of very different sizes.
const MEMBER_BYTES: usize = 512 * 1024;
/// What a member's row costs besides its name and patterns.
const MEMBER_OVERHEAD: usize = 160;

/// What a point in history is.
pub(super) fn at(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    point: Point,
) -> Result<WorkspaceAt, Rejection> {
    asker.may(Permission::Read, &[])?;
    let at = match point {
        Point::Size(size) => {
            check_size(view, size)?;
            let time = view.time_of(size).map_err(|error| broken(&error))?;
            Moment { size, time }
        }
        Point::Time(time) => {
            let first = view.first_after(time).map_err(|error| broken(&error))?;
            let size = TreeSize(first.0);
            Moment { size, time }
        }
    };
    let root = keyroll_merkle::root(view, at.size.0).map_err(|error| broken(&error))?;
    let root = Digest(root.0);
    Ok(WorkspaceAt { at, root })
}

/// Nothing is known of entries to come.
pub(super) fn check_size(view: &WorkspaceView<'_>, size: TreeSize) -> Result<(), Rejection> {
    if size <= view.size() {
        return Ok(());
    }
    let message = format!("there are {} entries, not {size}", view.size());
    Err(Rejection::new(Code::InvalidField, message))
}

/// Members, former ones too, in order of joining.
pub(super) fn members(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    list: &MemberList,
) -> Result<MemberRows, Rejection> {
    asker.may(Permission::Read, &[])?;
    let size = list.at.map_or(view.size(), |at| at.size);
    check_size(view, size)?;
    let limit = usize::try_from(list.limit.clamp(1, PAGE_ROWS)).unwrap_or(1);
    let found = view
        .members_at(size, list.after.unwrap_or(0), limit + 1)
        .map_err(|error| broken(&error))?;
    let more = found.len() > limit;
    let (mut rows, mut bytes, mut last) = (Vec::new(), 0, None);
    for (identity, member) in found.into_iter().take(limit) {
        bytes += weight(&member);
        if bytes > MEMBER_BYTES && last.is_some() {
            return Ok(MemberRows { next: last, rows });
        }
        last = Some(member.ordinal);
        rows.push(row(identity, member));
    }
    let next = last.filter(|_| more);
    Ok(MemberRows { next, rows })
}

fn weight(member: &Member) -> usize {
    let globs: usize = member
        .secrets
        .iter()
        .map(|glob| glob.as_str().len() + 3)
        .sum();
    globs + member.name.as_str().len() + MEMBER_OVERHEAD
}

fn row(member: Identity, known: Member) -> MemberRow {
    MemberRow {
        name: known.name,
        role: known.role,
        member,
        expires: known.expires,
        removed: known.removed,
        secrets: known.secrets,
    }
}
