//! Following a redirect to the origin that the block names.

use url::Url;

use crate::error::{Code, ResolveError};
use crate::hosts::authority;
use crate::prepare::Prepared;
use crate::redact::Redactor;
use crate::secret::{SecretValue, SecretValues};

/// Turns a request into the one that a redirect asks for. Method and body follow what browsers do
/// (Fetch, section 4.4): 303, and 301 or 302 after POST, ask for the target with GET.
///
/// # Errors
///
/// `redirect_blocked`, about the host that redirects: the one that it names may be spelled with
/// a value that it was sent.
pub(crate) fn redirect(
    request: &mut Prepared,
    status: u16,
    location: &[u8],
    secrets: &SecretValues,
) -> Result<(), ResolveError> {
    let url = target(&request.url, location)
        .and_then(|url| check_values(&url, secrets).map(|()| url))
        .map_err(|error| error.at_host(&authority(&request.url)))?;
    request.url = url;
    let get = match status {
        303 => !matches!(request.method, "GET" | "HEAD"),
        301 | 302 => request.method == "POST",
        _ => false,
    };
    if get {
        request.method = "GET";
        request.body = None;
        request
            .headers
            .retain(|header| !header.name.starts_with("content-"));
    }
    Ok(())
}

fn blocked(detail: &str) -> ResolveError {
    ResolveError::new(Code::RedirectBlocked, detail)
}

/// The target, where it has the origin of the request.
fn target(from: &Url, location: &[u8]) -> Result<Url, ResolveError> {
    let mut url = std::str::from_utf8(location)
        .ok()
        .and_then(|location| from.join(location).ok())
        .ok_or_else(|| blocked("the redirect's target is not a URL"))?;
    if url.scheme() != from.scheme() {
        return Err(blocked("the redirect leads to another scheme"));
    }
    if url.host() != from.host() {
        return Err(blocked("the redirect leads to another host"));
    }
    if url.port_or_known_default() != from.port_or_known_default() {
        return Err(blocked("the redirect leads to another port"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(blocked("the redirect has credentials in its URL"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// A service must not make the block write a value where the block itself may not: in a path, or
/// in a query without the secret's permission.
fn check_values(url: &Url, secrets: &SecretValues) -> Result<(), ResolveError> {
    let has = |redactor: &Redactor, text: &str| redactor.redact(text.as_bytes()) != text.as_bytes();
    let not_in_query: SecretValues = secrets
        .iter()
        .filter(|(_, secret)| !secret.allow_query)
        .map(|(name, secret)| (name.to_owned(), SecretValue::new(secret.bytes.to_vec())))
        .collect();
    if has(&Redactor::of(secrets, &[]), url.path())
        || has(
            &Redactor::of(&not_in_query, &[]),
            url.query().unwrap_or_default(),
        )
    {
        return Err(blocked("the redirect's URL has a secret's value in it"));
    }
    Ok(())
}
