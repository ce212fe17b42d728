//! The list of open sign-ins.

use keyroll_core::roles::Permission;
use keyroll_core::{Code, Rejection};
use keyroll_wire::query::{SignInList, SignInName};
use keyroll_wire::reply::{SignInRow, SignInRows};

use super::Asker;
use crate::page::Page;
use crate::projection::WorkspaceView;

/// Open sign-ins, by member and key. Everybody sees the own ones; owners and auditors see all.
pub(super) fn list(
    view: &WorkspaceView<'_>,
    asker: &Asker<'_>,
    list: &SignInList,
) -> Result<SignInRows, Rejection> {
    asker.may(Permission::Read, &[])?;
    let sees_all =
        asker.may(Permission::Manage, &[]).is_ok() || asker.may(Permission::Audit, &[]).is_ok();
    let of = match list.member {
        Some(member) if member != asker.id && !sees_all => {
            let message = "only owners and auditors see the sign-ins of others";
            return Err(Rejection::new(Code::Denied, message));
        }
        None if !sees_all => Some(asker.id),
        of => of,
    };
    let after = list.after.map(|name| (name.member, name.key));
    let mut page = Page::new(list.limit);
    let (mut last, mut next) = (list.after, None);
    for ((member, key), known) in view.sign_ins(of, after)? {
        let (true, Some(opened), Some(origin)) =
            (known.is_open(asker.now), known.opened, known.origin)
        else {
            continue;
        };
        let Some(name) = view.member(&member)?.map(|member| member.name) else {
            continue;
        };
        let row = SignInRow {
            key,
            name,
            until: known.until,
            origin,
            member,
            opened,
        };
        if !page.take(vec![row]) {
            next = last;
            break;
        }
        last = Some(SignInName { key, member });
    }
    let rows = page.rows();
    Ok(SignInRows { next, rows })
}
