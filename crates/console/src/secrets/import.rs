//! Secrets from a file, pasted or chosen. Its values wait in memory for the preview's confirmation.

use axum::response::Response;
use keyroll_client::new_secret_id;
use keyroll_files::{Empty, Format, ParsedEntry, Problem, read};
use maud::html;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::list::{back, with_sheet};
use crate::failure::Failure;
use crate::form::{Submitted, WorkspaceForm, wiped};
use crate::layout::{form_end, sheet};
use crate::pending_imports::PendingImport;
use crate::request::WorkspaceRequest;

/// The largest text that a request holds once it is escaped.
const MAX_TEXT_BYTES: usize = 1024 * 1024;
/// Secrets of one import. So many are imported well within a request's time.
const MAX_SECRETS: usize = 2_000;
/// Bad lines that are named.
const PROBLEMS_SHOWN: usize = 20;

#[derive(Deserialize)]
pub(super) struct ImportForm {
    #[serde(default, deserialize_with = "wiped")]
    text: Zeroizing<String>,
    format: String,
    restricted: Option<String>,
}

pub(super) fn may_import(request: &WorkspaceRequest) -> Result<(), Failure> {
    if request.access.creates() {
        return Ok(());
    }
    Err(Failure::denied("Your role does not let you add secrets."))
}

pub(super) async fn show(request: WorkspaceRequest) -> Response {
    let back = back(&request, None);
    let body = html! {
        form method="post" action=(request.path("import")) {
            div.field.choose {
                label for="file" { "File" }
                input #file type="file" data-into="#text" data-most=(MAX_TEXT_BYTES);
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
                p.note #text-note { "One " code { "NAME=value" } " a line, or one object of names and values. The preview shows what would be created; until you confirm it, nothing is." }
            }
            label.check {
                input type="checkbox" name="restricted" value="on";
                "Restricted: released to runners’ blocks only, never shown"
            }
            (form_end("Preview", &back, false, request.writes_off()))
        }
    };
    let over = may_import(&request).map(|()| sheet("Import secrets", &back, true, &body));
    with_sheet(&request, over).await
}

impl WorkspaceForm for ImportForm {
    async fn submit(self, request: &WorkspaceRequest, _: &str) -> Result<Submitted, Failure> {
        may_import(request)?;
        let secrets = parse(&self.text, &self.format)?;
        let with_id = |secret| Ok((new_secret_id()?, secret));
        let secrets: Result<Vec<_>, Failure> = secrets.into_iter().map(with_id).collect();
        let token = request.app.imports.add(PendingImport {
            session: request.session.key,
            workspace: request.workspace.clone(),
            secrets: secrets?,
            restricted: self.restricted.is_some(),
        })?;
        Ok(Submitted {
            message: None,
            next: request.path(&format!("import/{token}")),
        })
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("import")
    }
}

/// The secrets in a text; a failure names its bad lines. A text field sends lines that end in CRLF.
fn parse(typed: &str, format: &str) -> Result<Vec<ParsedEntry>, Failure> {
    let format: Format = format.parse().map_err(Failure::field)?;
    let text = Zeroizing::new(typed.replace("\r\n", "\n"));
    if text.len() > MAX_TEXT_BYTES {
        return Err(Failure::field(
            "That is more than a megabyte: use `keyroll import`.",
        ));
    }
    let read = read(format, text.as_bytes(), Empty::Refuse);
    if !read.problems.is_empty() {
        return Err(Failure::field(describe(&read.problems)));
    }
    if read.secrets.is_empty() {
        return Err(Failure::field("There is no secret in it."));
    }
    if read.secrets.len() > MAX_SECRETS {
        return Err(Failure::field(format!(
            "These are more than {MAX_SECRETS} secrets: use `keyroll import`."
        )));
    }
    Ok(read.secrets)
}

fn describe(problems: &[Problem]) -> String {
    let mut lines = vec!["Nothing was imported.".to_owned()];
    let line = |problem: &Problem| format!("Line {}: {}", problem.line, problem.message);
    lines.extend(problems.iter().take(PROBLEMS_SHOWN).map(line));
    if problems.len() > PROBLEMS_SHOWN {
        lines.push(format!("and {} more", problems.len() - PROBLEMS_SHOWN));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, format: &str) -> String {
        match parse(text, format) {
            Ok(_) => panic!("accepted"),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn lines_of_a_text_field_are_lines_of_a_file() {
        let two = parse("A='x\r\ny'\r\nB=z\r\n", "dotenv").unwrap_or_else(|_| panic!("refused"));
        let values: Vec<&[u8]> = two.iter().map(|found| found.value.as_slice()).collect();
        assert_eq!(values, [&b"x\ny"[..], b"z"]);
    }

    #[test]
    fn bad_lines_are_named_by_number_and_never_repeated() {
        let message = refused("A=1\n9hunter2=x\n\nhunter2 hunter2\n", "dotenv");
        assert!(message.contains("\nLine 2: ") && message.contains("\nLine 4: "));
        assert!(!message.contains("hunter2") && !message.contains("Line 1"));
        let many = refused(&"9=hunter2\n".repeat(100), "dotenv");
        assert!(many.ends_with("and 80 more") && many.lines().count() == PROBLEMS_SHOWN + 2);
    }

    #[test]
    fn too_much_and_nothing_are_refused() {
        assert!(refused("", "dotenv").contains("no secret"));
        assert!(refused("A=1", "toml").contains("formats"));
        let large = "A".repeat(MAX_TEXT_BYTES + 1);
        assert!(refused(&large, "dotenv").contains("megabyte"));
        let many: Vec<String> = (0..=MAX_SECRETS).map(|at| format!("N{at}=x\n")).collect();
        assert!(refused(&many.concat(), "dotenv").contains("2000"));
    }
}
