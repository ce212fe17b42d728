//! Output: data on stdout, messages on stderr; tables for people, JSON for programs.

mod table;
mod text;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use zeroize::Zeroizing;

pub(crate) use self::table::{Column, Table, Widths};
pub(crate) use self::text::plain;
use self::text::plain_lines;
use crate::error::Failure;

/// Where a command's output goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) json: bool,
    /// Headings in bold.
    styled: bool,
}

/// Writes bytes unchanged to stderr: the output of another program.
pub(crate) fn relay(bytes: &[u8]) {
    let _ = io::stderr().lock().write_all(bytes);
}

impl Output {
    /// The output of this process. It respects `NO_COLOR` (no-color.org) and terminals without styles.
    pub(crate) fn new(json: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            json,
            styled: io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }

    /// Bytes to stdout, nothing added.
    #[expect(clippy::unused_self, reason = "all output goes through an Output")]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// A line of text to stdout.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// A JSON document as one line to stdout. It may hold a value, so it is wiped afterwards.
    pub(crate) fn document(self, document: &impl Serialize) -> Result<(), Failure> {
        let mut line = Zeroizing::new(Vec::with_capacity(1024));
        document_line(&mut line, document)?;
        self.bytes(&line)
    }

    /// Items: one JSON line each, or a table.
    pub(crate) fn items<T, J: Serialize>(
        self,
        items: &[T],
        json: impl Fn(&T) -> J,
        table: &Table<T>,
    ) -> Result<(), Failure> {
        self.more_items(items, json, table, &mut Widths::default())
    }

    /// More items of the same list, such as its next page.
    pub(crate) fn more_items<T, J: Serialize>(
        self,
        items: &[T],
        json: impl Fn(&T) -> J,
        table: &Table<T>,
        widths: &mut Widths,
    ) -> Result<(), Failure> {
        if !self.json {
            return self.bytes(table.more(items, widths, self.styled).as_bytes());
        }
        let mut lines = Vec::new();
        for item in items {
            document_line(&mut lines, &json(item))?;
        }
        self.bytes(&lines)
    }

    /// Facts: one JSON document, or a line per fact.
    pub(crate) fn facts(
        self,
        json: &impl Serialize,
        facts: &[(&str, String)],
    ) -> Result<(), Failure> {
        if self.json {
            return self.document(json);
        }
        let width = facts
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or_default();
        let text = facts.iter().fold(String::new(), |mut text, (name, fact)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:width$}  {}", plain(fact));
            text
        });
        self.bytes(text.as_bytes())
    }

    /// The result of a command: a document for programs, a message for people on stderr.
    pub(crate) fn done(self, json: &impl Serialize, words: &str) -> Result<(), Failure> {
        if self.json {
            return self.document(json);
        }
        self.note(words);
        Ok(())
    }

    /// A message on stderr. Nothing depends on whether somebody reads it.
    pub(crate) fn note(self, text: &str) {
        if self.json {
            let line = serde_json::json!({"note": text});
            let _ = writeln!(io::stderr().lock(), "{line}");
            return;
        }
        let _ = writeln!(io::stderr().lock(), "{}", plain_lines(text));
    }

    /// A warning on stderr.
    pub(crate) fn warn(self, text: &str) {
        self.note(&format!("warning: {text}"));
    }

    /// A failure on stderr.
    pub(crate) fn failure(self, failure: &Failure) {
        if let Failure::Pipe = failure {
            return;
        }
        if self.json {
            let line = serde_json::json!({
                "error": {"code": failure.code(), "message": failure.message()}
            });
            let _ = writeln!(io::stderr().lock(), "{line}");
            return;
        }
        let (message, code) = (failure.message(), failure.code());
        // The code stays at the end: scripts look for it there.
        let advice = match code {
            "rollback" | "fork" | "corrupt"
                if !message.contains("keyroll recover") && !message.contains("`keyroll audit") =>
            {
                ". `keyroll audit verify` shows details. Operators repair the log with `keyroll recover`. If you \
                 know why entries are lost, run `keyroll audit accept`"
            }
            _ => "",
        };
        self.note(&format!("error: {message}{advice} ({code})"));
    }
}

/// A JSON document and its line end.
fn document_line(into: &mut Vec<u8>, document: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *into, document).map_err(|error| {
        Failure::local(format!("the output cannot be written as JSON: {error}"))
    })?;
    into.push(b'\n');
    Ok(())
}
