//! Checks of every request's host and origin, and the security headers of every response.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::public_origin::PublicOrigin;

/// Only the console's own scripts and styles run, nothing is sent elsewhere, no page frames the
/// console, and the browser turns no text into markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), usb=()",
    ),
];

/// Sets the security headers of a response.
pub(crate) fn headers(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// Refuses foreign hosts and cross-site requests.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check(&app.origin, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, message)) => (
            status,
            [(CONTENT_TYPE, "text/plain; charset=utf-8")],
            format!("{message}\n"),
        )
            .into_response(),
    }
}

fn check(
    origin: &PublicOrigin,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, &'static str)> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    if hosts.next().is_some() || !host.is_some_and(|host| origin.is_host(host)) {
        let message = "This console is not served under that name.";
        return Err((StatusCode::MISDIRECTED_REQUEST, message));
    }
    let site = text(&HeaderName::from_static("sec-fetch-site"));
    let cross = (
        StatusCode::FORBIDDEN,
        "Refused: the request came from another site.",
    );
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    if site.is_some_and(|site| site != "same-origin") {
        return Err(cross);
    }
    // A browser that sends no referrer sends `null` as a form's origin. It must then send
    // `Sec-Fetch-Site`, which no page can set.
    match text(&ORIGIN) {
        Some(sent) if sent == origin.as_str() => Ok(()),
        Some("null") | None if site.is_some() => Ok(()),
        Some(_) | None => Err(cross),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &Method, headers: &[(&'static str, &'static str)]) -> u16 {
        let own =
            PublicOrigin::loopback("127.0.0.1:8200".parse().expect("address")).expect("origin");
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        check(&own, method, &map).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:8200");

    #[test]
    fn foreign_hosts_are_misdirected() {
        for method in [Method::GET, Method::POST] {
            assert_eq!(status(&method, &[("host", "evil.example:8200")]), 421);
            assert_eq!(status(&method, &[]), 421);
            assert_eq!(status(&method, &[HOST, HOST]), 421);
        }
        assert_eq!(status(&Method::GET, &[HOST]), 200);
    }

    #[test]
    fn only_the_console_itself_posts() {
        let origin = |origin| ("origin", origin);
        let site = |site| ("sec-fetch-site", site);
        let own = origin("http://127.0.0.1:8200");
        for (headers, wanted) in [
            (vec![HOST, own], 200),
            (vec![HOST, own, site("same-origin")], 200),
            (vec![HOST, origin("null"), site("same-origin")], 200),
            (vec![HOST, site("same-origin")], 200),
            (vec![HOST], 403),
            (vec![HOST, origin("null")], 403),
            (vec![HOST, origin("null"), site("cross-site")], 403),
            (vec![HOST, site("none")], 403),
            (vec![HOST, own, site("same-site")], 403),
            (vec![HOST, origin("http://evil.example")], 403),
            (
                vec![HOST, origin("http://127.0.0.1:8201"), site("same-origin")],
                403,
            ),
        ] {
            for method in [Method::POST, Method::DELETE, Method::PUT] {
                assert_eq!(status(&method, &headers), wanted, "{headers:?}");
            }
        }
    }
}
