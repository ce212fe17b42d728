//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::body::{request_body, response_body};
use crate::connection_state::ConnectionState;
use crate::gate::Slot;
use crate::limits::Timeouts;
use crate::stop::stopped;
use crate::stream::Stream;

/// The longest head of a request, and the most that is read ahead of a body.
const BUFFER_BYTES: usize = 32 * 1_024;

/// Sets the headers of every response of a listener.
pub type SetHeaders = fn(&mut HeaderMap);

/// Handles the requests of a listener's connections.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) router: TowerToHyperService<Router>,
    pub(crate) set_headers: SetHeaders,
    pub(crate) timeouts: Timeouts,
}

/// Serves a connection until it ends, must close, or the listener stops and its request is answered.
pub(crate) async fn serve(
    tcp: TcpStream,
    slot: Slot,
    handler: Handler,
    mut stop: watch::Receiver<bool>,
) {
    let state = Arc::clone(&slot.state);
    let service = service_fn(|request| {
        let (handler, state) = (handler.clone(), Arc::clone(&state));
        async move { Ok::<_, Infallible>(answer(request, handler, state).await) }
    });
    let stream = Stream {
        tcp,
        state: Arc::clone(&state),
    };
    let mut http = http1::Builder::new();
    // The sweep enforces the timeout of heads, as of all waits.
    http.header_read_timeout(None)
        .max_header_size(BUFFER_BYTES)
        .max_buf_size(BUFFER_BYTES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(client = %state.client, %error, "a connection failed");
                }
                return;
            }
            () = state.closed() => return,
            () = stopped(&mut stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    handler: Handler,
    state: Arc<ConnectionState>,
) -> Response<Body> {
    if !state.begin_request(Instant::now()) {
        // The connection closes; a request that began now would be cut off.
        return pending().await;
    }
    let Timeouts { body, work, .. } = handler.timeouts;
    let within = if request.body().is_end_stream() {
        work
    } else {
        body + work
    };
    let timed_out = Arc::new(AtomicBool::new(false));
    let request = request
        .map(|incoming| request_body(incoming, body, Arc::clone(&timed_out), Arc::clone(&state)));
    let answered = tokio::time::timeout(within, handler.router.call(request)).await;
    let mut response = match answered {
        Ok(Ok(_)) if timed_out.load(Ordering::Relaxed) => {
            let message =
                "The request took too long to arrive. Send it again, faster or in smaller parts.\n";
            plain(StatusCode::REQUEST_TIMEOUT, message)
        }
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => plain(
            StatusCode::GATEWAY_TIMEOUT,
            "The answer took too long. Try again.\n",
        ),
    };
    (handler.set_headers)(response.headers_mut());
    response.map(|body| response_body(body, state))
}

fn plain(status: StatusCode, message: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(message));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONNECTION, "close"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
