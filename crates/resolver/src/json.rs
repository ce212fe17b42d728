//! Values in JSON.
//!
//! The template is a parsed JSON document, so a value can only be part of a string. The document is kept as
//! text. Only strings with references change; numbers and the order of keys stay as they are.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::error::{Code, ResolveError};
use crate::secret::SecretValues;
use crate::template::{Segment, Template};

/// A well-formed JSON document, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(String);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.get().to_owned()))
    }
}

impl Json {
    /// The document.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The document as a tree with every string.
    ///
    /// # Errors
    ///
    /// Those of [`parse_json`].
    pub(crate) fn tree(&self) -> Result<Value, ResolveError> {
        // A position in the document is not a position in the file.
        parse_json(&self.0)
            .map_err(|error| ResolveError::new(Code::BlockInvalid, error.detail().to_owned()))
    }
}

const NOT_JSON: &str = "not a JSON document";

/// The deepest nesting of arrays and objects. Most JSON readers recurse, and Python allows 1,000 calls.
const MAX_DEPTH: usize = 512;

/// An array or object that is still open.
enum Container {
    Array(Vec<Value>),
    /// With the key whose value is next.
    Object(Map<String, Value>, Option<String>),
}

/// Reads a JSON document without loss: numbers keep their digits, and keys their order.
///
/// # Errors
/// `block_invalid`, with line and column, for text that is not JSON, for more than 512 levels, for a duplicate
/// key (one of the two would be lost), and for an unpaired surrogate (it is no character).
pub fn parse_json(text: &str) -> Result<Value, ResolveError> {
    check_well_formed(text)?;
    let mut open: Vec<Container> = Vec::new();
    let mut rest = text;
    loop {
        // In a well-formed document these are only separators.
        rest = rest.trim_start_matches([',', ':', ' ', '\t', '\n', '\r']);
        let token = token(rest);
        let value = read_token(token, &mut open).map_err(|detail| {
            ResolveError::new(Code::BlockInvalid, detail).at_offset(text, text.len() - rest.len())
        })?;
        rest = &rest[token.len()..];
        match (value, open.last_mut()) {
            (None, _) => {}
            (Some(value), None) => return Ok(value),
            (Some(value), Some(Container::Array(items))) => items.push(value),
            (Some(value), Some(Container::Object(fields, key))) => {
                fields.insert(key.take().ok_or_else(broken)?, value);
            }
        }
        if rest.is_empty() {
            return Err(broken());
        }
    }
}

/// Checks the syntax of the whole text, without recursion.
fn check_well_formed(text: &str) -> Result<(), ResolveError> {
    let checked = serde_json::from_str::<&RawValue>(text);
    checked.map(drop).map_err(|error| {
        let what = error.to_string();
        let what = what.rfind(" at line ").map_or(&*what, |end| &what[..end]);
        ResolveError::new(Code::BlockInvalid, format!("not a JSON document: {what}"))
            .at_line(error.line(), error.column())
    })
}

/// Reads a token of a well-formed document. Returns the value that it completes, or why there is none.
fn read_token(token: &str, open: &mut Vec<Container>) -> Result<Option<Value>, &'static str> {
    match token {
        "[" | "{" if open.len() == MAX_DEPTH => {
            return Err("the JSON is nested more than 512 deep");
        }
        "[" => open.push(Container::Array(Vec::new())),
        "{" => open.push(Container::Object(Map::new(), None)),
        "]" | "}" => {
            return Ok(open.pop().map(|closed| match closed {
                Container::Array(items) => Value::Array(items),
                Container::Object(fields, _) => Value::Object(fields),
            }));
        }
        "null" => return Ok(Some(Value::Null)),
        "true" => return Ok(Some(Value::Bool(true))),
        "false" => return Ok(Some(Value::Bool(false))),
        _ if token.starts_with('"') => {
            let string: String = serde_json::from_str(token).map_err(
                |_| "a JSON string has an unpaired surrogate: write both escapes of the pair",
            )?;
            match open.last_mut() {
                Some(Container::Object(fields, key @ None)) => {
                    if fields.contains_key(&string) {
                        return Err("a JSON key occurs twice in one object: remove one of the two");
                    }
                    *key = Some(string);
                }
                _ => return Ok(Some(Value::String(string))),
            }
        }
        number => {
            let number = number.parse().map_err(|_| NOT_JSON)?;
            return Ok(Some(Value::Number(number)));
        }
    }
    Ok(None)
}

/// The first token of the rest of a well-formed document.
fn token(text: &str) -> &str {
    let end = match text.as_bytes().first() {
        None => 0,
        Some(b'[' | b']' | b'{' | b'}') => 1,
        Some(b'"') => string_end(text),
        Some(_) => text
            .find([',', ']', '}', ' ', '\t', '\n', '\r'])
            .unwrap_or(text.len()),
    };
    &text[..end]
}

/// The end of a string at the start of the text.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    let close = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    close.map_or(text.len(), |close| close + 2)
}

/// The strings of a well-formed document, and the text between strings and blanks.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_ascii_start();
        let end = if text.starts_with('"') {
            string_end(text)
        } else {
            text.find(['"', ' ', '\t', '\n', '\r'])
                .unwrap_or(text.len())
        };
        let (token, rest) = text.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }
}

/// Appends a document to `out`, with the references in its strings replaced by values.
///
/// # Errors
///
/// `secret_not_found`, and `value_illegal_for_context` for a value that is not UTF-8 text.
pub(crate) fn write(
    json: &Json,
    secrets: &SecretValues,
    out: &mut Vec<u8>,
) -> Result<(), ResolveError> {
    for token in Tokens(&json.0) {
        if !token.starts_with('"') {
            out.extend_from_slice(token.as_bytes());
            continue;
        }
        let text: String = serde_json::from_str(token).map_err(|_| broken())?;
        let filled = fill(&text, secrets)?;
        if *filled == text {
            out.extend_from_slice(token.as_bytes());
        } else {
            serde_json::to_writer(&mut *out, filled.as_str()).map_err(|_| broken())?;
        }
    }
    Ok(())
}

fn fill(text: &str, secrets: &SecretValues) -> Result<Zeroizing<String>, ResolveError> {
    let mut filled = Zeroizing::new(String::new());
    for segment in Template::parse(text)?.segments() {
        match segment {
            Segment::Literal(literal) => filled.push_str(literal),
            Segment::Reference { name, .. } => {
                filled.push_str(
                    secrets
                        .get(name)?
                        .text()
                        .map_err(|error| error.about_secret(name))?,
                );
            }
        }
    }
    Ok(filled)
}

fn broken() -> ResolveError {
    ResolveError::new(Code::BlockInvalid, NOT_JSON)
}
