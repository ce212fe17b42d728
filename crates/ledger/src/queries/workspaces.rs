//! The workspaces that a key is a member of.

use keyroll_core::state::Member;
use keyroll_core::{Identity, Millis, Rejection};
use keyroll_wire::query::{PAGE_ROWS, WorkspaceList};
use keyroll_wire::reply::{WorkspaceRow, WorkspaceRows};

use crate::context::Context;
use crate::page::Page;

/// The workspaces that a key is a member of, by name.
pub(crate) fn workspaces_of(
    context: &Context,
    key: Identity,
) -> Result<Vec<WorkspaceRow>, Rejection> {
    let view = context.view()?;
    let mut rows = Vec::new();
    for (_, head) in view.workspaces()? {
        let Some(found) = view.workspace(&head.name)? else {
            continue;
        };
        let now = head.row.time_at(context.now());
        let member = found.member(&key.into())?;
        if let Some(member) = member.filter(|member| is_current(member, now)) {
            rows.push(WorkspaceRow {
                role: member.role,
                size: head.size,
                workspace: head.name,
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

/// Whether a membership is in force.
fn is_current(member: &Member, now: Millis) -> bool {
    !member.removed && member.expires.is_none_or(|end| now < end)
}
