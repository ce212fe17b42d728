//! Adding, changing and removing members.

use axum::extract::Path;
use axum::response::Response;
use keyroll_core::command::{MemberRecord, MemberRemove};
use keyroll_core::roles::Role;
use keyroll_core::{Action, Glob, Identity, MemberId, Millis};
use keyroll_wire::reply::MemberRow;
use keyroll_wire::time;
use keyroll_wire::time::now;
use maud::{Markup, html};
use serde::Deserialize;

use super::list::{globs, with_sheet};
use crate::failure::Failure;
use crate::form::{Submitted, WorkspaceForm};
use crate::format::rfc3339;
use crate::input::{is_never, list};
use crate::layout::{form_end, sheet};
use crate::request::WorkspaceRequest;
use keyroll_wire::time::duration;

/// The fields of a member, in the forms that add and change one.
#[derive(Deserialize)]
struct MemberFields {
    name: String,
    role: String,
    #[serde(default)]
    secrets: String,
    #[serde(default)]
    expires: String,
}

#[derive(Deserialize)]
pub(super) struct AddForm {
    #[serde(default)]
    key: String,
    #[serde(flatten)]
    fields: MemberFields,
}

#[derive(Deserialize)]
pub(super) struct ChangeForm {
    #[serde(flatten)]
    fields: MemberFields,
}

/// The form of the button "Remove".
#[derive(Deserialize)]
pub(super) struct RemoveForm {}

pub(super) async fn show_add(request: WorkspaceRequest) -> Response {
    let over = may_manage(&request).map(|()| {
        let key = html! {
            div.field {
                label for="key" { "Public key" }
                input #key .mono name="key" required placeholder="ed25519:…" autocomplete="off" spellcheck="false" aria-describedby="key-note";
                p.note #key-note { "Printed by " code { "keyroll identity show" } " on the member’s machine." }
            }
        };
        form(&request, "Add member", "members/add", &key, None)
    });
    with_sheet(&request, over).await
}

pub(super) async fn show_change(
    request: WorkspaceRequest,
    Path((_, key)): Path<(String, String)>,
) -> Response {
    let over = may_manage(&request).and_then(|()| {
        let row = member(&request, &key)?;
        let path = format!("members/{}/change", row.member);
        let shown = html! { p.note { code.long { (row.member) } } };
        Ok(form(
            &request,
            &format!("Change {}", row.name),
            &path,
            &shown,
            Some(row),
        ))
    });
    with_sheet(&request, over).await
}

fn may_manage(request: &WorkspaceRequest) -> Result<(), Failure> {
    if request.access.manages() {
        return Ok(());
    }
    Err(Failure::denied(
        "Only owners can change members, each with their own key.",
    ))
}

fn form(
    request: &WorkspaceRequest,
    title: &str,
    path: &str,
    key: &Markup,
    row: Option<&MemberRow>,
) -> Markup {
    let back = request.path("members");
    let role = row.map_or(Role::Viewer, |row| row.role);
    let secrets = row.map_or_else(|| "*".to_owned(), globs);
    let expires = row
        .and_then(|row| row.expires)
        .map(rfc3339)
        .unwrap_or_default();
    let body = html! {
        form method="post" action=(request.path(path)) {
            div.field {
                label for="name" { "Name" }
                input #name name="name" required maxlength="128" value=[row.map(|row| row.name.as_str())] autocomplete="off" autofocus;
            }
            (key)
            fieldset {
                legend { "Role" }
                @for one in Role::ALL {
                    label.check { input type="radio" name="role" value=(one.as_str()) checked[one == role]; span { strong { (one.as_str()) } " " span.dim { (one.about()) } } }
                }
            }
            div.field {
                label for="secrets" { "Secrets" }
                input #secrets .mono name="secrets" value=(secrets) autocomplete="off" spellcheck="false" aria-describedby="secrets-note";
                p.note #secrets-note { "Names with * and ?, such as stripe_*. Owners who manage members need *." }
            }
            div.field {
                label for="expires" { "Expires" }
                input #expires name="expires" value=(expires) placeholder="never" autocomplete="off" aria-describedby="expires-note";
                p.note #expires-note { "A time from now, such as 8h or 30d, or a date such as 2030-01-31T12:00:00Z." }
            }
            (form_end(title, &back, false, request.writes_off()))
        }
    };
    sheet(title, &back, false, &body)
}

fn member<'a>(request: &'a WorkspaceRequest, key: &str) -> Result<&'a MemberRow, Failure> {
    let member: MemberId = key
        .parse()
        .map_err(|_| Failure::not_found("That is not a member id."))?;
    let found = request.members.iter().find(|row| row.member == member);
    found.ok_or_else(|| Failure::not_found("There is no such member."))
}

fn record(fields: &MemberFields, member: MemberId) -> Result<MemberRecord, Failure> {
    let role = Role::ALL
        .into_iter()
        .find(|role| role.as_str() == fields.role);
    let secrets: Vec<Glob> = list(&fields.secrets)?;
    if secrets.is_empty() {
        return Err(Failure::field("Which secrets? Write * for all of them."));
    }
    Ok(MemberRecord {
        name: fields.name.trim().parse()?,
        role: role.ok_or_else(|| Failure::field("Choose a role."))?,
        member,
        expires: expires(&fields.expires, now())?,
        secrets,
    })
}

fn expires(typed: &str, now: Millis) -> Result<Option<Millis>, Failure> {
    if is_never(typed) {
        return Ok(None);
    }
    let typed = typed.trim();
    let invalid = || {
        Failure::field("That is not a time in the future: write 8h, 30d or 2030-01-31T12:00:00Z.")
    };
    let from_now = || {
        let millis = u64::try_from(duration(typed)?.as_millis()).ok()?;
        now.0.checked_add(millis).map(Millis)
    };
    let at = time::parse(typed).ok().or_else(from_now);
    let at = at.filter(|at| *at > now && *at <= time::LAST);
    at.map(Some).ok_or_else(invalid)
}

impl WorkspaceForm for AddForm {
    async fn submit(self, request: &WorkspaceRequest, _: &str) -> Result<Submitted, Failure> {
        let key: Identity = self.key.trim().parse().map_err(|_| {
            Failure::field(
                "A public key is ed25519: and 43 letters, as `keyroll identity show` prints it.",
            )
        })?;
        let record = record(&self.fields, key.into())?;
        let name = record.name.clone();
        let index = request.act(Action::MemberAdd(record)).await?;
        Ok(Submitted::new(
            format!("Added {name} (entry {index})."),
            request.path("members"),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("members/add")
    }
}

impl WorkspaceForm for ChangeForm {
    async fn submit(self, request: &WorkspaceRequest, target: &str) -> Result<Submitted, Failure> {
        let record = record(&self.fields, member(request, target)?.member)?;
        let name = record.name.clone();
        let index = request.act(Action::MemberChange(record)).await?;
        Ok(Submitted::new(
            format!("Changed {name} (entry {index})."),
            request.path("members"),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("members")
    }
}

impl WorkspaceForm for RemoveForm {
    async fn submit(self, request: &WorkspaceRequest, target: &str) -> Result<Submitted, Failure> {
        let row = member(request, target)?;
        let action = Action::MemberRemove(MemberRemove { member: row.member });
        let index = request.act(action).await?;
        Ok(Submitted::new(
            format!("Removed {} (entry {index}).", row.name),
            request.path("members"),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("members")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_in_the_future() {
        let now = Millis(1_700_000_000_000);
        assert_eq!(expires(" never ", now).expect("read"), None);
        assert_eq!(
            expires("8h", now).expect("read"),
            Some(Millis(now.0 + 28_800_000))
        );
        let time = expires("2030-01-31T12:00:00Z", now).expect("read");
        assert_eq!(time, Some(Millis(1_896_091_200_000)));
        let last = expires("9999-12-31T23:59:59Z", now).expect("read");
        assert_eq!(last, Some(Millis(253_402_300_799_000)));
        for bad in [
            "soon",
            "2001-01-01T00:00:00Z",
            "2030-01-01T00:00:00+25:00",
            "3000000d",
            "-2h",
            "0s",
        ] {
            assert!(expires(bad, now).is_err(), "{bad}");
        }
    }
}
