//! Output: data on stdout, messages on stderr; tables for people, JSON for programs.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::Failure;

/// Where a command's output goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) json: bool,
    /// Headings in bold.
    styled: bool,
}

/// Bytes as they are to stderr: what a program printed that is not ours.
pub(crate) fn relay(bytes: &[u8]) {
    let _ = io::stderr().lock().write_all(bytes);
}

impl Output {
    /// For this process. `NO_COLOR` (no-color.org) and a terminal that knows no styles are heeded.
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

    /// Items that go on what was written before, such as the next page of a list.
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

    /// What a command did: a document for programs, words for people on stderr.
    pub(crate) fn done(self, json: &impl Serialize, words: &str) -> Result<(), Failure> {
        if self.json {
            return self.document(json);
        }
        self.note(words);
        Ok(())
    }

    /// A message on stderr. Nothing depends on its being read.
    pub(crate) fn note(self, text: &str) {
        if self.json {
            let said = serde_json::json!({"note": text});
            let _ = writeln!(io::stderr().lock(), "{said}");
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
            let said = serde_json::json!({
                "error": {"code": failure.code(), "message": failure.message()}
            });
            let _ = writeln!(io::stderr().lock(), "{said}");
            return;
        }
        let (message, code) = (failure.message(), failure.code());
        // The code stays the last word: scripts look for it there.
        let advice = match code {
            "rollback" | "fork" | "corrupt"
                if !message.contains("keyroll recover") && !message.contains("`keyroll audit") =>
            {
                "; `keyroll audit verify` says more, operators go on with `keyroll recover`, and who \
                 knows why entries are gone with `keyroll audit accept`"
            }
            _ => "",
        };
        self.note(&format!("error: {message}{advice} ({code})"));
    }
}

/// A column: its heading and its cell for an item.
pub(crate) type Column<T> = (&'static str, fn(&T) -> String);

/// A table: columns as wide as their widest cell.
pub(crate) struct Table<T>(pub(crate) Vec<Column<T>>);

impl<T> Table<T> {
    /// The text, a heading first; nothing for no items.
    #[cfg(test)]
    pub(crate) fn render(&self, items: &[T], styled: bool) -> String {
        self.more(items, &mut Widths::default(), styled)
    }

    /// The text of items that go on a table; with a heading when it begins.
    fn more(&self, items: &[T], widths: &mut Widths, styled: bool) -> String {
        if items.is_empty() {
            return String::new();
        }
        let begins = widths.0.is_empty();
        let mut rows: Vec<Vec<String>> = Vec::new();
        if begins {
            let headings = self.0.iter().map(|(heading, _)| (*heading).to_owned());
            rows.push(headings.collect());
        }
        rows.extend(
            items
                .iter()
                .map(|item| self.0.iter().map(|(_, cell)| plain(&cell(item))).collect()),
        );
        widths.fit(&rows);
        let mut text = String::new();
        for (number, row) in rows.iter().enumerate() {
            let line = line(row, &widths.0);
            let _ = if styled && begins && number == 0 {
                writeln!(text, "\u{1b}[1m{line}\u{1b}[0m")
            } else {
                writeln!(text, "{line}")
            };
        }
        text
    }
}

/// How wide the columns of a table are so far.
#[derive(Debug, Default)]
pub(crate) struct Widths(Vec<usize>);

impl Widths {
    fn fit(&mut self, rows: &[Vec<String>]) {
        for row in rows {
            self.0.resize(self.0.len().max(row.len()), 0);
            for (width, cell) in self.0.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
    }
}

/// A JSON document and its line end.
fn document_line(into: &mut Vec<u8>, document: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *into, document)
        .map_err(|error| Failure::local(format!("the output is no JSON: {error}")))?;
    into.push(b'\n');
    Ok(())
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    cells.join("  ").trim_end().to_owned()
}

/// Text from elsewhere on one line, without anything that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if obeyed(c) {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// As [`plain`], but lines stay lines.
fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// Control characters, and those that turn the direction of text around.
fn obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<(&'static str, u32)> {
        Table(vec![
            ("NAME", |item| item.0.to_owned()),
            ("VERSION", |item| item.1.to_string()),
        ])
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let items = [("API_Key", 3), ("é", 12)];
        assert_eq!(
            table().render(&items, false),
            "NAME     VERSION\nAPI_Key  3\né        12\n"
        );
        let mut widths = Widths::default();
        let pages = [&items[1..], &[], &items[..1], &items[1..]];
        let text = pages.map(|page| table().more(page, &mut widths, false));
        assert_eq!(
            text.concat(),
            "NAME  VERSION\né     12\nAPI_Key  3\né        12\n"
        );
        assert!(
            table()
                .render(&items, true)
                .starts_with("\u{1b}[1mNAME     VERSION\u{1b}[0m\n")
        );
        assert_eq!(table().render(&[], true), "");
    }

    #[test]
    fn nothing_in_a_cell_reaches_the_terminal_as_an_order() {
        let text = table().render(&[("a\u{1b}[2J\nb\u{202e}c", 1)], false);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        assert_eq!(plain_lines("a\n\u{7}b"), "a\n\\u{7}b");
    }
}
