//! The lines and columns of a block file.
//!
//! The scanner accepts broken JSON, since it also serves files that do not parse: it maps them up to the error.

use std::ops::Range;

use crate::reference_locations::shorten;

/// A string or another scalar of a JSON text.
#[derive(Debug)]
pub(crate) struct Scalar {
    /// The index of its block.
    pub(crate) block: Option<usize>,
    /// Its path from the block, or from the file if it is in no block, as in [`crate::ReferenceLocation`].
    pub(crate) field: String,
    /// Whether it is a key. Then `field` ends with it.
    pub(crate) is_key: bool,
    /// Its bytes in the text, without quotes.
    pub(crate) range: Range<usize>,
    /// Whether it is a string.
    pub(crate) is_string: bool,
}

/// The scalars and blocks of a JSON text, with their positions.
#[derive(Debug, Default)]
pub(crate) struct SourceMap {
    pub(crate) scalars: Vec<Scalar>,
    /// The bytes of each block.
    pub(crate) blocks: Vec<Range<usize>>,
}

enum Container {
    Object {
        key: String,
        expects_key: bool,
    },
    Array {
        index: usize,
        /// Whether it is the file's array of blocks.
        of_blocks: bool,
    },
}

impl SourceMap {
    pub(crate) fn of(text: &str) -> Self {
        let mut scanner = Scanner {
            text,
            containers: Vec::new(),
            map: Self::default(),
        };
        scanner.scan();
        scanner.map
    }

    /// A block's name, if it has one.
    pub(crate) fn name(&self, text: &str, block: usize) -> Option<String> {
        let name = self.scalars.iter().find(|scalar| {
            scalar.block == Some(block)
                && scalar.field == "name"
                && scalar.is_string
                && !scalar.is_key
        })?;
        Some(unquote(text.get(name.range.clone())?))
    }

    /// The index of the block at a position.
    pub(crate) fn block_at(&self, at: usize) -> Option<usize> {
        self.blocks.iter().position(|block| block.contains(&at))
    }
}

/// Scans a JSON text and collects its source map.
struct Scanner<'t> {
    text: &'t str,
    /// The containers that are open.
    containers: Vec<Container>,
    map: SourceMap,
}

impl Scanner<'_> {
    fn scan(&mut self) {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'{' => self.open_object(at),
                b'[' => self.open_array(),
                b'}' | b']' => self.close(at),
                b',' => match self.containers.last_mut() {
                    Some(Container::Object { expects_key, .. }) => *expects_key = true,
                    Some(Container::Array { index, .. }) => *index += 1,
                    None => {}
                },
                b':' => {
                    if let Some(Container::Object { expects_key, .. }) = self.containers.last_mut()
                    {
                        *expects_key = false;
                    }
                }
                b'"' => {
                    let range = at + 1..string_end(bytes, at + 1);
                    at = range.end;
                    self.scalar(range, true);
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ => {
                    let rest = &bytes[at..];
                    let len = rest
                        .iter()
                        .position(|byte| b"{}[],:\" \t\r\n".contains(byte));
                    let end = at + len.unwrap_or(rest.len());
                    self.scalar(at..end, false);
                    at = end - 1;
                }
            }
            at += 1;
        }
    }

    fn open_object(&mut self, at: usize) {
        if let [
            Container::Object { .. },
            Container::Array {
                of_blocks: true, ..
            },
        ] = self.containers.as_slice()
        {
            self.map.blocks.push(at..self.text.len());
        }
        self.containers.push(Container::Object {
            key: String::new(),
            expects_key: true,
        });
    }

    fn open_array(&mut self) {
        let of_blocks = matches!(self.containers.as_slice(),
            [Container::Object { key, .. }] if key == "blocks");
        self.containers.push(Container::Array {
            index: 0,
            of_blocks,
        });
    }

    fn close(&mut self, at: usize) {
        self.containers.pop();
        if self.containers.len() == 2
            && let Some(block) = self.map.blocks.last_mut()
            && block.end == self.text.len()
        {
            block.end = at + 1;
        }
    }

    fn scalar(&mut self, range: Range<usize>, is_string: bool) {
        let mut is_key = false;
        if let Some(Container::Object {
            key,
            expects_key: true,
        }) = self.containers.last_mut()
        {
            *key = unquote(self.text.get(range.clone()).unwrap_or_default());
            is_key = true;
        }
        let block = match self.containers.as_slice() {
            [
                _,
                Container::Array {
                    index,
                    of_blocks: true,
                },
                _,
                ..,
            ] => Some(*index),
            _ => None,
        };
        let from_block = if block.is_some() { 2 } else { 0 };
        self.map.scalars.push(Scalar {
            block,
            field: field_path(&self.containers[from_block..]),
            is_key,
            range,
            is_string,
        });
    }
}

fn field_path(containers: &[Container]) -> String {
    let step = |(depth, container): (usize, &Container)| match container {
        Container::Object { key, .. } if depth == 0 => shorten(key),
        Container::Object { key, .. } => format!(".{}", shorten(key)),
        Container::Array { index, .. } => format!("[{index}]"),
    };
    containers.iter().enumerate().map(step).collect()
}

/// The end of a string that begins at `start`, after its quote.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut escaped = false;
    let close = bytes[start..].iter().position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    });
    close.map_or(bytes.len(), |close| start + close)
}

/// A string without its escapes. A string with a broken escape stays as it is.
pub(crate) fn unquote(inside: &str) -> String {
    serde_json::from_str(&format!("\"{inside}\"")).unwrap_or_else(|_| inside.to_owned())
}

/// The offset in a string with escapes that corresponds to an offset in the string without them.
pub(crate) fn raw_offset(raw: &str, offset: usize) -> usize {
    let (mut at, mut left) = (0, offset);
    while left > 0 {
        let rest = &raw[at..];
        let Some(first) = rest.chars().next() else {
            break;
        };
        let len = match rest.as_bytes() {
            // A surrogate pair is one character.
            [
                b'\\',
                b'u',
                b'd' | b'D',
                b'8' | b'9' | b'a'..=b'b' | b'A'..=b'B',
                ..,
            ] => 12,
            [b'\\', b'u', ..] => 6,
            [b'\\', ..] => 2,
            _ => first.len_utf8(),
        };
        let Some(escape) = rest.get(..len) else {
            break;
        };
        at += len;
        left = left.saturating_sub(unquote(escape).len());
    }
    at
}

/// The line and the column of a position, both from one, the column in characters.
pub(crate) fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[start..].chars().count() + 1,
    )
}

/// The position of a line and a column, both from one, the column in characters.
pub(crate) fn offset_of(text: &str, (line, column): (usize, usize)) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let rest = text.get(start..).unwrap_or_default();
    let column = rest.char_indices().nth(column.saturating_sub(1));
    start + column.map_or(rest.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_have_their_fields() {
        let text = "{\"workflow\": \"w\", \"blocks\": [{\"name\": \"a\"},\n {\"name\": \"b\", \
                    \"body\": {\"json\": {\"x\\u0079\": [1, {\"k\": \"v\"}]}}}]}";
        let source_map = SourceMap::of(text);
        let places: Vec<(Option<usize>, &str, &str)> = source_map
            .scalars
            .iter()
            .filter(|scalar| !scalar.is_key)
            .map(|scalar| (scalar.block, &*scalar.field, &text[scalar.range.clone()]))
            .collect();
        assert_eq!(
            places,
            [
                (None, "workflow", "w"),
                (Some(0), "name", "a"),
                (Some(1), "name", "b"),
                (Some(1), "body.json.xy[0]", "1"),
                (Some(1), "body.json.xy[1].k", "v"),
            ]
        );
        assert_eq!(source_map.name(text, 1).as_deref(), Some("b"));
        let second = text.find("{\"name\": \"b\"").expect("there");
        assert_eq!(
            [second - 1, second, text.len() - 3, text.len() - 2].map(|at| source_map.block_at(at)),
            [None, Some(1), Some(1), None]
        );
    }

    #[test]
    fn offsets_count_escapes() {
        let inside = r#"é\n\u00e9\ud834\udd1e\"x"#;
        let meaning = unquote(inside);
        assert_eq!(meaning, "é\né𝄞\"x");
        for (meant, at) in [(0, 0), (2, 2), (3, 4), (5, 10), (9, 22), (10, 24), (99, 25)] {
            assert_eq!(raw_offset(inside, meant), at, "{meant}");
        }
    }

    #[test]
    fn broken_json_is_mapped_up_to_the_error() {
        for text in [
            "",
            "\"",
            "\"\\",
            "{",
            "}}]]",
            "[{\"a",
            "{\"blocks\":[{",
            "{\"blocks\":[{\"name\":\"\\u",
            "nul",
            "{,,:",
            "{\"blocks\":{\"name\":\"x\"}}",
            "\u{feff}{",
        ] {
            let source_map = SourceMap::of(text);
            for at in 0..=text.len() {
                let name = source_map
                    .block_at(at)
                    .and_then(|one| source_map.name(text, one));
                assert!(name.is_none() || text.contains("\\u"), "{text}");
            }
        }
        assert_eq!(raw_offset("\\u12", 3), 0);
        assert_eq!(raw_offset("\\ud834", 3), 0);
    }
}
