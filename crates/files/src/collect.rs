//! The entries and the problems of a file, as the formats collect them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use keyroll_core::names::InvalidName;
use keyroll_core::{SecretName, limits};
use zeroize::Zeroizing;

/// How many problems are kept: after these a person knows that the file is of another kind.
const PROBLEMS: usize = 1_000;

/// An entry of a file.
pub struct ParsedEntry {
    /// Its name.
    pub name: SecretName,
    /// Its line, from 1.
    pub line: usize,
    /// The value, wiped when dropped.
    pub value: Zeroizing<Vec<u8>>,
}

/// A problem with a line. It quotes nothing of the file except well-formed names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The message.
    pub message: String,
}

/// A parsed file.
#[derive(Default)]
pub struct ParsedFile {
    /// The entries, in the file's order. Ignore them if there are problems: import all or nothing.
    pub secrets: Vec<ParsedEntry>,
    /// The problems, in the file's order.
    pub problems: Vec<Problem>,
    /// Names with an empty value, if those are left out.
    pub empty: Vec<SecretName>,
}

/// The treatment of names with an empty value. A secret cannot have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Empty {
    /// They are problems.
    #[default]
    Refuse,
    /// They are [left out](ParsedFile::empty).
    Skip,
}

/// Newlines in a text.
pub(crate) fn newlines(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').skip(1).count()
}

/// Collects the entries and problems of a file.
pub(crate) struct Collector {
    file: ParsedFile,
    empty: Empty,
    /// The lines of the names, by folded name.
    lines: HashMap<String, usize>,
}

impl Collector {
    pub(crate) fn new(empty: Empty) -> Self {
        Self {
            file: ParsedFile::default(),
            empty,
            lines: HashMap::new(),
        }
    }

    /// The file, with its problems in the order of their lines.
    pub(crate) fn finish(mut self) -> ParsedFile {
        self.file.problems.sort_by_key(|problem| problem.line);
        self.file
    }

    pub(crate) fn problem(&mut self, line: usize, message: impl Into<String>) {
        if self.file.problems.len() < PROBLEMS {
            let message = message.into();
            self.file.problems.push(Problem { line, message });
        }
    }

    /// Checks a name in the file: it must be valid and new.
    pub(crate) fn name(&mut self, line: usize, text: &str) -> Option<SecretName> {
        let name: SecretName = match text.parse() {
            Ok(name) => name,
            Err(InvalidName(rule)) => {
                self.problem(line, rule);
                return None;
            }
        };
        match self.lines.entry(name.folded()) {
            Entry::Vacant(vacant) => {
                vacant.insert(line);
                Some(name)
            }
            Entry::Occupied(known) => {
                let before = *known.get();
                let message = format!(
                    "{name} is on line {before} already (upper and lower case count as the same)"
                );
                self.problem(line, message);
                None
            }
        }
    }

    /// Adds a value under a name.
    pub(crate) fn value(&mut self, line: usize, name: SecretName, value: Zeroizing<Vec<u8>>) {
        if value.is_empty() && self.empty == Empty::Skip {
            self.file.empty.push(name);
        } else if value.is_empty() {
            self.problem(
                line,
                format!("{name} is empty. Give it a value, or leave it out (keyroll import --skip-empty)"),
            );
        } else if !limits::VALUE_BYTES.contains(&value.len()) {
            let most = limits::VALUE_BYTES.end();
            self.problem(
                line,
                format!(
                    "{name} has {} bytes; a value has at most {most}",
                    value.len()
                ),
            );
        } else {
            self.file.secrets.push(ParsedEntry { name, line, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does not compile for a type that has the trait: then there are two ways to read the line.
    macro_rules! never {
        ($type:ty: $($trait:path),+) => {{ $({
            trait Either<Which> {
                fn known() {}
            }
            impl<T: ?Sized> Either<()> for T {}
            struct Has;
            impl<T: ?Sized + $trait> Either<Has> for T {}
            <$type as Either<_>>::known();
        })+ }};
    }

    #[test]
    fn what_was_read_is_neither_shown_nor_written() {
        never!(ParsedEntry: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
        never!(ParsedFile: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
    }
}
