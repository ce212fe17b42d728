//! Values in JSON.
//!
//! The template is a JSON document already, so a value can only ever be a part of a string. The
//! document is kept as the text that it was read from: whatever is not a string with something to
//! replace is written as it stands, numbers and the order of keys included.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
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

    /// The document as a tree that has every string of the text.
    ///
    /// # Errors
    ///
    /// `block_invalid` where a tree would lose something: when a key is given twice, a part of the
    /// document would be sent without having been checked.
    pub(crate) fn tree(&self) -> Result<Value, ResolveError> {
        let tree = serde_json::from_str(&self.0).map_err(|_| broken())?;
        if strings(&tree)
            != Tokens(&self.0)
                .filter(|token| token.starts_with('"'))
                .count()
        {
            return Err(ResolveError::new(
                Code::BlockInvalid,
                "a JSON key is given twice",
            ));
        }
        Ok(tree)
    }
}

/// Keys and string values.
fn strings(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Array(items) => items.iter().map(strings).sum(),
        Value::Object(fields) => fields.values().map(|value| 1 + strings(value)).sum(),
    }
}

/// A well-formed document cut into strings, and what stands between them and blanks.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_ascii_start();
        let end = match text.strip_prefix('"') {
            None => text
                .find(['"', ' ', '\t', '\n', '\r'])
                .unwrap_or(text.len()),
            Some(inside) => {
                let mut escaped = false;
                let close = inside.bytes().position(|byte| {
                    let closes = byte == b'"' && !escaped;
                    escaped = byte == b'\\' && !escaped;
                    closes
                });
                close.map_or(text.len(), |close| close + 2)
            }
        };
        let (token, rest) = text.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }
}

/// Appends a document to `out` with every reference inside its strings replaced.
///
/// # Errors
///
/// `secret_not_found`, and `value_illegal_for_context` for a value that is not UTF-8.
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
                        .map_err(|error| error.about(name))?,
                );
            }
        }
    }
    Ok(filled)
}

fn broken() -> ResolveError {
    ResolveError::new(Code::BlockInvalid, "not a JSON document")
}
