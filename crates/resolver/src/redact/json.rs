//! Masking that keeps JSON well-formed.

use std::ops::Range;

use super::Redactor;

/// A string or another scalar of a text: its bytes without quotes.
struct Scalar {
    range: Range<usize>,
    is_string: bool,
}

/// Masks a JSON text. None where the text does not consist of JSON tokens.
pub(super) fn redact(redactor: &Redactor, text: &[u8]) -> Option<Vec<u8>> {
    let scalars = scalars(text)?;
    let spans = redactor.stream().spans(text);
    let mut out = Vec::with_capacity(text.len());
    let (mut written, mut first) = (0, 0);
    for scalar in &scalars {
        let Range { start, end } = scalar.range;
        let mut escapes = JsonEscapes {
            text,
            at: start,
            end,
        };
        first += spans[first..]
            .iter()
            .take_while(|span| span.end <= start)
            .count();
        for span in spans[first..].iter().take_while(|span| span.start < end) {
            let label = &redactor.0.labels[span.secret];
            if scalar.is_string {
                // A label does not begin or end inside an escape.
                let from = escapes.around(span.start.max(start)).start;
                let to = escapes.around(span.end.min(end)).end;
                out.extend_from_slice(&text[written..from.max(written)]);
                out.extend_from_slice(label);
                written = to;
            } else if written < end {
                out.extend_from_slice(&text[written..start]);
                out.push(b'"');
                out.extend_from_slice(label);
                out.push(b'"');
                written = end;
            }
        }
    }
    out.extend_from_slice(&text[written..]);
    Some(out)
}

/// The escapes of a string, read once from its start to its end.
struct JsonEscapes<'t> {
    text: &'t [u8],
    at: usize,
    end: usize,
}

impl JsonEscapes<'_> {
    /// The escape around a position, or an empty range. Positions must not decrease.
    fn around(&mut self, position: usize) -> Range<usize> {
        while self.at < position {
            let len = match self.text.get(self.at..self.at + 2) {
                Some(b"\\u") => 6,
                Some([b'\\', _]) => 2,
                _ => 1,
            };
            let next = (self.at + len).min(self.end);
            if next > position {
                return self.at..next;
            }
            self.at = next;
        }
        position..position
    }
}

/// The scalars of a text, in order. The tokens between them stay as they are and are not checked.
fn scalars(text: &[u8]) -> Option<Vec<Scalar>> {
    let mut scalars = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'}' | b'[' | b']' | b':' | b',' => at += 1,
            b'"' => {
                let start = at + 1;
                at = start;
                while *text.get(at)? != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                scalars.push(Scalar {
                    range: start..at,
                    is_string: true,
                });
                at += 1;
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                let start = at;
                let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                at += text[at..].iter().take_while(|byte| part(byte)).count();
                let scalar = std::str::from_utf8(&text[start..at]).ok()?;
                let is_number = serde_json::from_str::<serde_json::Number>(scalar).is_ok();
                if !is_number && !matches!(scalar, "true" | "false" | "null") {
                    return None;
                }
                scalars.push(Scalar {
                    range: start..at,
                    is_string: false,
                });
            }
            _ => return None,
        }
    }
    Some(scalars)
}
