//! Values in XML.
//!
//! The same escaping serves element content and attribute values. The scanner only decides whether a
//! reference stands in one of the two. If it misreads a document, it may refuse it, but no value can become
//! markup.

use crate::error::{Code, ResolveError};
use crate::template::{Segment, Template};

/// The scanner's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum XmlState {
    Content,
    /// After `&`, up to the `;`.
    Entity,
    Tag,
    Attribute(u8),
    Comment,
    CData,
    Instruction,
    /// After a document type. It can define entities that change the meaning of any text, so no reference may
    /// follow it.
    Declaration,
}

/// Checks that each reference stands in element content or in an attribute value.
///
/// # Errors
///
/// `context_forbidden`, with the reference's offset.
pub(crate) fn check(template: &Template) -> Result<(), (ResolveError, usize)> {
    let mut state = XmlState::Content;
    for segment in template.segments() {
        match segment {
            Segment::Literal(text) => state = scan(state, text.as_bytes()),
            Segment::Reference { name, offset } => {
                if !matches!(state, XmlState::Content | XmlState::Attribute(_)) {
                    let error = ResolveError::new(
                        Code::ContextForbidden,
                        "in XML a reference may stand in text and attribute values only, and not after a DOCTYPE",
                    );
                    return Err((error.about_secret(name), *offset));
                }
            }
        }
    }
    Ok(())
}

fn scan(mut state: XmlState, text: &[u8]) -> XmlState {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let rest = &text[at..];
        let mut len = 1;
        state = match (state, byte) {
            (XmlState::Content, b'<') => {
                let (next, opening) = open(rest);
                len = opening;
                next
            }
            (XmlState::Content, b'&') => XmlState::Entity,
            (XmlState::Entity, byte) if byte.is_ascii_alphanumeric() || byte == b'#' => {
                XmlState::Entity
            }
            (XmlState::Tag, quote @ (b'"' | b'\'')) => XmlState::Attribute(quote),
            (XmlState::Attribute(quote), byte) if byte == quote => XmlState::Tag,
            (XmlState::Comment, b'-') if rest.starts_with(b"-->") => XmlState::Content,
            (XmlState::CData, b']') if rest.starts_with(b"]]>") => XmlState::Content,
            (XmlState::Instruction, b'?') if rest.starts_with(b"?>") => XmlState::Content,
            (XmlState::Tag, b'>') | (XmlState::Entity, _) => XmlState::Content,
            (state, _) => state,
        };
        at += len;
    }
    state
}

/// The state after a `<` in content, and the length of the markup that opens it.
fn open(rest: &[u8]) -> (XmlState, usize) {
    let openings: [(&[u8], XmlState); 4] = [
        (b"<!--", XmlState::Comment),
        (b"<![CDATA[", XmlState::CData),
        (b"<!", XmlState::Declaration),
        (b"<?", XmlState::Instruction),
    ];
    openings
        .into_iter()
        .find(|(opening, _)| rest.starts_with(opening))
        .map_or((XmlState::Tag, 1), |(opening, state)| {
            (state, opening.len())
        })
}

/// Appends a value, escaped for content and attribute values. Line breaks and tabs become character
/// references, since a parser would normalize them otherwise.
///
/// # Errors
///
/// `value_illegal_for_context` for characters that XML 1.0 does not allow (section 2.2).
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
                    "the value contains a character that XML does not allow",
                ));
            }
            char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(())
}
