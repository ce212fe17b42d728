//! One request, to addresses that were checked.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::address::{Cidr, check_addresses};
use crate::error::{Code, ResolveError};
use crate::prepare::Prepared;
use crate::response::{Declared, check_size};

/// A complete response.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The body, decompressed and decoded. The service may have echoed a value, so it is wiped too.
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// Whether the service calls the body JSON.
    pub(crate) json: bool,
}

/// What a service answers.
pub(crate) enum Answer {
    Complete(Response),
    /// A redirect with its one target, as the service wrote it. The body is not read.
    Redirect {
        status: u16,
        location: Zeroizing<Vec<u8>>,
    },
}

/// Connections to the checked addresses of one host.
pub(crate) struct Connector(Client);

impl Connector {
    /// Looks a URL's host up, checks every address, and connects to exactly those from then on, so
    /// that nobody can change them between a check and a request. No proxy, no redirect, no second
    /// attempt.
    ///
    /// # Errors
    ///
    /// `address_blocked`, and `http_failed` where the name has no address or no client can be made.
    pub(crate) async fn new(url: &Url, allowed: &[Cidr]) -> Result<Self, ResolveError> {
        let connector = async {
            let addresses = resolve(url, allowed).await?;
            client(url, &addresses).map(Self)
        };
        connector
            .await
            .map_err(|error| error.at_host(url.host_str().unwrap_or_default()))
    }

    /// Sends a request to the host and reads the whole response; `follow` leaves a redirect to the
    /// caller.
    ///
    /// # Errors
    ///
    /// `output_limit`, `http_failed` and, for a redirect with several targets, `redirect_blocked`.
    pub(crate) async fn send(
        &self,
        request: &Prepared,
        follow: bool,
    ) -> Result<Answer, ResolveError> {
        self.exchange(request, follow)
            .await
            .map_err(|error| error.at_host(request.url.host_str().unwrap_or_default()))
    }

    async fn exchange(&self, request: &Prepared, follow: bool) -> Result<Answer, ResolveError> {
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| ResolveError::new(Code::BlockInvalid, "not a method"))?;
        let mut builder = self
            .0
            .request(method, request.url.clone())
            .headers(headers(request)?);
        if let Some(body) = &request.body {
            builder = builder.body(body.to_vec());
        }
        let response = builder.send().await.map_err(failed)?;
        if follow && let Some(location) = location(&response)? {
            let status = response.status().as_u16();
            return Ok(Answer::Redirect { status, location });
        }
        read(response).await.map(Answer::Complete)
    }
}

/// Where a redirect leads. One without a target is a response like any other.
fn location(response: &reqwest::Response) -> Result<Option<Zeroizing<Vec<u8>>>, ResolveError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let mut locations = response.headers().get_all(LOCATION).iter();
    let first = locations.next();
    if locations.next().is_some() {
        return Err(ResolveError::new(
            Code::RedirectBlocked,
            "the redirect has several targets",
        ));
    }
    Ok(first.map(|value| Zeroizing::new(value.as_bytes().to_vec())))
}

/// The checked addresses of a URL's host, with its port.
async fn resolve(url: &Url, allowed: &[Cidr]) -> Result<Vec<SocketAddr>, ResolveError> {
    let failed = |detail: &str| ResolveError::new(Code::HttpFailed, detail);
    let port = url
        .port_or_known_default()
        .ok_or_else(|| failed("the URL has no port"))?;
    let addresses: Vec<SocketAddr> = match url.host() {
        None => return Err(failed("the URL has no host")),
        Some(Host::Ipv4(address)) => vec![(address, port).into()],
        Some(Host::Ipv6(address)) => vec![(address, port).into()],
        Some(Host::Domain(name)) => tokio::net::lookup_host((name, port))
            .await
            .map_err(|error| failed(&format!("the host's name cannot be looked up: {error}")))?
            .collect(),
    };
    if addresses.is_empty() {
        return Err(failed("the host has no address"));
    }
    check_addresses(
        url.host_str().unwrap_or_default(),
        addresses.iter().map(SocketAddr::ip),
        allowed,
    )?;
    Ok(addresses)
}

/// Checks a host that is written as an address; a name has to be looked up first.
pub(crate) fn check_literal(url: &Url, allowed: &[Cidr]) -> Result<(), ResolveError> {
    let address: IpAddr = match url.host() {
        None | Some(Host::Domain(_)) => return Ok(()),
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
    };
    check_addresses(url.host_str().unwrap_or_default(), [address], allowed)
}

fn client(url: &Url, addresses: &[SocketAddr]) -> Result<Client, ResolveError> {
    // Fails only where the process has a provider already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .no_proxy()
        .referer(false)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0);
    if let Some(Host::Domain(name)) = url.host() {
        builder = builder.resolve_to_addrs(name, addresses);
    }
    builder = if url.scheme() == "https" {
        builder.https_only(true)
    } else {
        // Without this a machine that has no root certificates could not even use http.
        builder.tls_certs_only([])
    };
    builder.build().map_err(failed)
}

fn headers(request: &Prepared) -> Result<HeaderMap, ResolveError> {
    let invalid = |_| ResolveError::new(Code::BlockInvalid, "not a header");
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for header in &request.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| ResolveError::new(Code::BlockInvalid, "not a header's name"))?;
        let mut value = HeaderValue::from_bytes(&header.value).map_err(invalid)?;
        value.set_sensitive(header.sensitive);
        headers.insert(name, value);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(headers)
}

async fn read(mut response: reqwest::Response) -> Result<Response, ResolveError> {
    let status = response.status().as_u16();
    let declared = Declared::of(response.headers())?;
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        check_size(body.len() + chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(Response {
        status,
        body: declared.decode(body)?,
        json: declared.json,
    })
}

/// Words a library's error: its innermost cause, which names neither URL nor request.
fn failed(error: reqwest::Error) -> ResolveError {
    let error = error.without_url();
    let what = if error.is_builder() {
        "the HTTP client cannot be set up"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_decode() || error.is_body() {
        "the response cannot be read"
    } else {
        "the request failed"
    };
    let mut innermost = error.source();
    while let Some(deeper) = innermost.and_then(std::error::Error::source) {
        innermost = Some(deeper);
    }
    let detail = innermost.map_or_else(|| what.to_owned(), |cause| format!("{what}: {cause}"));
    ResolveError::new(Code::HttpFailed, detail)
}
