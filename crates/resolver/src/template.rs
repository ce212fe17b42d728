//! The grammar of references.
//!
//! ```text
//! ref    = "{{" *WS "secrets." NAME *WS "}}"     ; WS = space, tab
//! escape = "{{'{{'}}"                            ; gives "{{"
//! NAME   = ALPHA *127( ALPHA / DIGIT / "_" )
//! ```
//!
//! One pass from left to right. Any other `{{…}}` belongs to the workflow engine and passes
//! through untouched. `{{ secrets` that is no reference is an error, since a request would
//! otherwise leave with the reference in it; so is a reference inside an engine's `{{…}}`, whose
//! meaning the value could change.

use crate::error::{Code, ResolveError};

/// The longest string that is read as a template: the size of a whole block file.
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
    /// Text that stays as it is, escapes already resolved.
    Literal(String),
    /// The place of a value.
    Reference {
        /// The secret's name.
        name: String,
        /// Bytes from the start of the template to the reference's `{{`.
        offset: usize,
    },
}

/// A string read as literals and references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

impl Template {
    /// Reads a string.
    ///
    /// # Errors
    ///
    /// `template_syntax` with offset, line and column; `block_invalid` over 1 MiB.
    pub fn parse(text: &str) -> Result<Self, ResolveError> {
        if text.len() > MAX_TEMPLATE {
            return Err(ResolveError::new(
                Code::BlockInvalid,
                "a string is larger than 1 MiB",
            ));
        }
        let mut reader = Reader {
            text,
            at: 0,
            literal: String::new(),
            segments: Vec::new(),
        };
        // The start of an engine's `{{` that has not been closed yet.
        let mut foreign = None;
        while let Some(skip) = text[reader.at..].find(['{', '}']) {
            reader.take(skip);
            let rest = &text[reader.at..];
            if foreign.is_some() && rest.starts_with(CLOSE) {
                foreign = None;
                reader.take(CLOSE.len());
            } else if foreign.is_none() && rest.starts_with(ESCAPE) {
                reader.literal.push_str(OPEN);
                reader.at += ESCAPE.len();
            } else if begins_reference(rest) {
                reader.reference(foreign)?;
            } else {
                // In `{{{` the second brace may open a reference, so only one is consumed.
                if rest.starts_with(OPEN) && !rest.starts_with("{{{") && foreign.is_none() {
                    foreign = Some(reader.at);
                }
                reader.take(1);
            }
        }
        reader.take(text.len() - reader.at);
        reader.end_literal();
        Ok(Self {
            segments: reader.segments,
        })
    }

    /// The parts in order. No two literals are neighbours.
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

struct Reader<'a> {
    text: &'a str,
    at: usize,
    literal: String,
    segments: Vec<Segment>,
}

impl Reader<'_> {
    /// Moves `len` bytes to the literal.
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
                "a reference stands inside another {{…}}; write {{'{{'}} for braces that open nothing",
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

/// The name and the whole reference's length in bytes.
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
    let tail = skip_blank(tail)
        .strip_prefix(CLOSE)
        .ok_or("expected `}}` after the secret's name: no filters, defaults or versions here")?;
    Ok((name, rest.len() - tail.len()))
}

/// Whether a string may name a secret.
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
