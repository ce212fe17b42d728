//! The list of invitations.

use keyroll_core::Rejection;
use keyroll_core::roles::Permission;
use keyroll_wire::query::InvitationList;
use keyroll_wire::reply::{AcceptedRow, InvitationRow, InvitationRows};

use super::Asker;
use crate::page::Page;
use crate::projection::WorkspaceView;

/// Invitations that are remembered, by the key of the code. Everybody who sees the members sees
/// them, so that nobody is invited unseen.
pub(super) fn list(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    list: &InvitationList,
) -> Result<InvitationRows, Rejection> {
    asker.may(Permission::Read, &[])?;
    let mut page = Page::new(list.limit);
    let (mut last, mut next) = (list.after, None);
    for (key, known) in view.invitations(list.after)? {
        let Some(by) = view.member(&known.by)? else {
            continue;
        };
        if known.is_forgotten(asker.now) {
            continue;
        }
        let accepted = known.accepted.map(|of| AcceptedRow {
            at: of.at,
            member: of.member,
        });
        let row = InvitationRow {
            by: known.by,
            key,
            name: known.name,
            role: known.role,
            until: known.until,
            by_name: by.name,
            expires: known.expires,
            secrets: known.secrets,
            accepted,
        };
        if !page.take(vec![row]) {
            next = last;
            break;
        }
        last = Some(key);
    }
    let rows = page.rows();
    Ok(InvitationRows { next, rows })
}
