//! Following a redirect to the origin that the block names.

use url::Url;

use crate::error::{Code, ResolveError};
use crate::host_pattern::authority;
use crate::prepare::PreparedRequest;
use crate::redact::Redactor;
use crate::secret::{SecretValue, SecretValues};

/// Changes a request into the one that a redirect asks for. Method and body change as in browsers (Fetch,
/// section 4.4): after 303, and after 301 or 302 in response to POST, the method is GET.
///
/// # Errors
/// `redirect_blocked`, with the host that redirects. The target's host may contain a value that the service
/// has received.
pub(crate) fn redirect(
    request: &mut PreparedRequest,
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

/// The target, if it has the origin of the request.
fn target(from: &Url, location: &[u8]) -> Result<Url, ResolveError> {
    let mut url = std::str::from_utf8(location)
        .ok()
        .and_then(|location| from.join(location).ok())
        .ok_or_else(|| blocked("the redirect's target is not a URL"))?;
    if url.scheme() != from.scheme() {
        return Err(blocked(
            "the redirect leads to another scheme: use the final URL in the block",
        ));
    }
    if url.host() != from.host() {
        return Err(blocked(
            "the redirect leads to another host: use the final URL in the block",
        ));
    }
    if url.port_or_known_default() != from.port_or_known_default() {
        return Err(blocked(
            "the redirect leads to another port: use the final URL in the block",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(blocked("the redirect's URL contains credentials"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// A redirect must not put a value where the block itself may not: in a path, or in a query for which the
/// secret is not allowed.
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
        return Err(blocked("the redirect's URL contains the value of a secret"));
    }
    Ok(())
}
