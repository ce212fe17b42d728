//! Which secrets a block references and where, and where no reference may stand.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::block::{Auth, Block, Body, ExternalApi};
use crate::error::{Code, ResolveError};
use crate::template::{Segment, Template};
use crate::xml;

/// The most references in one block. The location of each repeats the JSON keys above it.
pub(crate) const MAX_REFERENCES: usize = 1000;

/// The most bytes of a JSON key in a location.
const MAX_KEY: usize = 64;

/// The context of a reference. It decides how the value is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// A header's value.
    Header,
    /// A part of the credentials.
    Auth,
    /// The URL's query.
    Query,
    /// Inside a JSON string.
    Json,
    /// A form field's value.
    Form,
    /// XML text or attribute.
    Xml,
    /// Plain text.
    Text,
    /// Python code.
    Python,
}

/// The location of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceLocation {
    /// The field, such as `headers.X-Api-Key` or `body.json.items[0].id`.
    pub path: String,
    /// Bytes from the start of the field's string.
    pub offset: usize,
    /// The context.
    pub context: Context,
}

impl fmt::Display for ReferenceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (offset {})", self.path, self.offset)
    }
}

/// Every secret that a block references, with the locations in file order. Empty for a Python block:
/// [`crate::analyse_python`] reads its code.
///
/// # Errors
///
/// `template_syntax`, or `context_forbidden` for a reference in the method, the URL outside its
/// query, a header's or form field's name, a JSON key, or XML other than text and attributes.
pub fn references(block: &Block) -> Result<BTreeMap<String, Vec<ReferenceLocation>>, ResolveError> {
    match block {
        Block::External(api) => api_references(api),
        Block::Python(_) => Ok(BTreeMap::new()),
    }
}

pub(crate) fn api_references(
    api: &ExternalApi,
) -> Result<BTreeMap<String, Vec<ReferenceLocation>>, ResolveError> {
    let mut collector = LocationCollector::default();
    collector
        .block(api)
        .map_err(|error| error.in_block(&api.name))?;
    Ok(collector.found)
}

#[derive(Default)]
struct LocationCollector {
    found: BTreeMap<String, Vec<ReferenceLocation>>,
    count: usize,
}

impl LocationCollector {
    fn block(&mut self, api: &ExternalApi) -> Result<(), ResolveError> {
        forbid(&api.method, "method", "the method")?;
        self.url(&api.url)?;
        match &api.auth {
            None => {}
            Some(Auth::Bearer { token }) => self.text(token, "auth.token", Context::Auth)?,
            Some(Auth::Basic { username, password }) => {
                self.text(username, "auth.username", Context::Auth)?;
                self.text(password, "auth.password", Context::Auth)?;
            }
            Some(Auth::Header { name, value }) => {
                forbid(name, "auth.name", "a header's name")?;
                self.text(value, "auth.value", Context::Auth)?;
            }
        }
        for (name, value) in &api.headers.0 {
            forbid(name, &field("headers", name), "a header's name")?;
            self.text(value, &field("headers", name), Context::Header)?;
        }
        self.body(api.body.as_ref())
    }

    fn body(&mut self, body: Option<&Body>) -> Result<(), ResolveError> {
        match body {
            None => Ok(()),
            Some(Body::Json(json)) => {
                let tree = json.tree().map_err(|error| error.in_field("body.json"))?;
                self.json(&tree, &mut vec!["body.json".to_owned()])
            }
            Some(Body::Form(fields)) => {
                for (name, value) in &fields.0 {
                    forbid(name, &field("body.form", name), "a form field's name")?;
                    self.text(value, &field("body.form", name), Context::Form)?;
                }
                Ok(())
            }
            Some(Body::Text(text)) => self.text(text, "body.text", Context::Text),
            Some(Body::Xml(text)) => {
                let template = parse(text, "body.xml")?;
                xml::check(&template)
                    .map_err(|(error, at)| error.at_offset(text, at).in_field("body.xml"))?;
                self.add(&template, "body.xml", Context::Xml)
            }
        }
    }

    fn url(&mut self, url: &str) -> Result<(), ResolveError> {
        let template = parse(url, "url")?;
        let query = split_query(&template);
        for (name, offset) in template.references() {
            if !query.contains(&offset) {
                return Err(forbidden(part_of_url(url, offset))
                    .about_secret(name)
                    .in_field("url")
                    .at_offset(url, offset));
            }
        }
        self.add(&template, "url", Context::Query)
    }

    /// `path` leads from the body to `value`. It is joined only where it is needed.
    fn json(&mut self, value: &Value, path: &mut Vec<String>) -> Result<(), ResolveError> {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
            Value::String(text) => match Template::parse(text) {
                Ok(template) if template.references().next().is_none() => Ok(()),
                Ok(template) => self.add(&template, &path.concat(), Context::Json),
                Err(error) => Err(error.in_field(&path.concat())),
            },
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(format!("[{index}]"));
                    self.json(item, path)?;
                    path.pop();
                }
                Ok(())
            }
            Value::Object(fields) => {
                for (key, item) in fields {
                    path.push(format!(".{}", shorten(key)));
                    if key.contains("{{") {
                        forbid(key, &path.concat(), "a JSON key")?;
                    }
                    self.json(item, path)?;
                    path.pop();
                }
                Ok(())
            }
        }
    }

    fn text(&mut self, text: &str, path: &str, context: Context) -> Result<(), ResolveError> {
        self.add(&parse(text, path)?, path, context)
    }

    fn add(
        &mut self,
        template: &Template,
        path: &str,
        context: Context,
    ) -> Result<(), ResolveError> {
        for (name, offset) in template.references() {
            self.count += 1;
            if self.count > MAX_REFERENCES {
                return Err(ResolveError::new(
                    Code::BlockInvalid,
                    "the block has more than 1000 references: split it",
                ));
            }
            let location = ReferenceLocation {
                path: path.to_owned(),
                offset,
                context,
            };
            self.found
                .entry(name.to_owned())
                .or_default()
                .push(location);
        }
        Ok(())
    }
}

fn parse(text: &str, path: &str) -> Result<Template, ResolveError> {
    Template::parse(text).map_err(|error| error.in_field(path))
}

fn forbid(text: &str, path: &str, what: &str) -> Result<(), ResolveError> {
    match parse(text, path)?.references().next() {
        None => Ok(()),
        Some((name, offset)) => Err(forbidden(what)
            .about_secret(name)
            .in_field(path)
            .at_offset(text, offset)),
    }
}

fn forbidden(what: &str) -> ResolveError {
    ResolveError::new(
        Code::ContextForbidden,
        format!("a reference must not stand in {what}"),
    )
}

fn field(parent: &str, name: &str) -> String {
    format!("{parent}.{}", shorten(name))
}

/// A key as a location shows it: short, and on one line.
pub(crate) fn shorten(key: &str) -> String {
    let end = (0..=MAX_KEY.min(key.len()))
        .rev()
        .find(|end| key.is_char_boundary(*end));
    let head = &key[..end.unwrap_or(0)];
    let dots = if head.len() < key.len() { "…" } else { "" };
    format!("{}{dots}", head.escape_debug())
}

/// The offsets at which a reference belongs to the query. To the WHATWG parser everything before the first
/// `?` or `#` is scheme, host and path, and everything after the first `#` is the fragment. Values in the
/// query are encoded, so they cannot move these limits.
fn split_query(template: &Template) -> std::ops::Range<usize> {
    let mut query: Option<usize> = None;
    let mut at = 0;
    for segment in template.segments() {
        match segment {
            Segment::Reference { offset, .. } => at = offset + 1,
            Segment::Literal(text) => {
                if query.is_none() {
                    if let Some(mark) = text.find(['?', '#']) {
                        if text[mark..].contains('#') {
                            return 0..0;
                        }
                        query = Some(at);
                    }
                } else if text.contains('#') {
                    return query.unwrap_or(0)..at;
                }
            }
        }
    }
    query.map_or(0..0, |start| start..usize::MAX)
}

/// The part of a URL at an offset, for an error.
fn part_of_url(url: &str, offset: usize) -> &'static str {
    let (before, after) = url.split_at_checked(offset).unwrap_or((url, ""));
    if before.contains('#') {
        return "the URL's fragment";
    }
    let Some((_, rest)) = before.split_once(':') else {
        return "the URL's scheme";
    };
    let authority = rest.trim_start_matches(['/', '\\']);
    if authority.contains(['/', '\\']) {
        return "the URL's path";
    }
    let end = after.find(['/', '\\', '?', '#']).unwrap_or(after.len());
    if after[..end].contains('@') {
        "the URL's user info"
    } else {
        "the URL's host"
    }
}
