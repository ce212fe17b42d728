//! Finding the line and the column of an error in a block file.
//!
//! An error names the field of a block and the offset in its string. The author of the file needs a line and
//! a column.

use crate::error::ResolveError;
use crate::source_map::{Scalar, SourceMap, line_column, offset_of, raw_offset, unquote};

impl ResolveError {
    /// The error with a line and a column of the block file, and with the block's name where only the field was
    /// known. Errors of [`crate::BlockFile::parse`] have them already.
    #[must_use]
    pub fn in_file(self, file: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(file) else {
            return self;
        };
        if self.field().is_some() {
            let found = find(&self, text);
            return match found {
                Some(at) => self.at_file(line_column(text, at)),
                None => self,
            };
        }
        let Some((line, column)) = self.line_column() else {
            return self;
        };
        // The parser counts bytes, and names the byte after which it stopped.
        let start: usize = text
            .split_inclusive('\n')
            .take(line.saturating_sub(1))
            .map(str::len)
            .sum();
        let at = (start + column.saturating_sub(1)).min(text.len());
        let source_map = SourceMap::of(text);
        let name = source_map
            .block_at(at)
            .and_then(|block| source_map.name(text, block));
        match name {
            Some(name) if self.block().is_none() => self.in_block(&name),
            _ => self,
        }
    }
}

/// The position in a file of an error that has a field.
fn find(error: &ResolveError, text: &str) -> Option<usize> {
    let source_map = SourceMap::of(text);
    let field = error.field()?;
    let named = error.block().and_then(|name| {
        (0..source_map.blocks.len())
            .find(|block| source_map.name(text, *block).as_deref() == Some(name))
    });
    let here = |scalar: &&Scalar| match scalar.block {
        None => scalar.field == field,
        Some(block) if named == Some(block) && scalar.field == field => true,
        Some(block) => field == format!("blocks[{block}].{}", scalar.field),
    };
    let candidates: Vec<&Scalar> = source_map.scalars.iter().filter(here).collect();
    let offset = |unquoted: &str| {
        let of_line = || Some(offset_of(unquoted, error.line_column()?));
        error.offset().or_else(of_line).unwrap_or(0)
    };
    // A key and its value have the same field. The right one has braces at the offset.
    let braces = |scalar: &&&Scalar| {
        let unquoted = unquote(&text[scalar.range.clone()]);
        let rest = unquoted.get(offset(&unquoted)..);
        rest.is_some_and(|rest| rest.starts_with("{{"))
    };
    let scalar = candidates
        .iter()
        .find(braces)
        .or_else(|| candidates.iter().find(|scalar| !scalar.is_key))
        .or_else(|| candidates.first())?;
    let inside = &text[scalar.range.clone()];
    Some(scalar.range.start + raw_offset(inside, offset(&unquote(inside))))
}
