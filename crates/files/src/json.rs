//! One object: names, and values that are strings, numbers or booleans (with their spelling), or
//! `{"value_base64": "…"}` for bytes that are not UTF-8 text.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_core::SecretName;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::collect::{Collector, newlines};

/// Members of an object in their order, repeated ones included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Collect)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Binary {
    value_base64: String,
}

pub(crate) fn read(text: &str, collector: &mut Collector) {
    let members = match serde_json::from_str::<Members<'_>>(text) {
        Ok(Members(members)) => members,
        Err(error) => {
            let line = error.line().max(1);
            match error.classify() {
                // These messages of the parser quote nothing of the file.
                Category::Syntax | Category::Eof => collector.problem(line, error.to_string()),
                Category::Data | Category::Io => {
                    collector.problem(line, "the file is not an object of names and values");
                }
            }
            return;
        }
    };
    let (mut line, mut at) = (1, 0);
    for (name, raw) in members {
        let begin = raw.get().as_ptr().addr() - text.as_ptr().addr();
        line += newlines(text.as_bytes().get(at..begin).unwrap_or_default());
        at = begin;
        let Some(name) = collector.name(line, &name) else {
            continue;
        };
        match value(raw.get()) {
            Ok(value) => collector.value(line, name, value),
            Err(message) => collector.problem(line, format!("{name}: {message}")),
        }
    }
}

fn value(raw: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    match raw.as_bytes().first() {
        Some(b'"') => {
            let text: String =
                serde_json::from_str(raw).map_err(|_| "the string has a lone surrogate")?;
            Ok(Zeroizing::new(text.into_bytes()))
        }
        Some(b'{') => {
            let binary: Binary = serde_json::from_str(raw)
                .map_err(|_| "an object as a value must be {\"value_base64\": \"…\"}")?;
            decode_base64(&Zeroizing::new(binary.value_base64))
        }
        Some(b'[') => Err("a value must be a string, not a list"),
        Some(b'n') => Err("a value must be a string, not null"),
        _ => Ok(Zeroizing::new(raw.as_bytes().to_vec())),
    }
}

/// Bytes from Base64, as both JSON and YAML have it.
pub(crate) fn decode_base64(text: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let decoded = STANDARD.decode(text).map(Zeroizing::new);
    decoded.map_err(|_| "the value is not Base64")
}

/// Writes the members of the object.
pub(crate) fn write(values: &[(&SecretName, &[u8])], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{");
    for (at, (name, value)) in values.iter().enumerate() {
        let before = if at == 0 { "\n  \"" } else { ",\n  \"" };
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b"\": ");
        if let Ok(text) = std::str::from_utf8(value) {
            string(text, out);
        } else {
            out.extend_from_slice(b"{\"value_base64\": \"");
            out.extend_from_slice(Zeroizing::new(STANDARD.encode(value)).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
    out.extend_from_slice(if values.is_empty() { b"}\n" } else { b"\n}\n" });
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            c if c.is_control() => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}
