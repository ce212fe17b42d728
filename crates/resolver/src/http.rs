//! Sending one request to checked addresses.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::address::{Cidr, check_addresses};
use crate::error::{Code, ResolveError};
use crate::prepare::PreparedRequest;
use crate::response_body::{RepresentationMetadata, check_size};

/// A response that is no redirect to follow.
pub(crate) struct FinalResponse {
    pub(crate) status: u16,
    /// The body, decompressed and decoded. It may echo a value, so it is wiped too.
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// Whether the service calls the body JSON.
    pub(crate) json: bool,
}

/// A response of a service.
pub(crate) enum Response {
    Final(FinalResponse),
    /// A redirect with its one target, as the service wrote it. The body is not read.
    Redirect {
        status: u16,
        location: Zeroizing<Vec<u8>>,
    },
}

/// An HTTP client that connects to the checked addresses of one host only.
pub(crate) struct PinnedClient(Client);

impl PinnedClient {
    /// Looks a URL's host up and checks each address. The client connects to exactly these addresses, so
    /// that a change of the DNS answer cannot lead past the check. It uses no proxy, follows no redirect and
    /// does not retry.
    ///
    /// # Errors
    ///
    /// `address_blocked`, and `http_failed` where the name has no address or the client cannot be set up.
    pub(crate) async fn new(url: &Url, allowed: &[Cidr]) -> Result<Self, ResolveError> {
        let client = async {
            let addresses = resolve_host(url, allowed).await?;
            client(url, &addresses).map(Self)
        };
        client
            .await
            .map_err(|error| error.at_host(url.host_str().unwrap_or_default()))
    }

    /// Sends a request and reads the whole response. With `follow` it returns a redirect instead.
    ///
    /// # Errors
    ///
    /// `output_limit`, `http_failed` and, for a redirect with several targets, `redirect_blocked`.
    pub(crate) async fn send(
        &self,
        request: &PreparedRequest,
        follow: bool,
    ) -> Result<Response, ResolveError> {
        self.exchange(request, follow)
            .await
            .map_err(|error| error.at_host(request.url.host_str().unwrap_or_default()))
    }

    async fn exchange(
        &self,
        request: &PreparedRequest,
        follow: bool,
    ) -> Result<Response, ResolveError> {
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
            return Ok(Response::Redirect { status, location });
        }
        read(response).await.map(Response::Final)
    }
}

/// The target of a redirect. A redirect without one is a final response.
fn location(response: &reqwest::Response) -> Result<Option<Zeroizing<Vec<u8>>>, ResolveError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let mut locations = response.headers().get_all(LOCATION).iter();
    let first = locations.next();
    if locations.next().is_some() {
        return Err(ResolveError::new(
            Code::RedirectBlocked,
            "the response has several `Location` headers",
        ));
    }
    Ok(first.map(|value| Zeroizing::new(value.as_bytes().to_vec())))
}

/// The checked addresses of a URL's host, with the port.
async fn resolve_host(url: &Url, allowed: &[Cidr]) -> Result<Vec<SocketAddr>, ResolveError> {
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
            .map_err(|error| failed(&format!("cannot look the host's name up: {error}")))?
            .collect(),
    };
    if addresses.is_empty() {
        return Err(failed("the host's name has no address"));
    }
    check_addresses(
        url.host_str().unwrap_or_default(),
        addresses.iter().map(SocketAddr::ip),
        allowed,
    )?;
    Ok(addresses)
}

/// Checks a host that is an address. A name has to be looked up first.
pub(crate) fn check_literal_address(url: &Url, allowed: &[Cidr]) -> Result<(), ResolveError> {
    let address: IpAddr = match url.host() {
        None | Some(Host::Domain(_)) => return Ok(()),
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
    };
    check_addresses(url.host_str().unwrap_or_default(), [address], allowed)
}

fn client(url: &Url, addresses: &[SocketAddr]) -> Result<Client, ResolveError> {
    // It fails only if the process has a provider already; that one serves as well.
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
        // Otherwise a machine without root certificates could not even use http.
        builder.tls_certs_only([])
    };
    builder.build().map_err(failed)
}

fn headers(request: &PreparedRequest) -> Result<HeaderMap, ResolveError> {
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

async fn read(mut response: reqwest::Response) -> Result<FinalResponse, ResolveError> {
    let status = response.status().as_u16();
    let declared = RepresentationMetadata::of(response.headers())?;
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        check_size(body.len() + chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(FinalResponse {
        status,
        body: declared.decode(body)?,
        json: declared.json,
    })
}

/// Words a library's error by its innermost cause, which names neither the URL nor the request.
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
