//! Building a request with values in it.
//!
//! Each context has its own encoding, so a value is always data and never changes the request around it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;
use zeroize::Zeroizing;

use crate::block::{Auth, Body, ExternalApi};
use crate::error::{Code, ResolveError};
use crate::json;
use crate::percent;
use crate::reference_locations::{ReferenceLocation, api_references};
use crate::secret::{SecretValue, SecretValues};
use crate::template::{Segment, Template};
use crate::xml;

/// Methods that a block may use. `CONNECT` would open a tunnel, and `TRACE` would echo credentials.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Headers of the connection, and headers that decide how the response is read. A `Host` header would send a
/// secret to another site at the checked address.
const RESERVED_HEADERS: [&str; 11] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request that is ready to be sent. It holds values, so it has no `Debug`.
pub struct PreparedRequest {
    /// The method, in capitals.
    pub method: &'static str,
    /// The URL without a fragment.
    pub url: Url,
    /// The headers, names in lower case and each name once.
    pub headers: Vec<PreparedHeader>,
    /// The body, if the block has one.
    pub body: Option<Zeroizing<Vec<u8>>>,
}

/// A header of a [`PreparedRequest`].
pub struct PreparedHeader {
    /// The name in lower case.
    pub name: String,
    /// The value: tab or 0x20 to 0x7E.
    pub value: Zeroizing<Vec<u8>>,
    /// Whether it contains a secret or is a credential.
    pub sensitive: bool,
}

/// A placeholder for a value that is not revealed yet. It is legal in every context, so any error it causes
/// is an error of the block.
const STAND_IN: &str = "x";

/// Finds the references of a block, and every error that does not depend on the values: it builds the request
/// with placeholders.
///
/// # Errors
///
/// Those of [`prepare()`], except those about a value.
pub(crate) fn check(
    api: &ExternalApi,
) -> Result<BTreeMap<String, Vec<ReferenceLocation>>, ResolveError> {
    let references = api_references(api)?;
    let stand_in = || SecretValue {
        // The run decides whether a value may stand in the query.
        allow_query: true,
        ..SecretValue::new(STAND_IN)
    };
    let stand_ins = references.keys().map(|name| (name.clone(), stand_in()));
    prepare(api, &stand_ins.collect())?;
    Ok(references)
}

/// The method and the URL of a block, without references, query and fragment. References stand in the query
/// only, so scheme, host, port and path are those of the request.
///
/// # Errors
///
/// `block_invalid` if they are not valid.
pub(crate) fn target(api: &ExternalApi) -> Result<(&'static str, Url), ResolveError> {
    let template = Template::parse(&api.url).map_err(|error| error.in_field("url"))?;
    let literal: String = template
        .segments()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Literal(text) => Some(text.as_str()),
            Segment::Reference { .. } => None,
        })
        .collect();
    let mut url = parse_url(&literal).map_err(|error| error.in_field("url"))?;
    url.set_query(None);
    url.set_fragment(None);
    Ok((method(&api.method)?, url))
}

/// Puts the values into a block's request.
///
/// # Errors
///
/// `secret_not_found`, `context_forbidden`, `value_illegal_for_context` and `block_invalid`, with
/// block and field.
pub fn prepare(api: &ExternalApi, secrets: &SecretValues) -> Result<PreparedRequest, ResolveError> {
    build(api, secrets).map_err(|error| error.in_block(&api.name))
}

fn build(api: &ExternalApi, secrets: &SecretValues) -> Result<PreparedRequest, ResolveError> {
    // A block that did not come from a file has not been checked yet.
    api_references(api)?;
    let url = url(&api.url, secrets).map_err(|error| error.in_field("url"))?;
    let mut headers = Headers::default();
    if let Some(auth) = &api.auth {
        headers.push(auth_header(auth, secrets)?, "auth")?;
    }
    for (name, value) in &api.headers.0 {
        let field = format!("headers.{}", name.escape_debug());
        let (value, secret) =
            header_value(value, secrets).map_err(|error| error.in_field(&field))?;
        headers.push((name, value, secret), &field)?;
    }
    let body = match &api.body {
        None => None,
        Some(body) => {
            let (bytes, content_type) = body_bytes(body, secrets)?;
            if !headers.has("content-type") {
                let value = Zeroizing::new(content_type.as_bytes().to_vec());
                headers.push(("content-type", value, false), "body")?;
            }
            Some(bytes)
        }
    };
    Ok(PreparedRequest {
        method: method(&api.method)?,
        url,
        headers: headers.0,
        body,
    })
}

fn invalid(detail: &str) -> ResolveError {
    ResolveError::new(Code::BlockInvalid, detail)
}

fn method(method: &str) -> Result<&'static str, ResolveError> {
    METHODS
        .into_iter()
        .find(|known| *known == method)
        .ok_or_else(|| {
            invalid("unknown method: use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS")
                .in_field("method")
        })
}

fn parse_url(text: &str) -> Result<Url, ResolveError> {
    let url = Url::parse(text).map_err(|error| invalid(&format!("not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(
            "the URL's scheme is not https: use https, or http where the operator allows it",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "the URL contains credentials: put them into `auth`",
        ));
    }
    // The URL parser accepts braces in a host. Here they are a placeholder that the engine did not fill in.
    if url.host_str().is_none_or(|host| host.contains(['{', '}'])) {
        return Err(invalid(
            "the URL's host still has a placeholder: fill it in before the block runs",
        ));
    }
    Ok(url)
}

fn url(text: &str, secrets: &SecretValues) -> Result<Url, ResolveError> {
    let template = Template::parse(text)?;
    let filled = fill(&template, secrets, |name, value, out| {
        if !value.allow_query {
            return Err(ResolveError::new(
                Code::ContextForbidden,
                "this secret may not stand in the URL's query: servers and proxies log it; allow it explicitly",
            )
            .about_secret(name));
        }
        percent::encode(&value.bytes, out);
        Ok(())
    })?;
    let text = std::str::from_utf8(&filled).map_err(|_| invalid("not a URL"))?;
    let mut url = parse_url(text)?;
    url.set_fragment(None);
    Ok(url)
}

#[derive(Default)]
struct Headers(Vec<PreparedHeader>);

impl Headers {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|header| header.name == name)
    }

    fn push(
        &mut self,
        (name, value, sensitive): (&str, Zeroizing<Vec<u8>>, bool),
        field: &str,
    ) -> Result<(), ResolveError> {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid("not a valid header name").in_field(field))?;
        let name = name.as_str();
        if RESERVED_HEADERS.contains(&name) {
            return Err(invalid("keyroll sets this header itself: remove it").in_field(field));
        }
        if self.has(name) {
            return Err(invalid("this header occurs twice: remove one of the two").in_field(field));
        }
        if HeaderValue::from_bytes(&value).is_err() {
            return Err(invalid("not a valid header value").in_field(field));
        }
        self.0.push(PreparedHeader {
            name: name.to_owned(),
            value,
            sensitive,
        });
        Ok(())
    }
}

type Header<'a> = (&'a str, Zeroizing<Vec<u8>>, bool);

fn auth_header<'a>(auth: &'a Auth, secrets: &SecretValues) -> Result<Header<'a>, ResolveError> {
    match auth {
        Auth::Bearer { token } => {
            let (token, _) =
                header_value(token, secrets).map_err(|error| error.in_field("auth.token"))?;
            let mut value = Zeroizing::new(Vec::with_capacity(7 + token.len()));
            value.extend_from_slice(b"Bearer ");
            value.extend_from_slice(&token);
            Ok(("authorization", value, true))
        }
        Auth::Basic { username, password } => {
            let user = credential(username, secrets, "auth.username")?;
            let password = credential(password, secrets, "auth.password")?;
            // RFC 7617, section 2: the first colon ends the user name.
            if user.contains(&b':') {
                let error = ResolveError::new(
                    Code::ValueIllegalForContext,
                    "the user name contains a colon, which Basic authentication does not allow",
                );
                return Err(error.in_field("auth.username"));
            }
            let mut pair = Zeroizing::new(Vec::with_capacity(user.len() + 1 + password.len()));
            pair.extend_from_slice(&user);
            pair.push(b':');
            pair.extend_from_slice(&password);
            let encoded = Zeroizing::new(STANDARD.encode(&pair));
            let value = Zeroizing::new([b"Basic ", encoded.as_bytes()].concat());
            Ok(("authorization", value, true))
        }
        Auth::Header { name, value } => {
            let (value, _) =
                header_value(value, secrets).map_err(|error| error.in_field("auth.value"))?;
            Ok((name, value, true))
        }
    }
}

/// A user name or password: any bytes except control characters (RFC 7617, section 2).
fn credential(
    text: &str,
    secrets: &SecretValues,
    field: &str,
) -> Result<Zeroizing<Vec<u8>>, ResolveError> {
    let filled = raw(text, secrets).map_err(|error| error.in_field(field))?;
    if filled.iter().any(u8::is_ascii_control) {
        let error = ResolveError::new(
            Code::ValueIllegalForContext,
            "the credentials contain a control character, which Basic authentication does not allow",
        );
        return Err(error.in_field(field));
    }
    Ok(filled)
}

/// A header's value, and whether it contains a secret.
fn header_value(
    text: &str,
    secrets: &SecretValues,
) -> Result<(Zeroizing<Vec<u8>>, bool), ResolveError> {
    let legal = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let illegal = || {
        ResolveError::new(
            Code::ValueIllegalForContext,
            "a header value may contain only tab and the characters from space to tilde",
        )
    };
    let template = Template::parse(text)?;
    let filled = fill(&template, secrets, |name, value, out| {
        if !legal(&value.bytes) {
            return Err(illegal().about_secret(name));
        }
        out.extend_from_slice(&value.bytes);
        Ok(())
    })?;
    if !legal(&filled) {
        return Err(illegal());
    }
    Ok((filled, template.references().next().is_some()))
}

fn body_bytes(
    body: &Body,
    secrets: &SecretValues,
) -> Result<(Zeroizing<Vec<u8>>, &'static str), ResolveError> {
    let mut out = Zeroizing::new(Vec::new());
    match body {
        Body::Json(value) => {
            json::write(value, secrets, &mut out).map_err(|error| error.in_field("body.json"))?;
            Ok((out, "application/json"))
        }
        Body::Form(fields) => {
            for (name, value) in &fields.0 {
                let field = format!("body.form.{}", name.escape_debug());
                if !out.is_empty() {
                    out.push(b'&');
                }
                percent::encode_form(&raw(name, secrets)?, &mut out);
                out.push(b'=');
                let value = raw(value, secrets).map_err(|error| error.in_field(&field))?;
                percent::encode_form(&value, &mut out);
            }
            Ok((out, "application/x-www-form-urlencoded"))
        }
        Body::Text(text) => {
            let filled = raw(text, secrets).map_err(|error| error.in_field("body.text"))?;
            Ok((filled, "text/plain; charset=utf-8"))
        }
        Body::Xml(text) => {
            let template = Template::parse(text).map_err(|error| error.in_field("body.xml"))?;
            let filled = fill(&template, secrets, |name, value, out| {
                value
                    .text()
                    .and_then(|text| xml::escape(text, out))
                    .map_err(|error| error.about_secret(name))
            });
            Ok((
                filled.map_err(|error| error.in_field("body.xml"))?,
                "application/xml",
            ))
        }
    }
}

/// A template with values unchanged.
fn raw(text: &str, secrets: &SecretValues) -> Result<Zeroizing<Vec<u8>>, ResolveError> {
    fill(&Template::parse(text)?, secrets, |_, value, out| {
        out.extend_from_slice(&value.bytes);
        Ok(())
    })
}

fn fill(
    template: &Template,
    secrets: &SecretValues,
    mut put: impl FnMut(&str, &SecretValue, &mut Vec<u8>) -> Result<(), ResolveError>,
) -> Result<Zeroizing<Vec<u8>>, ResolveError> {
    let mut out = Zeroizing::new(Vec::new());
    for segment in template.segments() {
        match segment {
            Segment::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Segment::Reference { name, .. } => put(name, secrets.get(name)?, &mut out)?,
        }
    }
    Ok(out)
}
