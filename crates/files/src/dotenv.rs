//! Lines of `NAME=value`. Nothing is expanded: `$NAME` and `$(command)` are text.
//!
//! A value ends with its line, or stands in quotes and may go over several lines. Between single
//! quotes everything is itself. Between double quotes `\n`, `\r`, `\t`, `\\`, `\"`, `\$` and
//! `` \` `` stand for one character each. What is written here a POSIX shell reads the same way.

use keyroll_core::SecretName;
use zeroize::Zeroizing;

use crate::read::{Reading, newlines};

pub(crate) fn read(text: &str, reading: &mut Reading) {
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let (first, _) = split_line(rest);
        let used = match assignment(first) {
            Statement::Nothing => first.len(),
            Statement::Wrong(message) => {
                reading.problem(line, message);
                first.len()
            }
            Statement::Value { name, at } => {
                let name = reading.name(line, name);
                match value(&rest[at..]) {
                    Ok((value, used)) => {
                        let (tail, _) = split_line(&rest[at + used..]);
                        if !is_blank_or_comment(tail) {
                            let end = line + newlines(&rest.as_bytes()[..at + used]);
                            reading.problem(end, "something follows the closing quote");
                        } else if let Some(name) = name {
                            reading.value(line, name, value);
                        }
                        at + used + tail.len()
                    }
                    Err(Wrong::Here(message)) => {
                        reading.problem(line, message);
                        first.len()
                    }
                    Err(Wrong::Unclosed) => {
                        reading.problem(
                            line,
                            "the quote that begins here is never closed: nothing after it was read",
                        );
                        return;
                    }
                }
            }
        };
        line += newlines(&rest.as_bytes()[..used]);
        rest = &rest[used..];
        if let Some(after) = rest.strip_prefix('\n') {
            rest = after;
            line += 1;
        }
    }
}

/// A line without its newline, and what comes after that.
fn split_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

enum Statement<'a> {
    Nothing,
    Wrong(&'static str),
    /// The name, and where what is assigned to it begins.
    Value {
        name: &'a str,
        at: usize,
    },
}

fn assignment(line: &str) -> Statement<'_> {
    if is_blank_or_comment(line) {
        return Statement::Nothing;
    }
    let Some((before, _)) = line.split_once('=') else {
        return Statement::Wrong("there is no `=`: a line is NAME=value, a # comment or blank");
    };
    let mut name = before.trim();
    if let Some(exported) = name.strip_prefix("export")
        && exported.starts_with([' ', '\t'])
    {
        name = exported.trim_start();
    }
    let at = before.len() + 1;
    Statement::Value { name, at }
}

fn is_blank_or_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

enum Wrong {
    Here(&'static str),
    Unclosed,
}

/// The value at the beginning of a text, and how many bytes it takes.
fn value(text: &str) -> Result<(Zeroizing<Vec<u8>>, usize), Wrong> {
    let start = text.len() - text.trim_start_matches([' ', '\t']).len();
    let body = &text[start..];
    match body.as_bytes().first() {
        Some(b'\'') => {
            let end = body[1..].find('\'').ok_or(Wrong::Unclosed)?;
            let value = body.as_bytes()[1..=end].to_vec();
            Ok((Zeroizing::new(value), start + end + 2))
        }
        Some(b'"') => {
            let (value, used) = double_quoted(&body.as_bytes()[1..])?;
            Ok((value, start + 1 + used))
        }
        Some(b'`') => Err(Wrong::Here(
            "a value does not begin with a backquote: put it in single quotes",
        )),
        _ => {
            let (line, _) = split_line(text);
            Ok((Zeroizing::new(bare(line).as_bytes().to_vec()), line.len()))
        }
    }
}

/// A value without quotes: up to a comment, without the blanks around it.
fn bare(line: &str) -> &str {
    let comment = line.match_indices('#').map(|(at, _)| at).find(|at| {
        line[..*at]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace)
    });
    line[..comment.unwrap_or(line.len())].trim()
}

/// What stands before the closing quote, and how many bytes it takes with that.
fn double_quoted(text: &[u8]) -> Result<(Zeroizing<Vec<u8>>, usize), Wrong> {
    let end = closing_quote(text).ok_or(Wrong::Unclosed)?;
    // Of the right size at once: a buffer that grows leaves copies behind.
    let mut value = Zeroizing::new(Vec::with_capacity(end));
    let mut bytes = text[..end].iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            value.push(*byte);
            continue;
        }
        value.push(match bytes.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(plain @ (b'\\' | b'"' | b'$' | b'`')) => *plain,
            _ => {
                return Err(Wrong::Here(
                    "between double quotes a backslash stands before n, r, t, \\, \", $ or ` only: \
                     write \\\\ for a backslash, or use single quotes",
                ));
            }
        });
    }
    Ok((value, end + 1))
}

fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    })
}

/// Writes one line (or several, when the value has some).
pub(crate) fn write(name: &SecretName, value: &str, out: &mut Vec<u8>) {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&byte);
    out.extend_from_slice(name.as_str().as_bytes());
    out.push(b'=');
    if value.bytes().all(safe) {
        out.extend_from_slice(value.as_bytes());
    } else if !value.contains('\'') {
        out.push(b'\'');
        out.extend_from_slice(value.as_bytes());
        out.push(b'\'');
    } else {
        out.push(b'"');
        for byte in value.bytes() {
            if b"\\\"$`".contains(&byte) {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(b'\n');
}
