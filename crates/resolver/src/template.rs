//! The grammar of `{{secrets.NAME}}`.
//!
//! ```text
//! ref    = "{{" *WS "secrets." NAME *WS "}}"     ; WS = space, tab
//! escape = "{{'{{'}}"                            ; gives "{{"
//! NAME   = ALPHA *127( ALPHA / DIGIT / "_" )
//! ```
//!
//! A template is parsed in one pass from left to right. Any other `{{…}}` belongs to the workflow engine and
//! stays unchanged. `{{ secrets` that is no reference is an error: otherwise the request would contain the
//! text of the reference. A reference inside an engine's `{{…}}` is an error too, since the value could change
//! the meaning of the engine's expression.

use crate::error::{Code, ResolveError};

/// The longest template: the size of a whole block file.
pub(crate) const MAX_TEMPLATE: usize = 1024 * 1024;

/// The longest name of a secret, in bytes.
const MAX_NAME: usize = 128;

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
const ESCAPE: &str = "{{'{{'}}";
const NAMESPACE: &str = "secrets";

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Text, with escapes resolved.
    Literal(String),
    /// A reference to a secret.
    Reference {
        /// The secret's name.
        name: String,
        /// Bytes from the start of the template to the reference's `{{`.
        offset: usize,
    },
}

/// A string parsed into literals and references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

impl Template {
    /// Parses a string.
    ///
    /// # Errors
    ///
    /// `template_syntax` with offset, line and column; `block_invalid` over 1 MiB.
    pub fn parse(text: &str) -> Result<Self, ResolveError> {
        if text.len() > MAX_TEMPLATE {
            return Err(ResolveError::new(
                Code::BlockInvalid,
                "a string in the block is larger than 1 MiB",
            ));
        }
        let mut parser = Parser {
            text,
            at: 0,
            literal: String::new(),
            segments: Vec::new(),
        };
        // The start of an engine's `{{` that is not closed yet.
        let mut foreign = None;
        while let Some(skip) = text[parser.at..].find(['{', '}']) {
            parser.take(skip);
            let rest = &text[parser.at..];
            if foreign.is_some() && rest.starts_with(CLOSE) {
                foreign = None;
                parser.take(CLOSE.len());
            } else if foreign.is_none() && rest.starts_with(ESCAPE) {
                parser.literal.push_str(OPEN);
                parser.at += ESCAPE.len();
            } else if begins_reference(rest) {
                parser.reference(foreign)?;
            } else {
                // In `{{{` the second brace may open a reference, so only one is consumed.
                if rest.starts_with(OPEN) && !rest.starts_with("{{{") && foreign.is_none() {
                    foreign = Some(parser.at);
                }
                parser.take(1);
            }
        }
        parser.take(text.len() - parser.at);
        parser.end_literal();
        Ok(Self {
            segments: parser.segments,
        })
    }

    /// The segments in order. No two literals are neighbours.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The references in order, with their offsets.
    pub fn references(&self) -> impl Iterator<Item = (&str, usize)> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Reference { name, offset } => Some((name.as_str(), *offset)),
        })
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    literal: String,
    segments: Vec<Segment>,
}

impl Parser<'_> {
    /// Appends `len` bytes to the literal.
    fn take(&mut self, len: usize) {
        self.literal.push_str(&self.text[self.at..self.at + len]);
        self.at += len;
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.segments
                .push(Segment::Literal(std::mem::take(&mut self.literal)));
        }
    }

    fn reference(&mut self, foreign: Option<usize>) -> Result<(), ResolveError> {
        let rest = &self.text[self.at..];
        let error = |detail: &str| {
            ResolveError::new(Code::TemplateSyntax, detail).at_offset(self.text, self.at)
        };
        if foreign.is_some() {
            return Err(error(
                "a reference stands inside another {{…}}; write {{'{{'}} for two literal braces",
            ));
        }
        let (name, len) = parse_reference(rest).map_err(error)?;
        self.end_literal();
        self.segments.push(Segment::Reference {
            name: name.to_owned(),
            offset: self.at,
        });
        self.at += len;
        Ok(())
    }
}

fn begins_reference(rest: &str) -> bool {
    rest.strip_prefix(OPEN)
        .is_some_and(|inner| skip_blank(inner).starts_with(NAMESPACE))
}

/// The name, and the length of the whole reference in bytes.
fn parse_reference(rest: &str) -> Result<(&str, usize), &'static str> {
    let inner = rest.strip_prefix(OPEN).map(skip_blank).unwrap_or_default();
    let after = inner
        .strip_prefix(NAMESPACE)
        .and_then(|after| after.strip_prefix('.'))
        .ok_or("expected `.` and a name after `secrets`")?;
    let end = after
        .bytes()
        .position(|byte| !byte.is_ascii_alphanumeric() && byte != b'_')
        .unwrap_or(after.len());
    let (name, tail) = after.split_at(end);
    if !is_name(name) {
        return Err("a secret's name is a letter and up to 127 letters, digits or `_`");
    }
    let tail = skip_blank(tail).strip_prefix(CLOSE).ok_or(
        "expected `}}` after the secret's name: filters, defaults and versions are not supported",
    )?;
    Ok((name, rest.len() - tail.len()))
}

/// Whether a string is a valid name of a secret.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn skip_blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}
