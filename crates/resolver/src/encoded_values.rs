//! Values as a request encodes them.
//!
//! A service that echoes a request echoes these forms, perhaps in an encoding of its own on top. So they are
//! masked as well as the values.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use crate::error::ResolveError;
use crate::percent;
use crate::prepare::PreparedRequest;
use crate::reference_locations::{Context, ReferenceLocation};
use crate::secret::{SecretValue, SecretValues};
use crate::xml;

/// The name of a secret and its value as the request encodes it.
pub(crate) type EncodedValue<'a> = (&'a str, Zeroizing<Vec<u8>>);

/// Every encoded form of every value. A value that the request holds unchanged has none.
pub(crate) fn encoded_values<'a>(
    references: &'a BTreeMap<String, Vec<ReferenceLocation>>,
    secrets: &SecretValues,
    request: &PreparedRequest,
) -> Result<Vec<EncodedValue<'a>>, ResolveError> {
    let mut forms = Vec::new();
    for (name, locations) in references {
        let value = secrets.get(name)?;
        let contexts: BTreeSet<Context> =
            locations.iter().map(|location| location.context).collect();
        for context in contexts {
            let form = match context {
                Context::Auth => basic_credentials(request),
                context => encode(value, context)?,
            };
            forms.extend(form.map(|form| (name.as_str(), form)));
        }
    }
    Ok(forms)
}

fn encode(
    value: &SecretValue,
    context: Context,
) -> Result<Option<Zeroizing<Vec<u8>>>, ResolveError> {
    let mut out = Zeroizing::new(Vec::new());
    match context {
        Context::Query => percent::encode(&value.bytes, &mut out),
        Context::Form => percent::encode_form(&value.bytes, &mut out),
        Context::Xml => xml::escape(value.text()?, &mut out)?,
        Context::Json => {
            let quoted = Zeroizing::new(serde_json::json!(value.text()?).to_string());
            let inside = quoted.get(1..quoted.len() - 1).unwrap_or_default();
            out.extend_from_slice(inside.as_bytes());
        }
        Context::Header | Context::Auth | Context::Text | Context::Python => return Ok(None),
    }
    Ok(Some(out))
}

/// User and password together in Base64. Each alone may be too short to be masked.
fn basic_credentials(request: &PreparedRequest) -> Option<Zeroizing<Vec<u8>>> {
    let mut headers = request.headers.iter();
    let header = headers.find(|header| header.name == "authorization")?;
    let encoded = header.value.strip_prefix(b"Basic ")?;
    Some(Zeroizing::new(encoded.to_vec()))
}
