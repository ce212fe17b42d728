//! What was found in a file, and what is wrong with it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use keyroll_core::names::InvalidName;
use keyroll_core::{SecretName, limits};
use zeroize::Zeroizing;

use crate::{Format, dotenv, json, yaml};

/// Problems kept of one file: after these a person knows that it is another kind of file.
const PROBLEMS: usize = 1_000;

/// A secret as found in a file.
pub struct Found {
    /// Its name.
    pub name: SecretName,
    /// The line it stands on, from 1.
    pub line: usize,
    /// The value, wiped when dropped.
    pub value: Zeroizing<Vec<u8>>,
}

/// Something that is wrong with a line. It repeats nothing of the file but well-formed names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The words.
    pub message: String,
}

/// A file, read.
#[derive(Default)]
pub struct Read {
    /// What was found, in the file's order. Of no use when there are problems: import all or
    /// nothing.
    pub secrets: Vec<Found>,
    /// What is wrong, in the file's order.
    pub problems: Vec<Problem>,
    /// Names with an empty value, where those are left out.
    pub empty: Vec<SecretName>,
}

/// What becomes of names whose value is empty. A secret has no empty value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Empty {
    /// They are problems.
    #[default]
    Refuse,
    /// They are [left out](Read::empty).
    Skip,
}

/// Reads a file of secrets.
pub fn read(format: Format, bytes: &[u8], empty: Empty) -> Read {
    let mut reading = Reading {
        empty,
        ..Reading::default()
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            match format {
                Format::Dotenv => dotenv::read(text, &mut reading),
                Format::Json => json::read(text, &mut reading),
                Format::Yaml => yaml::read(text, &mut reading),
            }
        }
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            reading.problem(1 + newlines(before), "this is no UTF-8 text");
        }
    }
    reading.read.problems.sort_by_key(|problem| problem.line);
    reading.read
}

/// Newlines in a text.
pub(crate) fn newlines(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').skip(1).count()
}

/// A file being read.
#[derive(Default)]
pub(crate) struct Reading {
    read: Read,
    empty: Empty,
    /// Lines of folded names.
    lines: HashMap<String, usize>,
}

impl Reading {
    pub(crate) fn problem(&mut self, line: usize, message: impl Into<String>) {
        if self.read.problems.len() < PROBLEMS {
            let message = message.into();
            self.read.problems.push(Problem { line, message });
        }
    }

    /// A name that stands in the file, if it is a good one and new.
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
                    "{name} stands on line {before} already (upper and lower case do not differ)"
                );
                self.problem(line, message);
                None
            }
        }
    }

    /// A value under a name.
    pub(crate) fn value(&mut self, line: usize, name: SecretName, value: Zeroizing<Vec<u8>>) {
        if value.is_empty() && self.empty == Empty::Skip {
            self.read.empty.push(name);
        } else if value.is_empty() {
            self.problem(
                line,
                format!("{name} is empty: give it a value, or leave it out (keyroll import --skip-empty)"),
            );
        } else if !limits::VALUE_BYTES.contains(&value.len()) {
            let most = limits::VALUE_BYTES.end();
            self.problem(
                line,
                format!(
                    "{name} has {} bytes, a value has at most {most}",
                    value.len()
                ),
            );
        } else {
            self.read.secrets.push(Found { name, line, value });
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
        never!(Found: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
        never!(Read: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
    }
}
