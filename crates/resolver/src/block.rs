//! The block file.
//!
//! Reading a file checks its shape, every template in it and the context of every reference.
//! Whether method, URL and header names make a request is checked when a block is planned, since
//! a workflow engine may still have `{{…}}` of its own to fill in there.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;

use crate::error::{Code, ResolveError};
use crate::json::Json;
use crate::references::references;

/// The largest block file, in bytes: a file is read whole and each of its strings once.
const MAX_FILE: usize = 1024 * 1024;

/// The longest workflow or block name, in bytes: they appear in every audit entry of a run.
const MAX_NAME: usize = 128;

/// A workflow and its blocks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockFile {
    /// The workflow's name, as audit entries show it.
    pub workflow: String,
    /// The blocks, with names that differ.
    pub blocks: Vec<Block>,
}

/// One block.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawBlock")]
pub enum Block {
    /// An HTTP request.
    External(ExternalApi),
    /// Python code. Checked for its shape, not run by this version.
    Python(Python),
}

/// A block that sends one HTTP request.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalApi {
    /// The block's name.
    pub name: String,
    /// The request method, without references.
    pub method: String,
    /// The URL; references stand in its query only.
    pub url: String,
    /// The credentials.
    pub auth: Option<Auth>,
    /// Further headers.
    pub headers: Fields,
    /// The body.
    pub body: Option<Body>,
    /// Which redirects are followed.
    pub redirects: Redirects,
}

/// Which redirects of the service are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redirects {
    /// None: the redirect is the block's outcome.
    #[default]
    None,
    /// Those that keep scheme, host and port; any other is an error.
    SameOrigin,
}

/// A block of Python code.
#[derive(Debug, Clone, PartialEq)]
pub struct Python {
    /// The block's name.
    pub name: String,
    /// The code.
    pub code: String,
}

/// Credentials, all of them templates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Bearer TOKEN`.
    Bearer {
        /// The token.
        token: String,
    },
    /// `Authorization: Basic …`; the Base64 is done here.
    Basic {
        /// The user, without a colon.
        username: String,
        /// The password.
        password: String,
    },
    /// A header of any name.
    Header {
        /// The header's name, without references.
        name: String,
        /// The header's value.
        value: String,
    },
}

/// A request body.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// JSON, with references inside its string values.
    Json(Json),
    /// `application/x-www-form-urlencoded`, with references in its values.
    Form(Fields),
    /// Text, with values as they are.
    Text(String),
    /// XML, with values escaped in text and attributes.
    Xml(String),
}

/// Names and values in file order. A name given twice is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Block {
    /// The block's name.
    pub fn name(&self) -> &str {
        match self {
            Self::External(block) => &block.name,
            Self::Python(block) => &block.name,
        }
    }
}

impl BlockFile {
    /// Reads and checks a block file.
    ///
    /// # Errors
    ///
    /// `block_invalid` with line and column, `template_syntax` and `context_forbidden` with block
    /// and place; all of them with line and column of the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, ResolveError> {
        if bytes.len() > MAX_FILE {
            return Err(invalid("a block file is at most 1 MiB"));
        }
        Self::read(bytes).map_err(|error| error.in_file(bytes))
    }

    fn read(bytes: &[u8]) -> Result<Self, ResolveError> {
        let file: Self =
            serde_json::from_slice(bytes).map_err(|error| json_error(bytes, &error))?;
        check_name(&file.workflow, "a workflow's name")
            .map_err(|error| error.in_place("workflow"))?;
        let mut names = BTreeSet::new();
        for (index, block) in file.blocks.iter().enumerate() {
            let place = format!("blocks[{index}].name");
            check_name(block.name(), "a block's name").map_err(|error| error.in_place(&place))?;
            if !names.insert(block.name()) {
                return Err(invalid("two blocks have this name")
                    .in_block(block.name())
                    .in_place(&place));
            }
            references(block)?;
        }
        Ok(file)
    }

    /// The block of a name; without a name the only block.
    ///
    /// # Errors
    ///
    /// `block_invalid` when there is no such block, or a name is needed to choose one.
    pub fn block(&self, name: Option<&str>) -> Result<&Block, ResolveError> {
        match (name, self.blocks.as_slice()) {
            (Some(name), blocks) => blocks
                .iter()
                .find(|block| block.name() == name)
                .ok_or_else(|| invalid("the file has no such block").in_block(name)),
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
            "{what} is 1 to 128 bytes without control characters"
        )));
    }
    Ok(())
}

/// Words a parser's error. A reference that stands bare, outside a JSON string, is told apart
/// from other broken JSON, and strings of the file are not repeated.
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

/// The parser stops at the second brace of a bare `{{ secrets`.
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

/// A parser's message without the string that it met and without the position at its end.
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

/// Every field that some kind of block has. One flat shape instead of a tagged union, so that an
/// error points at its own line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBlock {
    name: String,
    #[serde(rename = "type")]
    kind: Kind,
    method: Option<String>,
    url: Option<String>,
    auth: Option<Auth>,
    headers: Option<Fields>,
    body: Option<Body>,
    redirects: Option<Redirects>,
    code: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    ExternalApi,
    Python,
}

impl TryFrom<RawBlock> for Block {
    type Error = &'static str;

    fn try_from(raw: RawBlock) -> Result<Self, Self::Error> {
        match raw.kind {
            Kind::ExternalApi if raw.code.is_some() => Err("an external_api block has no `code`"),
            Kind::ExternalApi => Ok(Self::External(ExternalApi {
                name: raw.name,
                method: raw.method.ok_or("an external_api block needs a `method`")?,
                url: raw.url.ok_or("an external_api block needs a `url`")?,
                auth: raw.auth,
                headers: raw.headers.unwrap_or_default(),
                body: raw.body,
                redirects: raw.redirects.unwrap_or_default(),
            })),
            Kind::Python => {
                let request = raw.method.is_some()
                    || raw.url.is_some()
                    || raw.auth.is_some()
                    || raw.headers.is_some()
                    || raw.body.is_some()
                    || raw.redirects.is_some();
                if request {
                    return Err("a python block has only `name`, `type` and `code`");
                }
                let code = raw.code.ok_or("a python block needs `code`")?;
                Ok(Self::Python(Python {
                    name: raw.name,
                    code,
                }))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose values are strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        let mut names = BTreeSet::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom("a name is given twice"));
            }
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }
}
