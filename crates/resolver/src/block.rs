//! The blocks of a workflow.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::json::Json;

/// One block.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawBlock")]
pub enum Block {
    /// An HTTP request.
    External(ExternalApi),
    /// Python code.
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
    /// None: the 3xx response is the block's result.
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

/// Credentials. Every field is a template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Bearer TOKEN`.
    Bearer {
        /// The token.
        token: String,
    },
    /// `Authorization: Basic …`. [`crate::prepare()`] encodes it.
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
    /// Text, with values unchanged.
    Text(String),
    /// XML, with values escaped in text and attributes.
    Xml(String),
}

/// Names and values in file order. A name that occurs twice is an error.
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

/// The fields of all kinds of blocks. It is one flat struct instead of a tagged union, so that an error
/// points at its own line.
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
                return Err(de::Error::custom(
                    "a name occurs twice: remove one of the two",
                ));
            }
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }
}
