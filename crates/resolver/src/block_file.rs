//! Reading a block file.
//!
//! Reading checks the file's structure, each template in it, and the context of each reference. Method, URL
//! and header names are checked when a block is planned, since a workflow engine may still have to fill in
//! `{{…}}` of its own there.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::error::Category;

use crate::block::Block;
use crate::error::{Code, ResolveError};
use crate::reference_locations::references;

/// The largest block file, in bytes. A file is read whole.
const MAX_FILE: usize = 1024 * 1024;

/// The longest workflow or block name, in bytes. Each audit entry of a run has both.
const MAX_NAME: usize = 128;

/// A workflow and its blocks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockFile {
    /// The workflow's name, as audit entries show it.
    pub workflow: String,
    /// The blocks. Each has a name of its own.
    pub blocks: Vec<Block>,
}

impl BlockFile {
    /// Reads and checks a block file.
    ///
    /// # Errors
    ///
    /// `block_invalid` with line and column, `template_syntax` and `context_forbidden` with block
    /// and field; all of them with line and column of the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, ResolveError> {
        if bytes.len() > MAX_FILE {
            return Err(invalid("the block file is larger than 1 MiB: split it"));
        }
        Self::read(bytes).map_err(|error| error.in_file(bytes))
    }

    fn read(bytes: &[u8]) -> Result<Self, ResolveError> {
        let file: Self =
            serde_json::from_slice(bytes).map_err(|error| json_error(bytes, &error))?;
        check_name(&file.workflow, "a workflow's name")
            .map_err(|error| error.in_field("workflow"))?;
        let mut names = BTreeSet::new();
        for (index, block) in file.blocks.iter().enumerate() {
            let field = format!("blocks[{index}].name");
            check_name(block.name(), "a block's name").map_err(|error| error.in_field(&field))?;
            if !names.insert(block.name()) {
                return Err(invalid("two blocks have this name: rename one")
                    .in_block(block.name())
                    .in_field(&field));
            }
            references(block)?;
        }
        Ok(file)
    }

    /// The block with a name; without a name, the only block.
    ///
    /// # Errors
    ///
    /// `block_invalid` if there is no such block, or if there are several and no name.
    pub fn block(&self, name: Option<&str>) -> Result<&Block, ResolveError> {
        match (name, self.blocks.as_slice()) {
            (Some(name), blocks) => blocks
                .iter()
                .find(|block| block.name() == name)
                .ok_or_else(|| invalid("the file has no block with this name").in_block(name)),
            (None, [block]) => Ok(block),
            (None, []) => Err(invalid("the file has no blocks")),
            (None, _) => Err(invalid("the file has several blocks: name one")),
        }
    }
}

fn invalid(detail: impl Into<String>) -> ResolveError {
    ResolveError::new(Code::BlockInvalid, detail)
}

fn check_name(name: &str, what: &str) -> Result<(), ResolveError> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "{what} must have 1 to 128 bytes and no control characters"
        )));
    }
    Ok(())
}

/// Words a parser's error. A reference outside a JSON string gets an error of its own. Strings of the file are
/// not repeated.
fn json_error(bytes: &[u8], error: &serde_json::Error) -> ResolveError {
    let (line, column) = (error.line(), error.column());
    let bare = error.classify() == Category::Syntax && is_bare_reference(bytes, line, column);
    let error = if bare {
        ResolveError::new(
            Code::ContextForbidden,
            "a reference stands outside a JSON string: write \"{{secrets.NAME}}\" in quotes",
        )
    } else {
        invalid(format!(
            "not a block file: {}",
            without_content(&error.to_string())
        ))
    };
    error.at_line(line, column)
}

/// Whether the parser stopped at a reference without quotes, at its second brace.
fn is_bare_reference(bytes: &[u8], line: usize, column: usize) -> bool {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .nth(line.saturating_sub(1))
        .unwrap_or_default();
    let Some(inner) = line
        .get(column.saturating_sub(2)..)
        .and_then(|rest| rest.strip_prefix(b"{{"))
    else {
        return false;
    };
    inner.trim_ascii_start().starts_with(b"secrets")
}

/// A parser's message without the string that it found and without the position at its end.
fn without_content(message: &str) -> String {
    let message = message
        .rfind(" at line ")
        .map_or(message, |end| &message[..end]);
    match (message.find("string \""), message.rfind("\", expected ")) {
        (Some(start), Some(end)) if start < end => {
            format!(
                "{}{}",
                &message[..start + "string".len()],
                &message[end + 1..]
            )
        }
        _ => message.to_owned(),
    }
}
