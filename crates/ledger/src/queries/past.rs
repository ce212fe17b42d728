//! Queries about a point in history. Permission is judged as of now; the rows shown are as of then.

use keyroll_core::roles::Permission;
use keyroll_core::state::Member;
use keyroll_core::{Code, Digest, MemberId, Rejection, TreeSize};
use keyroll_wire::query::{AsOf, MemberList, PointInTime};
use keyroll_wire::reply::{MemberRow, MemberRows, WorkspaceAt};

use super::Asker;
use crate::page::Page;
use crate::projection::WorkspaceView;

/// The size, time and root of a point in history.
pub(super) fn at(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    point: AsOf,
) -> Result<WorkspaceAt, Rejection> {
    asker.may(Permission::Read, &[])?;
    let at = match point {
        AsOf::Size(size) => {
            check_size(view, size)?;
            let time = view.time_of(size)?;
            PointInTime { size, time }
        }
        AsOf::Time(time) => {
            let first = view.first_after(time)?;
            let size = TreeSize(first.0);
            PointInTime { size, time }
        }
    };
    let root = keyroll_merkle::root(view, at.size.0)?;
    let root = Digest(root.0);
    Ok(WorkspaceAt { at, root })
}

/// Entries that do not exist yet cannot be asked about.
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
    let (mut page, mut last) = (Page::new(list.limit), list.after);
    let after = list.after.unwrap_or(0);
    let mut next = None;
    view.members_at(size, after, |identity, member| {
        let ordinal = member.ordinal;
        let taken = page.take(vec![row(identity, member)]);
        if taken {
            last = Some(ordinal);
        } else {
            next = last;
        }
        taken
    })?;
    let rows = page.rows();
    Ok(MemberRows { next, rows })
}

fn row(member: MemberId, known: Member) -> MemberRow {
    MemberRow {
        name: known.name,
        role: known.role,
        member,
        expires: known.expires,
        removed: known.removed,
        secrets: known.secrets,
    }
}
