//! One mapping of names and scalars. A scalar without quotes keeps its spelling, so that `1.10` and `yes` are the
//! text that they look like; `!!binary` is Base64.

use keyroll_core::SecretName;
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use zeroize::Zeroizing;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::collect::Collector;
use crate::json::decode_base64;

/// The position of the parser in the mapping.
enum YamlContext {
    Begin,
    /// In the mapping, before a name.
    Name,
    /// After a name: its line, and the name if it is valid. The value may begin on another line.
    Value(Option<(usize, SecretName)>),
    End,
}

const FLAT: &str = "a value must be text, not a list or mapping";
const ONE: &str = "the file is not a mapping of names and values";

pub(crate) fn read(text: &str, collector: &mut Collector) {
    let (mut place, mut depth) = (YamlContext::Begin, 0_usize);
    for event in Parser::new_from_str(text) {
        let (event, line) = match event {
            Ok((event, span)) => (event, span.start.line()),
            Err(error) => {
                // The parser's message may quote the file.
                let line = error.marker().line();
                collector.problem(line, "this is not YAML. Does a value here need quotes?");
                return;
            }
        };
        let opens = matches!(event, Event::MappingStart(..) | Event::SequenceStart(..));
        let closes = matches!(event, Event::MappingEnd | Event::SequenceEnd);
        if depth > 1 || (depth == 1 && opens) {
            // Inside a value that is refused as a whole.
            if depth == 1 {
                collector.problem(line, FLAT);
            }
            depth = if opens {
                depth + 1
            } else {
                depth - usize::from(closes)
            };
            if depth == 1 {
                place = match place {
                    YamlContext::Name => YamlContext::Value(None),
                    YamlContext::Begin | YamlContext::Value(_) | YamlContext::End => {
                        YamlContext::Name
                    }
                };
            }
            continue;
        }
        place = match (event, place) {
            (Event::MappingStart(..), YamlContext::Begin) => {
                depth = 1;
                YamlContext::Name
            }
            (Event::MappingEnd, _) => {
                depth = 0;
                YamlContext::End
            }
            (Event::Scalar(text, ..), YamlContext::Name) => {
                YamlContext::Value(collector.name(line, &text).map(|name| (line, name)))
            }
            (Event::Scalar(text, style, _, tag), YamlContext::Value(name)) => {
                if let Some((line, name)) = name {
                    match value(&text, style, tag.as_deref()) {
                        Ok(value) => collector.value(line, name, value),
                        Err(message) => collector.problem(line, format!("{name}: {message}")),
                    }
                }
                YamlContext::Name
            }
            (Event::Alias(_), at) => {
                collector.problem(line, "aliases are not supported. Write the value itself");
                match at {
                    YamlContext::Name => YamlContext::Value(None),
                    YamlContext::Begin | YamlContext::Value(_) | YamlContext::End => {
                        YamlContext::Name
                    }
                }
            }
            (Event::DocumentStart(_), YamlContext::End) => {
                collector.problem(
                    line,
                    "a second document begins here. A file holds one mapping",
                );
                return;
            }
            // An empty file, or one of comments.
            (Event::Scalar(text, ScalarStyle::Plain, ..), YamlContext::Begin) if is_null(&text) => {
                YamlContext::End
            }
            (Event::Scalar(..) | Event::SequenceStart(..), _) => {
                collector.problem(line, ONE);
                return;
            }
            (_, place) => place,
        };
    }
}

fn value(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let core = tag.filter(|tag| tag.is_yaml_core_schema());
    match (tag, core.map(|tag| tag.suffix.as_str())) {
        (Some(_), Some("binary")) => {
            let packed: Zeroizing<String> =
                Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
            decode_base64(&packed)
        }
        (Some(_), Some("str")) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        (Some(_), _) => Err("the only tags are !!binary and !!str"),
        (None, _) if style == ScalarStyle::Plain && is_null(text) && !text.is_empty() => {
            Err("there is no value. Write it in quotes, or delete the name")
        }
        (None, _) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Writes the mapping. Everything is quoted: a bare `NO` is a boolean to some readers.
pub(crate) fn write(values: &[(&SecretName, &[u8])], out: &mut Vec<u8>) {
    if values.is_empty() {
        out.extend_from_slice(b"{}\n");
    }
    for (name, value) in values {
        out.push(b'"');
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b"\": ");
        if let Ok(text) = std::str::from_utf8(value) {
            string(text, out);
        } else {
            out.extend_from_slice(b"!!binary \"");
            out.extend_from_slice(Zeroizing::new(STANDARD.encode(value)).as_bytes());
            out.push(b'"');
        }
        out.push(b'\n');
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            c if is_printable(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            c => out.extend_from_slice(escaped(u32::from(c)).as_bytes()),
        }
    }
    out.push(b'"');
}

fn escaped(code: u32) -> String {
    match code {
        0..=0xff => format!("\\x{code:02x}"),
        0x100..=0xffff => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

/// Characters that YAML allows without an escape, except line breaks of any kind and byte order marks.
fn is_printable(c: char) -> bool {
    let breaks = matches!(
        c,
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    );
    !c.is_control() && !breaks
}
