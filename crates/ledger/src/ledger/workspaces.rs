//! The workspaces that somebody is a member of.

use keyroll_core::state::Member;
use keyroll_core::{Identity, Millis, Rejection};
use keyroll_wire::query::{PAGE_ROWS, WorkspaceList};
use keyroll_wire::reply::{WorkspaceRow, WorkspaceRows};

use super::Ledger;
use super::page::Page;
use super::query::broken;

impl Ledger {
    /// The workspaces that somebody is a member of, by name.
    pub(super) fn workspaces_of(&self, identity: Identity) -> Result<Vec<WorkspaceRow>, Rejection> {
        let view = self.projection().view().map_err(|error| broken(&error))?;
        let mut rows = Vec::new();
        for (_, head) in view.workspaces().map_err(|error| broken(&error))? {
            let found = view.workspace(&head.name).map_err(|error| broken(&error))?;
            let Some(found) = found else { continue };
            let member = found.member(&identity).map_err(|error| broken(&error))?;
            if let Some(member) =
                member.filter(|member| present(member, head.row.time_at(self.now())))
            {
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

    pub(super) fn workspaces_page(
        &self,
        identity: Identity,
        list: &WorkspaceList,
    ) -> Result<WorkspaceRows, Rejection> {
        let mut page = Page::<WorkspaceRow>::new(PAGE_ROWS);
        let (mut last, mut next) = (None, None);
        for row in self.workspaces_of(identity)? {
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
}

/// Whether a membership is in force.
fn present(member: &Member, now: Millis) -> bool {
    !member.removed && member.expires.is_none_or(|end| now < end)
}
