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

use crate::body::{RequestBody, ResponseBody};
use crate::gate::Held;
use crate::limits::Times;
use crate::seat::Seat;
use crate::server::told;
use crate::stream::Stream;

/// The longest head of a request, and the most that is read ahead of a body.
const BUFFER_BYTES: usize = 32 * 1_024;

/// What every answer of a listener says in its head.
pub type Headers = fn(&mut HeaderMap);

/// What the connections of a listener share.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) router: TowerToHyperService<Router>,
    pub(crate) headers: Headers,
    pub(crate) times: Times,
}

/// Serves a connection until it ends, has to leave, or the listener stops and its request is answered.
pub(crate) async fn serve(
    tcp: TcpStream,
    held: Held,
    pages: Pages,
    mut stopped: watch::Receiver<bool>,
) {
    let seat = Arc::clone(&held.seat);
    let service = service_fn(|request| {
        let (pages, seat) = (pages.clone(), Arc::clone(&seat));
        async move { Ok::<_, Infallible>(answer(request, pages, seat).await) }
    });
    let stream = Stream {
        tcp,
        seat: Arc::clone(&seat),
    };
    let mut http = http1::Builder::new();
    // Heads have their time from the sweep, as all waits do.
    http.header_read_timeout(None)
        .max_header_size(BUFFER_BYTES)
        .max_buf_size(BUFFER_BYTES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(client = %seat.client, %error, "a connection broke off");
                }
                return;
            }
            () = seat.left() => return,
            () = told(&mut stopped), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(request: Request<Incoming>, pages: Pages, seat: Arc<Seat>) -> Response<Body> {
    if !seat.begins(Instant::now()) {
        // The connection closes; what would begin now would be cut off in the middle.
        return pending().await;
    }
    let Times { body, work, .. } = pages.times;
    let within = if request.body().is_end_stream() {
        work
    } else {
        body + work
    };
    let late = Arc::new(AtomicBool::new(false));
    let request = request.map(|incoming| {
        let (late, seat) = (Arc::clone(&late), Arc::clone(&seat));
        Body::new(RequestBody::new(incoming, body, late, seat))
    });
    let answered = tokio::time::timeout(within, pages.router.call(request)).await;
    let mut response = match answered {
        Ok(Ok(_)) if late.load(Ordering::Relaxed) => {
            let words =
                "The request took too long to arrive. Send it again, faster or in smaller parts.\n";
            plain(StatusCode::REQUEST_TIMEOUT, words)
        }
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => plain(
            StatusCode::GATEWAY_TIMEOUT,
            "The answer takes too long. Try again.\n",
        ),
    };
    (pages.headers)(response.headers_mut());
    response.map(|body| Body::new(ResponseBody { body, seat }))
}

fn plain(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(words));
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
