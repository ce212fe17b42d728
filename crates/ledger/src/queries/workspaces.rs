//! The workspaces that a key is a member of.

use keyroll_core::state::Member;
use keyroll_core::{Identity, MemberId, Rejection};
use keyroll_wire::query::{PAGE_ROWS, WorkspaceList};
use keyroll_wire::reply::{WorkspaceRow, WorkspaceRows};

use crate::context::Context;
use crate::page::Page;
use crate::projection::{ProjectionError, WorkspaceView};

/// The workspaces that a key is a member of, by name.
pub(crate) fn workspaces_of(
    context: &Context,
    key: Identity,
) -> Result<Vec<WorkspaceRow>, Rejection> {
    let view = context.view()?;
    let mut rows = Vec::new();
    for found in view.memberships(&key.into())? {
        if let Some(member) = current_member(context, &found, &key.into())? {
            rows.push(WorkspaceRow {
                role: member.role,
                size: found.size(),
                workspace: found.head().name.clone(),
            });
        }
    }
    rows.sort_unstable_by(|a, b| a.workspace.cmp(&b.workspace));
    Ok(rows)
}

pub(crate) fn workspaces_page(
    context: &Context,
    key: Identity,
    list: &WorkspaceList,
) -> Result<WorkspaceRows, Rejection> {
    let mut page = Page::<WorkspaceRow>::new(PAGE_ROWS);
    let (mut last, mut next) = (None, None);
    for row in workspaces_of(context, key)? {
        if list.after.as_ref() >= Some(&row.workspace) {
            continue;
        }
        let name = row.workspace.clone();
        if !page.take(vec![row]) {
            next = last;
            break;
        }
        last = Some(name);
    }
    let rows = page.rows();
    Ok(WorkspaceRows { next, rows })
}

/// The member, if the membership is in force.
pub(crate) fn current_member(
    context: &Context,
    workspace: &WorkspaceView<'_>,
    member: &MemberId,
) -> Result<Option<Member>, ProjectionError> {
    let now = workspace.row().time_at(context.now());
    let member = workspace.member(member)?;
    let in_force = |member: &Member| !member.removed && member.expires.is_none_or(|end| now < end);
    Ok(member.filter(in_force))
}
