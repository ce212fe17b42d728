//! Lines of `NAME=value`. Nothing is expanded: `$NAME` and `$(command)` are text.
//!
//! A value ends with its line, or is in quotes and may have several lines. Single quotes keep every character.
//! Between double quotes `\n`, `\r`, `\t`, `\\`, `\"`, `\$` and `` \` `` are escapes. Only spaces and tabs may
//! surround names and values: other blanks look like them, and some programs count them as part of the value, so
//! they are refused. So is a CR without LF, which ends a line for some programs. Other programs read the files that
//! this module writes in the same way: see [`form`].

use keyroll_core::SecretName;
use zeroize::Zeroizing;

use crate::collect::{Collector, newlines};

const ODD_BLANK: &str = "a blank here is neither a space nor a tab, and programs disagree whether it is part of the \
     value. Delete it, or put the value in quotes";
const LONE_CR: &str = "a carriage return here has no line feed after it, so only some programs end the line. Write \\r \
     between double quotes, or save the file with LF or CRLF line ends";

pub(crate) fn read(text: &str, collector: &mut Collector) {
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if line.strip_suffix("\r\n").unwrap_or(line).contains('\r') {
            collector.problem(number, LONE_CR);
        }
    }
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let (first, _) = split_line(rest);
        let used = match assignment(first) {
            Statement::Nothing => first.len(),
            Statement::Wrong(message) => {
                collector.problem(line, message);
                first.len()
            }
            Statement::Value { name, at } => {
                let name = collector.name(line, name);
                match value(&rest[at..]) {
                    Ok((value, used)) => {
                        let (tail, _) = split_line(&rest[at + used..]);
                        if !is_blank_or_comment(tail) {
                            let end = line + newlines(&rest.as_bytes()[..at + used]);
                            let wrong = if has_unusual_blank(tail) {
                                ODD_BLANK
                            } else {
                                "there is text after the closing quote"
                            };
                            collector.problem(end, wrong);
                        } else if let Some(name) = name {
                            collector.value(line, name, value);
                        }
                        at + used + tail.len()
                    }
                    Err(Wrong::Here(message)) => {
                        collector.problem(line, message);
                        first.len()
                    }
                    Err(Wrong::Unclosed) => {
                        collector.problem(
                            line,
                            "the quote that opens here is not closed, so the rest of the file was not read",
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

/// A line without its newline, and the rest of the text.
fn split_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

enum Statement<'a> {
    Nothing,
    Wrong(&'static str),
    /// The name, and the position of the value.
    Value {
        name: &'a str,
        at: usize,
    },
}

fn assignment(line: &str) -> Statement<'_> {
    if is_blank_or_comment(line) {
        return Statement::Nothing;
    }
    let (before, is_assignment) = match line.split_once('=') {
        Some((before, _)) => (before, true),
        None => (line, false),
    };
    if has_unusual_blank(before) {
        return Statement::Wrong(ODD_BLANK);
    }
    if !is_assignment {
        return Statement::Wrong(
            "the line has no `=`. A line is NAME=value, a # comment, or blank",
        );
    }
    let mut name = before.trim_matches(BLANKS);
    if let Some(exported) = name.strip_prefix("export")
        && exported.starts_with(BLANKS)
    {
        name = exported.trim_start_matches(BLANKS);
    }
    let at = before.len() + 1;
    Statement::Value { name, at }
}

fn is_blank_or_comment(line: &str) -> bool {
    let line = line.trim_matches(BLANKS);
    line.is_empty() || line.starts_with('#')
}

/// The blanks around names and values. A carriage return is one only at the end of a line.
const BLANKS: [char; 3] = [' ', '\t', '\r'];

/// Whether the text before a comment has a character that looks like a blank and is none.
fn has_unusual_blank(text: &str) -> bool {
    let before = text.find('#').map_or(text, |comment| &text[..comment]);
    before.contains(is_unusual_blank)
}

/// Characters that look like a blank, or are invisible, and that programs treat differently.
fn is_unusual_blank(char: char) -> bool {
    match char {
        ' ' | '\t' | '\r' | '\n' => false,
        '\u{180e}' | '\u{200b}' | '\u{2060}' | '\u{feff}' => true,
        char => char.is_whitespace(),
    }
}

enum Wrong {
    Here(&'static str),
    Unclosed,
}

/// The value at the beginning of a text, and its length in bytes.
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
            "a value cannot begin with a backquote. Put it in single quotes",
        )),
        _ => {
            let (line, _) = split_line(text);
            let value = bare(line);
            if value.contains(is_unusual_blank) {
                return Err(Wrong::Here(ODD_BLANK));
            }
            Ok((Zeroizing::new(value.as_bytes().to_vec()), line.len()))
        }
    }
}

/// A value without quotes: up to a comment, without the blanks around it.
fn bare(line: &str) -> &str {
    let comment = line
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|at| line[..*at].is_empty() || line[..*at].ends_with(BLANKS));
    line[..comment.unwrap_or(line.len())].trim_matches(BLANKS)
}

/// The value before the closing quote, and its length in bytes with the quote.
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
                    "between double quotes a backslash can only come before n, r, t, \\, \", $ or `. Write \\\\ for a \
                     backslash, or use single quotes",
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

/// The value as text, if a line can hold it.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.contains('\0'))
}

/// How a value is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Bare,
    Single,
    Double,
}

/// The form that bash, python-dotenv, npm's dotenv and [`read`] all read as the same value, if there is one.
///
/// | | single quotes | double quotes |
/// |---|---|---|
/// | bash | everything is itself | `$`, `` ` `` and a backslash are not |
/// | python-dotenv | `\\\\` and `\\'` are escapes; so is `${NAME}` in any quotes | `\\n` and more are escapes |
/// | npm's dotenv | `\\'` does not end them | `\\n` and `\\r` are escapes, `\\"` does not end them and stays |
/// | all but bash | a CR is a line end | a CR is a line end |
pub(crate) fn form(text: &str) -> Option<Form> {
    let expands = text
        .split_once("${")
        .is_some_and(|(_, after)| after.contains('}'));
    if text.contains('\r') || expands {
        return None;
    }
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&byte);
    if text.bytes().all(bare) {
        return Some(Form::Bare);
    }
    if !text.contains('\'') && !text.contains("\\\\") && !text.ends_with('\\') {
        return Some(Form::Single);
    }
    let double = !text.contains(['"', '\\', '`']) && text.split('$').skip(1).all(is_no_name);
    double.then_some(Form::Double)
}

/// Whether a shell expands nothing where this text follows a `$`.
fn is_no_name(after: &str) -> bool {
    let harmless = b" \t\n.,:;/%+=<>~^|&)]}'";
    let first = after.bytes().next();
    first.is_none_or(|first| harmless.contains(&first))
}

/// Writes one line (or several, when the value has some).
pub(crate) fn write(name: &SecretName, value: &str, form: Form, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.push(b'=');
    let quote: &[u8] = match form {
        Form::Bare => b"",
        Form::Single => b"'",
        Form::Double => b"\"",
    };
    out.extend_from_slice(quote);
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(quote);
    out.push(b'\n');
}
