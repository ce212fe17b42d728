//! Where in a block file something stands.
//!
//! An error knows the field of a block and the offset in its string; whoever has to mend the file
//! needs a line and a column of it. The walker reads JSON leniently, since it is also asked about
//! files that are none: what it cannot read ends what it knows.

use std::ops::Range;

use crate::error::ResolveError;
use crate::references::shorten;

/// A string or another scalar of a JSON text.
#[derive(Debug)]
pub(crate) struct Scalar {
    /// The block that it belongs to.
    pub(crate) block: Option<usize>,
    /// The way to it as [`crate::Site`] writes it: from the block, or else from the file.
    pub(crate) place: String,
    /// Whether it is a key; `place` ends with it then.
    pub(crate) is_key: bool,
    /// Its bytes in the text, without quotes.
    pub(crate) range: Range<usize>,
    /// Whether quotes stand around it.
    pub(crate) is_string: bool,
}

/// What a JSON text consists of.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) scalars: Vec<Scalar>,
    /// The bytes of each block.
    blocks: Vec<Range<usize>>,
}

enum Level {
    Object {
        key: String,
        wants_key: bool,
    },
    Array {
        index: usize,
        /// Whether it is the file's array of blocks.
        of_blocks: bool,
    },
}

impl Layout {
    pub(crate) fn of(text: &str) -> Self {
        let mut layout = Self::default();
        let mut levels: Vec<Level> = Vec::new();
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'{' => {
                    if let [
                        Level::Object { .. },
                        Level::Array {
                            of_blocks: true, ..
                        },
                    ] = levels.as_slice()
                    {
                        layout.blocks.push(at..text.len());
                    }
                    levels.push(Level::Object {
                        key: String::new(),
                        wants_key: true,
                    });
                }
                b'[' => {
                    let of_blocks = matches!(levels.as_slice(),
                        [Level::Object { key, .. }] if key == "blocks");
                    levels.push(Level::Array {
                        index: 0,
                        of_blocks,
                    });
                }
                b'}' | b']' => {
                    levels.pop();
                    if levels.len() == 2
                        && let Some(block) = layout.blocks.last_mut()
                        && block.end == text.len()
                    {
                        block.end = at + 1;
                    }
                }
                b',' => match levels.last_mut() {
                    Some(Level::Object { wants_key, .. }) => *wants_key = true,
                    Some(Level::Array { index, .. }) => *index += 1,
                    None => {}
                },
                b':' => {
                    if let Some(Level::Object { wants_key, .. }) = levels.last_mut() {
                        *wants_key = false;
                    }
                }
                b'"' => {
                    let range = at + 1..string_end(bytes, at + 1);
                    at = range.end;
                    layout.scalar(text, &mut levels, range, true);
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ => {
                    let rest = &bytes[at..];
                    let len = rest
                        .iter()
                        .position(|byte| b"{}[],:\" \t\r\n".contains(byte));
                    let end = at + len.unwrap_or(rest.len());
                    layout.scalar(text, &mut levels, at..end, false);
                    at = end - 1;
                }
            }
            at += 1;
        }
        layout
    }

    fn scalar(&mut self, text: &str, levels: &mut [Level], range: Range<usize>, is_string: bool) {
        let mut is_key = false;
        if let Some(Level::Object {
            key,
            wants_key: true,
        }) = levels.last_mut()
        {
            *key = decode(text.get(range.clone()).unwrap_or_default());
            is_key = true;
        }
        let block = match levels {
            [
                _,
                Level::Array {
                    index,
                    of_blocks: true,
                },
                _,
                ..,
            ] => Some(*index),
            _ => None,
        };
        let inside = if block.is_some() {
            &levels[2..]
        } else {
            levels
        };
        self.scalars.push(Scalar {
            block,
            place: place(inside),
            is_key,
            range,
            is_string,
        });
    }

    /// A block's name, where it says one.
    pub(crate) fn name(&self, text: &str, block: usize) -> Option<String> {
        let name = self.scalars.iter().find(|scalar| {
            scalar.block == Some(block)
                && scalar.place == "name"
                && scalar.is_string
                && !scalar.is_key
        })?;
        Some(decode(text.get(name.range.clone())?))
    }

    /// The block that a byte belongs to.
    fn block_at(&self, at: usize) -> Option<usize> {
        self.blocks.iter().position(|block| block.contains(&at))
    }
}

fn place(levels: &[Level]) -> String {
    let step = |(depth, level): (usize, &Level)| match level {
        Level::Object { key, .. } if depth == 0 => shorten(key),
        Level::Object { key, .. } => format!(".{}", shorten(key)),
        Level::Array { index, .. } => format!("[{index}]"),
    };
    levels.iter().enumerate().map(step).collect()
}

/// The end of a string's inside.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut escaped = false;
    let close = bytes[start..].iter().position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    });
    close.map_or(bytes.len(), |close| start + close)
}

/// A string's meaning; of one that has none, what is written.
pub(crate) fn decode(inside: &str) -> String {
    serde_json::from_str(&format!("\"{inside}\"")).unwrap_or_else(|_| inside.to_owned())
}

/// The byte of a string's inside at which the byte `meant` of its meaning is written.
pub(crate) fn written(inside: &str, meant: usize) -> usize {
    let (mut at, mut left) = (0, meant);
    while left > 0 {
        let rest = &inside[at..];
        let Some(first) = rest.chars().next() else {
            break;
        };
        let len = match rest.as_bytes() {
            // A pair of escapes is one character.
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
        let Some(written) = rest.get(..len) else {
            break;
        };
        at += len;
        left = left.saturating_sub(decode(written).len());
    }
    at
}

/// Line and column of a byte, both from one, the column in characters.
pub(crate) fn line_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[start..].chars().count() + 1,
    )
}

/// The byte at a line and a column, both from one, the column in characters.
pub(crate) fn byte_at(text: &str, (line, column): (usize, usize)) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let rest = text.get(start..).unwrap_or_default();
    let column = rest.char_indices().nth(column.saturating_sub(1));
    start + column.map_or(rest.len(), |(at, _)| at)
}

impl ResolveError {
    /// The same error with line and column of the block file that it is about, and with the
    /// block's name where only the place in the file was known. [`crate::BlockFile::parse`] has
    /// done so with its own errors.
    #[must_use]
    pub fn in_file(self, file: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(file) else {
            return self;
        };
        if self.place().is_some() {
            let found = find(&self, text);
            return match found {
                Some(at) => self.at_file(line_column(text, at)),
                None => self,
            };
        }
        let Some((line, column)) = self.line_column() else {
            return self;
        };
        // The parser counts bytes, and names the byte that it stopped behind.
        let start: usize = text
            .split_inclusive('\n')
            .take(line.saturating_sub(1))
            .map(str::len)
            .sum();
        let at = (start + column.saturating_sub(1)).min(text.len());
        let layout = Layout::of(text);
        let name = layout
            .block_at(at)
            .and_then(|block| layout.name(text, block));
        match name {
            Some(name) if self.block().is_none() => self.in_block(&name),
            _ => self,
        }
    }
}

/// The byte of a file that an error with a place is about.
fn find(error: &ResolveError, text: &str) -> Option<usize> {
    let layout = Layout::of(text);
    let place = error.place()?;
    let named = error.block().and_then(|name| {
        (0..layout.blocks.len()).find(|block| layout.name(text, *block).as_deref() == Some(name))
    });
    let here = |scalar: &&Scalar| match scalar.block {
        None => scalar.place == place,
        Some(block) if named == Some(block) && scalar.place == place => true,
        Some(block) => place == format!("blocks[{block}].{}", scalar.place),
    };
    let candidates: Vec<&Scalar> = layout.scalars.iter().filter(here).collect();
    let offset = |meaning: &str| {
        let of_line = || Some(byte_at(meaning, error.line_column()?));
        error.offset().or_else(of_line).unwrap_or(0)
    };
    // A key and its value are at the same place: what is meant has braces at the offset.
    let braces = |scalar: &&&Scalar| {
        let meaning = decode(&text[scalar.range.clone()]);
        let rest = meaning.get(offset(&meaning)..);
        rest.is_some_and(|rest| rest.starts_with("{{"))
    };
    let scalar = candidates
        .iter()
        .find(braces)
        .or_else(|| candidates.iter().find(|scalar| !scalar.is_key))
        .or_else(|| candidates.first())?;
    let inside = &text[scalar.range.clone()];
    Some(scalar.range.start + written(inside, offset(&decode(inside))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_have_their_places() {
        let text = "{\"workflow\": \"w\", \"blocks\": [{\"name\": \"a\"},\n {\"name\": \"b\", \
                    \"body\": {\"json\": {\"x\\u0079\": [1, {\"k\": \"v\"}]}}}]}";
        let layout = Layout::of(text);
        let places: Vec<(Option<usize>, &str, &str)> = layout
            .scalars
            .iter()
            .filter(|scalar| !scalar.is_key)
            .map(|scalar| (scalar.block, &*scalar.place, &text[scalar.range.clone()]))
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
        assert_eq!(layout.name(text, 1).as_deref(), Some("b"));
        let second = text.find("{\"name\": \"b\"").expect("there");
        assert_eq!(
            [second - 1, second, text.len() - 3, text.len() - 2].map(|at| layout.block_at(at)),
            [None, Some(1), Some(1), None]
        );
    }

    #[test]
    fn a_meaning_is_found_where_it_is_written() {
        let inside = r#"é\n\u00e9\ud834\udd1e\"x"#;
        let meaning = decode(inside);
        assert_eq!(meaning, "é\né𝄞\"x");
        for (meant, at) in [(0, 0), (2, 2), (3, 4), (5, 10), (9, 22), (10, 24), (99, 25)] {
            assert_eq!(written(inside, meant), at, "{meant}");
        }
    }

    #[test]
    fn broken_texts_end_what_is_known() {
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
            let layout = Layout::of(text);
            for at in 0..=text.len() {
                let name = layout.block_at(at).and_then(|one| layout.name(text, one));
                assert!(name.is_none() || text.contains("\\u"), "{text}");
            }
        }
        assert_eq!(written("\\u12", 3), 0);
        assert_eq!(written("\\ud834", 3), 0);
    }
}
