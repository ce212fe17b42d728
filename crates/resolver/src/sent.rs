//! The forms in which a request carries values.
//!
//! A service that repeats a request repeats these forms, perhaps in Base64 or another encoding of
//! its own. So masking knows them beside the values.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use crate::encode;
use crate::error::ResolveError;
use crate::prepare::Prepared;
use crate::references::{Context, Site};
use crate::secret::{SecretValue, SecretValues};
use crate::xml;

/// A name and what was sent for it.
pub(crate) type SentForm<'a> = (&'a str, Zeroizing<Vec<u8>>);

/// Each form with the name of its secret. A value that stands as it is in the request has none.
pub(crate) fn sent_forms<'a>(
    references: &'a BTreeMap<String, Vec<Site>>,
    secrets: &SecretValues,
    request: &Prepared,
) -> Result<Vec<SentForm<'a>>, ResolveError> {
    let mut forms = Vec::new();
    for (name, places) in references {
        let value = secrets.get(name)?;
        let contexts: BTreeSet<Context> = places.iter().map(|place| place.context).collect();
        for context in contexts {
            let form = match context {
                Context::Auth => basic_credentials(request),
                context => written(value, context)?,
            };
            forms.extend(form.map(|form| (name.as_str(), form)));
        }
    }
    Ok(forms)
}

fn written(
    value: &SecretValue,
    context: Context,
) -> Result<Option<Zeroizing<Vec<u8>>>, ResolveError> {
    let mut out = Zeroizing::new(Vec::new());
    match context {
        Context::Query => encode::percent(&value.bytes, &mut out),
        Context::Form => encode::form(&value.bytes, &mut out),
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

/// User and password together in Base64, where both may be too short to be known alone.
fn basic_credentials(request: &Prepared) -> Option<Zeroizing<Vec<u8>>> {
    let mut headers = request.headers.iter();
    let header = headers.find(|header| header.name == "authorization")?;
    let encoded = header.value.strip_prefix(b"Basic ")?;
    Some(Zeroizing::new(encoded.to_vec()))
}
