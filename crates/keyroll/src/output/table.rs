//! Tables for people.

use std::fmt::Write as _;

use super::text::plain;

/// A column: its heading and its cell for an item.
pub(crate) type Column<T> = (&'static str, fn(&T) -> String);

/// A table: columns as wide as their widest cell.
pub(crate) struct Table<T>(pub(crate) Vec<Column<T>>);

impl<T> Table<T> {
    /// The text with its heading; empty for no items.
    #[cfg(test)]
    pub(crate) fn render(&self, items: &[T], styled: bool) -> String {
        self.more(items, &mut Widths::default(), styled)
    }

    /// The text of more items of a table; the first one has the heading.
    pub(super) fn more(&self, items: &[T], widths: &mut Widths, styled: bool) -> String {
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

/// The widths of a table's columns so far.
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

fn line(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    cells.join("  ").trim_end().to_owned()
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
    }
}
