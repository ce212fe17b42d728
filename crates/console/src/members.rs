//! The Members tab.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Form, Router};
use jiff::{Span, SpanRelativeTo};
use keyroll_core::command::{MemberRecord, MemberRemove};
use keyroll_core::roles::Role;
use keyroll_core::{Action, Glob, Identity, Millis};
use keyroll_wire::reply::MemberRow;
use keyroll_wire::time;
use keyroll_wire::time::now;
use maud::{Markup, html};
use serde::Deserialize;

use crate::failure::Failure;
use crate::page::{Page, Tab, form_end, sheet};
use crate::server::App;
use crate::visit::Visit;
use crate::words::{ago, rfc3339, short_key, until};

/// Members shown on one page; `keyroll member list` shows them all.
const SHOWN: usize = 200;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/w/{workspace}/members", get(show))
        .route("/w/{workspace}/members/add", get(show_add).post(add))
        .route(
            "/w/{workspace}/members/{key}/change",
            get(show_change).post(change),
        )
        .route("/w/{workspace}/members/{key}/remove", post(remove))
}

#[derive(Deserialize)]
struct Fields {
    name: String,
    #[serde(default)]
    key: String,
    role: String,
    #[serde(default)]
    secrets: String,
    #[serde(default)]
    expires: String,
}

async fn show(visit: Visit) -> Response {
    page(&visit, None).await
}

async fn page(visit: &Visit, over: Option<Markup>) -> Response {
    visit
        .page(Page {
            tab: Tab::Members,
            title: "Members".to_owned(),
            body: body(visit),
            over,
        })
        .await
}

async fn with_sheet(visit: &Visit, over: Result<Markup, Failure>) -> Response {
    match over {
        Ok(over) => page(visit, Some(over)).await,
        Err(failure) => visit.wants.failure(&failure, Some(&visit.path("members"))),
    }
}

fn body(visit: &Visit) -> Markup {
    let present: Vec<&MemberRow> = visit.members.iter().filter(|row| !row.removed).collect();
    let former: Vec<&MemberRow> = visit.members.iter().filter(|row| row.removed).collect();
    html! {
        div.head {
            h1 { "Members" }
            p.note {
                @if visit.access.manages() { "Who may do what here. Every change is on record." }
                @else if visit.session.delegated() { "Members are changed with your own key only: `keyroll member`, or your own console." }
                @else { "Owners change who may do what." }
            }
            span.fill {}
            @if visit.access.manages() { a.button.main href=[visit.to("members/add")] aria-disabled=[visit.off()] data-key="n" { "Add member" } }
        }
        (table(visit, &present, "Members"))
        @if !former.is_empty() {
            details.fold { summary { "Former members, " (former.len()) } (table(visit, &former, "Former members")) }
        }
    }
}

fn table(visit: &Visit, rows: &[&MemberRow], caption: &str) -> Markup {
    html! {
        div.scroll {
            table.members.cards {
                caption.vh { (caption) " of " (visit.workspace) }
                thead {
                    tr {
                        th scope="col" { "Name" }
                        th scope="col" { "Role" }
                        th scope="col" { "Secrets" }
                        th scope="col" { "Expires" }
                        th scope="col" { "Public key" }
                        th scope="col" { span.vh { "Actions" } }
                    }
                }
                tbody { @for row in rows.iter().take(SHOWN) { (line(visit, row)) } }
            }
        }
        @if rows.len() > SHOWN { p.note { "The first " (SHOWN) " of " (rows.len()) ". `keyroll member list` shows all." } }
    }
}

fn line(visit: &Visit, row: &MemberRow) -> Markup {
    let own = row.member == visit.session.client.identity();
    let off = visit.app.verification.failed(&visit.workspace);
    html! {
        tr tabindex="-1" data-name=(row.name) {
            th scope="row" { span.who { (row.name) } " " @if own { span.flag data-flag="current" { "you" } } }
            td { (row.role.as_str()) }
            td data-label="Secrets" { code { (globs(row)) } }
            td data-label="Expires" { (expiry(row, visit.now)) }
            td.key {
                code title=(row.member) { (short_key(&row.member)) }
                button.copy type="button" data-copy=(row.member) aria-label=(format!("Copy the public key of {}", row.name)) { (crate::page::icon("copy")) }
            }
            td.acts {
                @if visit.access.manages() && !row.removed {
                    a.button href=[visit.to(&format!("members/{}/change", row.member))] aria-disabled=[visit.off()] data-act="edit" aria-label=(format!("Change {}", row.name)) { "Change" }
                    form method="post" action=(visit.path(&format!("members/{}/remove", row.member))) {
                        button type="submit" disabled[off] aria-label=(format!("Remove {}", row.name)) data-sure="Remove for sure?" { "Remove" }
                    }
                }
            }
        }
    }
}

fn globs(row: &MemberRow) -> String {
    let globs: Vec<&str> = row.secrets.iter().map(Glob::as_str).collect();
    globs.join(" ")
}

fn expiry(row: &MemberRow, now: Millis) -> Markup {
    match row.expires {
        None => html! { span.dim { "never" } },
        Some(at) if at <= now => {
            html! { span.flag data-flag="stale" { "expired " (ago(at, now)) } }
        }
        Some(at) => html! { time datetime=(rfc3339(at)) { (until(at, now)) } },
    }
}

async fn show_add(visit: Visit) -> Response {
    let over = may_manage(&visit).map(|()| {
        let key = html! {
            div.field {
                label for="key" { "Public key" }
                input #key .mono name="key" required placeholder="ed25519:…" autocomplete="off" spellcheck="false" aria-describedby="key-note";
                p.note #key-note { "What " code { "keyroll identity show" } " prints on their machine." }
            }
        };
        form(&visit, "Add member", "members/add", &key, None)
    });
    with_sheet(&visit, over).await
}

async fn show_change(visit: Visit, Path((_, key)): Path<(String, String)>) -> Response {
    let over = may_manage(&visit).and_then(|()| {
        let row = member(&visit, &key)?;
        let path = format!("members/{}/change", row.member);
        let shown = html! { p.note { code.long { (row.member) } } };
        Ok(form(
            &visit,
            &format!("Change {}", row.name),
            &path,
            &shown,
            Some(row),
        ))
    });
    with_sheet(&visit, over).await
}

fn may_manage(visit: &Visit) -> Result<(), Failure> {
    if visit.access.manages() {
        return Ok(());
    }
    Err(Failure::denied(
        "Only owners change members, each with their own key.",
    ))
}

fn form(visit: &Visit, title: &str, path: &str, key: &Markup, row: Option<&MemberRow>) -> Markup {
    let back = visit.path("members");
    let off = visit.app.verification.failed(&visit.workspace);
    let about = [
        (Role::Owner, "everything"),
        (Role::Editor, "secrets, their values included"),
        (Role::Viewer, "names and history, never values"),
        (Role::Auditor, "names, history and the audit log"),
        (Role::Runner, "values for blocks, within its names"),
    ];
    let role = row.map_or(Role::Viewer, |row| row.role);
    let secrets = row.map_or_else(|| "*".to_owned(), globs);
    let expires = row
        .and_then(|row| row.expires)
        .map(rfc3339)
        .unwrap_or_default();
    let body = html! {
        form method="post" action=(visit.path(path)) {
            div.field {
                label for="name" { "Name" }
                input #name name="name" required maxlength="128" value=[row.map(|row| row.name.as_str())] autocomplete="off" autofocus;
            }
            (key)
            fieldset {
                legend { "Role" }
                @for (one, words) in about {
                    label.check { input type="radio" name="role" value=(one.as_str()) checked[one == role]; span { strong { (one.as_str()) } " " span.dim { (words) } } }
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
                p.note #expires-note { "How long from now, such as 8h or 30d, or a time such as 2030-01-31T12:00:00Z." }
            }
            (form_end(title, &back, false, off))
        }
    };
    sheet(title, &back, false, &body)
}

fn member<'a>(visit: &'a Visit, key: &str) -> Result<&'a MemberRow, Failure> {
    let key: Identity = key
        .parse()
        .map_err(|_| Failure::not_found("That is no public key."))?;
    let found = visit.members.iter().find(|row| row.member == key);
    found.ok_or_else(|| Failure::not_found("There is no such member."))
}

fn record(fields: &Fields, member: Identity) -> Result<MemberRecord, Failure> {
    let role = Role::ALL
        .into_iter()
        .find(|role| role.as_str() == fields.role);
    let words = fields
        .secrets
        .split(|c: char| c.is_whitespace() || c == ',');
    let globs: Result<Vec<Glob>, _> = words
        .filter(|word| !word.is_empty())
        .map(str::parse)
        .collect();
    let secrets = globs?;
    if secrets.is_empty() {
        return Err(Failure::field("Which secrets? Write * for all of them."));
    }
    Ok(MemberRecord {
        name: fields.name.trim().parse()?,
        role: role.ok_or_else(|| Failure::field("A role is needed."))?,
        member,
        expires: expires(&fields.expires, now())?,
        secrets,
    })
}

fn expires(typed: &str, now: Millis) -> Result<Option<Millis>, Failure> {
    let typed = typed.trim();
    if typed.is_empty() || typed.eq_ignore_ascii_case("never") {
        return Ok(None);
    }
    let wrong =
        || Failure::field("That is no time to come: write 8h, 30d or 2030-01-31T12:00:00Z.");
    let ahead = || {
        let span = typed.parse::<Span>().ok()?;
        let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        let ahead = u64::try_from(Duration::try_from(exact).ok()?.as_millis()).ok()?;
        now.0.checked_add(ahead).map(Millis)
    };
    let at = time::parse(typed).ok().or_else(ahead);
    let at = at.filter(|at| *at > now && *at <= time::LAST);
    at.map(Some).ok_or_else(wrong)
}

async fn add(visit: Visit, Form(fields): Form<Fields>) -> Response {
    let result = carry_out(&visit, &fields, None).await;
    let back = visit.path("members/add");
    visit.done(result, &back)
}

async fn change(
    visit: Visit,
    Path((_, key)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Response {
    let result = match member(&visit, &key) {
        Ok(row) => carry_out(&visit, &fields, Some(row.member)).await,
        Err(failure) => Err(failure),
    };
    let back = visit.path("members");
    visit.done(result, &back)
}

async fn carry_out(
    visit: &Visit,
    fields: &Fields,
    known: Option<Identity>,
) -> Result<(String, String), Failure> {
    let wrong = |_| {
        Failure::field(
            "A public key is ed25519: and 43 letters, as `keyroll identity show` prints it.",
        )
    };
    let (verb, member) = match known {
        Some(member) => ("Changed", member),
        None => ("Added", fields.key.trim().parse().map_err(wrong)?),
    };
    let record = record(fields, member)?;
    let name = record.name.clone();
    let action = match known {
        Some(_) => Action::MemberChange(record),
        None => Action::MemberAdd(record),
    };
    let index = visit.act(action).await?;
    Ok((
        format!("{verb} {name} (entry {index})."),
        visit.path("members"),
    ))
}

async fn remove(visit: Visit, Path((_, key)): Path<(String, String)>) -> Response {
    let result = take_out(&visit, &key).await;
    let back = visit.path("members");
    visit.done(result, &back)
}

async fn take_out(visit: &Visit, key: &str) -> Result<(String, String), Failure> {
    let row = member(visit, key)?;
    let action = Action::MemberRemove(MemberRemove { member: row.member });
    let index = visit.act(action).await?;
    Ok((
        format!("Removed {} (entry {index}).", row.name),
        visit.path("members"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_lies_ahead() {
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
