//! Values in XML.
//!
//! A value is escaped so that it is text wherever it stands: the same escaping serves element
//! content and attribute values. The scanner decides only whether a reference stands in one of
//! the two; a document that it misreads can be refused, but no value can become markup.

use crate::error::{Code, ResolveError};
use crate::template::{Segment, Template};

/// Where the scanner is in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Content,
    /// After `&`, up to the `;`.
    Entity,
    Tag,
    Attribute(u8),
    Comment,
    CData,
    Instruction,
    /// A document type. It can define entities that give any text a new meaning, so nothing
    /// after it is trusted.
    Declaration,
}

/// Checks that every reference stands in text or in an attribute's value.
///
/// # Errors
///
/// `context_forbidden`, with the reference's offset.
pub(crate) fn check(template: &Template) -> Result<(), (ResolveError, usize)> {
    let mut state = State::Content;
    for segment in template.segments() {
        match segment {
            Segment::Literal(text) => state = scan(state, text.as_bytes()),
            Segment::Reference { name, offset } => {
                if !matches!(state, State::Content | State::Attribute(_)) {
                    let error = ResolveError::new(
                        Code::ContextForbidden,
                        "in XML a secret may stand in text and attribute values only",
                    );
                    return Err((error.about(name), *offset));
                }
            }
        }
    }
    Ok(())
}

fn scan(mut state: State, text: &[u8]) -> State {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let rest = &text[at..];
        let mut len = 1;
        state = match (state, byte) {
            (State::Content, b'<') => {
                let (next, opening) = open(rest);
                len = opening;
                next
            }
            (State::Content, b'&') => State::Entity,
            (State::Entity, byte) if byte.is_ascii_alphanumeric() || byte == b'#' => State::Entity,
            (State::Tag, quote @ (b'"' | b'\'')) => State::Attribute(quote),
            (State::Attribute(quote), byte) if byte == quote => State::Tag,
            (State::Comment, b'-') if rest.starts_with(b"-->") => State::Content,
            (State::CData, b']') if rest.starts_with(b"]]>") => State::Content,
            (State::Instruction, b'?') if rest.starts_with(b"?>") => State::Content,
            (State::Tag, b'>') | (State::Entity, _) => State::Content,
            (state, _) => state,
        };
        at += len;
    }
    state
}

/// The state after a `<` in content, and the opening's length.
fn open(rest: &[u8]) -> (State, usize) {
    let openings: [(&[u8], State); 4] = [
        (b"<!--", State::Comment),
        (b"<![CDATA[", State::CData),
        (b"<!", State::Declaration),
        (b"<?", State::Instruction),
    ];
    openings
        .into_iter()
        .find(|(opening, _)| rest.starts_with(opening))
        .map_or((State::Tag, 1), |(opening, state)| (state, opening.len()))
}

/// Appends a value with everything escaped that means something in text or in an attribute.
/// Line breaks and tabs become character references, since a parser would change them otherwise.
///
/// # Errors
///
/// `value_illegal_for_context` for characters that XML 1.0 cannot hold (section 2.2).
pub(crate) fn escape(value: &str, out: &mut Vec<u8>) -> Result<(), ResolveError> {
    for char in value.chars() {
        match char {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '"' => out.extend_from_slice(b"&quot;"),
            '\'' => out.extend_from_slice(b"&apos;"),
            '\t' => out.extend_from_slice(b"&#9;"),
            '\n' => out.extend_from_slice(b"&#10;"),
            '\r' => out.extend_from_slice(b"&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                return Err(ResolveError::new(
                    Code::ValueIllegalForContext,
                    "the value has a character that XML cannot hold",
                ));
            }
            char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(())
}
