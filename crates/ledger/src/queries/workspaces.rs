//! The workspaces that somebody is a member of.

use keyroll_core::state::Member;
use keyroll_core::{Code, Identity, MemberId, Rejection};
use keyroll_wire::query::{PAGE_ROWS, WorkspaceList};
use keyroll_wire::reply::{WorkspaceRow, WorkspaceRows};

use super::SignedQuery;
use super::extends::await_log_end;
use crate::context::Context;
use crate::page::Page;
use crate::projection::{ProjectionError, WorkspaceView};

/// The member who asks about the ledger as a whole. A sign-in key speaks for it where it is open in
/// any workspace: a proof is for the whole ledger, and each was opened with one.
pub(crate) async fn member_of_ledger(
    context: &Context,
    query: &SignedQuery,
) -> Result<MemberId, Rejection> {
    let member = query.member();
    let Some(key) = query.sign_in_key() else {
        return Ok(member);
    };
    if is_open_anywhere(context, &member, &key)? {
        return Ok(member);
    }
    // Another replica may just have opened it.
    await_log_end(context).await?;
    if is_open_anywhere(context, &member, &key)? {
        return Ok(member);
    }
    let message =
        "your sign-in has ended, or was not opened yet: sign in again with `keyroll login`";
    Err(Rejection::new(Code::Denied, message))
}

fn is_open_anywhere(
    context: &Context,
    member: &MemberId,
    key: &Identity,
) -> Result<bool, Rejection> {
    let view = context.view()?;
    for workspace in view.memberships(member)? {
        let now = workspace.row().time_at(context.now());
        let known = workspace.sign_in(member, key)?;
        if known.is_some_and(|known| known.is_open(now)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The workspaces that somebody is a member of, by name.
pub(crate) fn workspaces_of(
    context: &Context,
    id: MemberId,
) -> Result<Vec<WorkspaceRow>, Rejection> {
    let view = context.view()?;
    let mut rows = Vec::new();
    for found in view.memberships(&id)? {
        if let Some(member) = current_member(context, &found, &id)? {
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
    id: MemberId,
    list: &WorkspaceList,
) -> Result<WorkspaceRows, Rejection> {
    let mut page = Page::<WorkspaceRow>::new(PAGE_ROWS);
    let (mut last, mut next) = (None, None);
    for row in workspaces_of(context, id)? {
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
    Ok(member.filter(|member| member.is_in_force(now)))
}
