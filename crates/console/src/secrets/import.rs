//! Secrets from a file: pasted or chosen, looked at, confirmed. The values stay here in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Form;
use axum::extract::Path;
use axum::response::Response;
use keyroll_client::{NewSecretSpec, new_secret_id, split_import};
use keyroll_core::SecretId;
use keyroll_core::names::Text;
use keyroll_files::{Empty, Existing, Format, ParsedEntry, Problem, preview, read};
use keyroll_wire::query::{PAGE_ROWS, Question, SecretList};
use keyroll_wire::reply::{Answer, SecretRow};
use maud::{Markup, html};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::list::{back, with_sheet};
use crate::failure::Failure;
use crate::imports::Waiting;
use crate::page::{form_end, sheet};
use crate::visit::{Visit, answer};

/// The largest text: what a request holds of it, escaped.
const TEXT_BYTES: usize = 1024 * 1024;
/// Secrets of one import: what is carried out well within a request's time.
const SECRETS: usize = 2_000;
/// Rows of a preview, and bad lines that are named.
const ROWS: usize = 200;
const LINES: usize = 20;

#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    text: String,
    format: String,
    restricted: Option<String>,
}

/// How many secrets the person was told would be made.
#[derive(Deserialize)]
pub(super) struct Confirmed {
    create: usize,
}

fn may(visit: &Visit) -> Result<(), Failure> {
    if visit.access.creates() {
        return Ok(());
    }
    Err(Failure::denied("Your role does not let you add secrets."))
}

pub(super) async fn show(visit: Visit) -> Response {
    let back = back(&visit, None);
    let off = visit.app.verification.failed(&visit.workspace);
    let body = html! {
        form method="post" action=(visit.path("import")) {
            div.field.choose {
                label for="file" { "File" }
                input #file type="file" data-into="#text" data-most=(TEXT_BYTES);
            }
            div.field {
                label for="format" { "Format" }
                select #format name="format" {
                    option value="dotenv" { ".env" }
                    option value="json" { "JSON" }
                    option value="yaml" { "YAML" }
                }
            }
            div.field {
                label for="text" { "Content" }
                textarea #text .secret name="text" rows="12" required spellcheck="false" autocomplete="off" autocapitalize="off"
                    aria-describedby="text-note" {}
                p.note #text-note { "One " code { "NAME=value" } " a line, or one object of names and values. Nothing is made before you have seen what would be." }
            }
            label.check {
                input type="checkbox" name="restricted" value="on";
                "Restricted: released to runners’ blocks only, never shown"
            }
            (form_end("Preview", &back, false, off))
        }
    };
    let over = may(&visit).map(|()| sheet("Import secrets", &back, true, &body));
    with_sheet(&visit, over).await
}

pub(super) async fn prepare(visit: Visit, Form(fields): Form<Fields>) -> Response {
    let result = keep(&visit, fields);
    let back = visit.path("import");
    match result {
        Ok(token) => visit.wants.go(&format!("{back}/{token}")),
        Err(failure) => visit.wants.failure(&failure, Some(&back)),
    }
}

fn keep(visit: &Visit, fields: Fields) -> Result<String, Failure> {
    let typed = Zeroizing::new(fields.text);
    may(visit)?;
    visit.may_write()?;
    let secrets = found(&typed, &fields.format)?;
    let with_id = |found| Ok((new_secret_id()?, found));
    let secrets: Result<Vec<_>, Failure> = secrets.into_iter().map(with_id).collect();
    let waiting = Waiting {
        session: visit.session.key,
        workspace: visit.workspace.clone(),
        secrets: secrets?,
        restricted: fields.restricted.is_some(),
    };
    Ok(visit.app.imports.keep(waiting)?)
}

/// What a text holds, all of it good. A text field sends lines that end in CRLF.
fn found(typed: &str, format: &str) -> Result<Vec<ParsedEntry>, Failure> {
    let format: Format = format.parse().map_err(Failure::field)?;
    let text = Zeroizing::new(typed.replace("\r\n", "\n"));
    if text.len() > TEXT_BYTES {
        return Err(Failure::field(
            "That is more than a megabyte: use `keyroll import`.",
        ));
    }
    let read = read(format, text.as_bytes(), Empty::Refuse);
    if !read.problems.is_empty() {
        return Err(Failure::field(problems(&read.problems)));
    }
    if read.secrets.is_empty() {
        return Err(Failure::field("There is no secret in it."));
    }
    if read.secrets.len() > SECRETS {
        return Err(Failure::field(format!(
            "These are more than {SECRETS} secrets: use `keyroll import`."
        )));
    }
    Ok(read.secrets)
}

fn problems(problems: &[Problem]) -> String {
    let mut lines = vec!["Nothing was imported.".to_owned()];
    let line = |problem: &Problem| format!("Line {}: {}", problem.line, problem.message);
    lines.extend(problems.iter().take(LINES).map(line));
    if problems.len() > LINES {
        lines.push(format!("and {} more", problems.len() - LINES));
    }
    lines.join("\n")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Create,
    Done,
    Taken,
    Outside,
}

impl Fate {
    const fn words(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Done => "Imported before",
            Self::Taken => "Left out: the name is taken",
            Self::Outside => "Left out: not among the names that you may change",
        }
    }
}

fn waiting(visit: &Visit, token: &str) -> Result<Arc<Waiting>, Failure> {
    let (session, workspace) = (&visit.session.key, &visit.workspace);
    let kept = visit.app.imports.get(token, session, workspace);
    kept.ok_or_else(|| {
        let words = "This import is over: it was carried out, or waited for more than ten minutes.";
        Failure::not_found(words).see("Import again", visit.path("import"))
    })
}

/// What would become of each secret, in the file's order.
async fn fates(visit: &Visit, waiting: &Waiting) -> Result<Vec<Fate>, Failure> {
    let ids: BTreeMap<String, SecretId> = waiting
        .secrets
        .iter()
        .map(|(id, found)| (found.name.folded(), *id))
        .collect();
    let mut existing = BTreeMap::new();
    for row in active(visit).await? {
        let folded = row.name.folded();
        let own = ids.get(&folded) == Some(&row.id);
        let name = row.name;
        existing.insert(folded, Existing { name, own });
    }
    let found = waiting.secrets.iter().map(|(_, found)| found);
    let preview = preview(found.clone(), &existing);
    let mut fates: Vec<Fate> = found
        .map(|found| {
            if visit.access.writes(&found.name) {
                Fate::Create
            } else {
                Fate::Outside
            }
        })
        .collect();
    for at in preview.done {
        fates[at] = Fate::Done;
    }
    for (at, _) in preview.taken {
        fates[at] = Fate::Taken;
    }
    Ok(fates)
}

async fn active(visit: &Visit) -> Result<Vec<SecretRow>, Failure> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let ask = SecretList {
            at: None,
            after: after.clone(),
            limit: PAGE_ROWS,
            deleted: false,
        };
        let page = answer!(
            visit.ask(Question::SecretList(ask)).await?,
            Answer::SecretList
        )?;
        rows.extend(page.rows);
        if page.next.is_none() || page.next == after {
            return Ok(rows);
        }
        after = page.next;
    }
}

pub(super) async fn look(visit: Visit, Path((_, token)): Path<(String, String)>) -> Response {
    let over = looked(&visit, &token).await;
    with_sheet(&visit, over).await
}

async fn looked(visit: &Visit, token: &str) -> Result<Markup, Failure> {
    may(visit)?;
    let waiting = waiting(visit, token)?;
    let fates = fates(visit, &waiting).await?;
    let create = count(&fates, Fate::Create);
    let (address, again) = (visit.path(&format!("import/{token}")), visit.path("import"));
    let more = fates.len().saturating_sub(ROWS);
    let body = html! {
        p { (summary(&fates)) }
        div.scroll {
            table.import {
                caption.vh { "What would be imported" }
                thead { tr { th scope="col" { "Name" } th scope="col" { "Line" } th scope="col" { "What happens" } } }
                tbody {
                    @for ((_, found), fate) in waiting.secrets.iter().zip(&fates).take(ROWS) {
                        tr { th.mono scope="row" { (found.name) } td { (found.line) } td { (fate.words()) } }
                    }
                }
            }
        }
        @if more > 0 { p.note { "and " (more) " more" } }
        @if create > 0 {
            form method="post" action=(address) {
                input type="hidden" name="create" value=(create);
                (form_end(&format!("Import {create}"), &again, false, visit.app.verification.failed(&visit.workspace)))
            }
        } @else {
            p.buttons { a.button href=(again) { "Back" } }
        }
    };
    Ok(sheet("Import secrets", &back(visit, None), true, &body))
}

fn count(fates: &[Fate], of: Fate) -> usize {
    fates.iter().filter(|fate| **fate == of).count()
}

fn summary(fates: &[Fate]) -> String {
    let left_out = count(fates, Fate::Taken) + count(fates, Fate::Outside);
    let some = |count: usize, words: &str| (count > 0).then(|| format!("{count} {words}"));
    let words = [
        Some(format!("{} to create", count(fates, Fate::Create))),
        some(count(fates, Fate::Done), "imported before"),
        some(left_out, "left out"),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ") + "."
}

pub(super) async fn confirm(
    visit: Visit,
    Path((_, token)): Path<(String, String)>,
    Form(confirmed): Form<Confirmed>,
) -> Response {
    let result = carry_out(&visit, &token, confirmed.create).await;
    visit.done(result, &visit.path(&format!("import/{token}")))
}

async fn carry_out(
    visit: &Visit,
    token: &str,
    confirmed: usize,
) -> Result<(String, String), Failure> {
    may(visit)?;
    visit.may_write()?;
    let waiting = waiting(visit, token)?;
    let fates = fates(visit, &waiting).await?;
    if count(&fates, Fate::Create) != confirmed {
        let words = "Something changed meanwhile. Nothing was imported now.";
        let address = visit.path(&format!("import/{token}"));
        return Err(Failure::field(words).see("Look again", address));
    }
    let nothing: Text = "".parse()?;
    let chosen = waiting.secrets.iter().zip(&fates);
    let chosen = chosen.filter(|(_, fate)| **fate == Fate::Create);
    let new: Vec<_> = chosen
        .map(|((id, found), _)| {
            let spec = NewSecretSpec {
                name: found.name.clone(),
                description: nothing.clone(),
                hosts: Vec::new(),
                restricted: waiting.restricted,
                rotate_every: None,
            };
            (*id, spec, found.value.as_slice())
        })
        .collect();
    let mut entries = Vec::new();
    for part in split_import(&new) {
        let secrets = new.get(part).unwrap_or_default();
        let imported = visit.session.client.import(&visit.workspace, secrets).await;
        entries.push(visit.acted(imported)?.0);
    }
    visit.app.imports.done(token);
    let place = match entries.as_slice() {
        [] => String::new(),
        [one] => format!(" (entry {one})"),
        [first, .., last] => format!(" (entries {first} to {last})"),
    };
    let many = if new.len() == 1 { "secret" } else { "secrets" };
    let words = format!("Imported {} {many}{place}.", new.len());
    Ok((words, back(visit, None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, format: &str) -> String {
        match found(text, format) {
            Ok(_) => panic!("taken"),
            Err(failure) => failure.words,
        }
    }

    #[test]
    fn lines_of_a_text_field_are_lines_of_a_file() {
        let two = found("A='x\r\ny'\r\nB=z\r\n", "dotenv").unwrap_or_else(|_| panic!("refused"));
        let values: Vec<&[u8]> = two.iter().map(|found| found.value.as_slice()).collect();
        assert_eq!(values, [&b"x\ny"[..], b"z"]);
    }

    #[test]
    fn bad_lines_are_named_by_number_and_never_repeated() {
        let words = refused("A=1\n9hunter2=x\n\nhunter2 hunter2\n", "dotenv");
        assert!(words.contains("\nLine 2: ") && words.contains("\nLine 4: "));
        assert!(!words.contains("hunter2") && !words.contains("Line 1"));
        let many = refused(&"9=hunter2\n".repeat(100), "dotenv");
        assert!(many.ends_with("and 80 more") && many.lines().count() == LINES + 2);
    }

    #[test]
    fn what_is_too_much_or_nothing_is_refused() {
        assert!(refused("", "dotenv").contains("no secret"));
        assert!(refused("A=1", "toml").contains("formats"));
        let large = "A".repeat(TEXT_BYTES + 1);
        assert!(refused(&large, "dotenv").contains("megabyte"));
        let many: Vec<String> = (0..=SECRETS).map(|at| format!("N{at}=x\n")).collect();
        assert!(refused(&many.concat(), "dotenv").contains("2000"));
    }
}
