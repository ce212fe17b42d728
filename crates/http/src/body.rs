//! The bodies of requests and responses. They report their progress to the connection's state.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use crate::connection_state::ConnectionState;

/// Wraps a request's body, which must arrive within `timeout`. Otherwise `timed_out` is set.
pub(crate) fn request_body(
    incoming: Incoming,
    timeout: Duration,
    timed_out: Arc<AtomicBool>,
    state: Arc<ConnectionState>,
) -> Body {
    Body::new(ObservedBody {
        body: incoming,
        observer: RequestObserver {
            deadline: Box::pin(tokio::time::sleep(timeout)),
            timed_out,
            state,
        },
    })
}

/// Wraps a response's body. When it is dropped, the response is made, whether complete or not.
pub(crate) fn response_body(body: Body, state: Arc<ConnectionState>) -> Body {
    Body::new(ObservedBody {
        body,
        observer: ResponseObserver { state },
    })
}

/// A body whose frames are observed.
struct ObservedBody<B, O> {
    body: B,
    observer: O,
}

trait Observer: Unpin {
    /// Called before a frame is polled. An error ends the body.
    fn before(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Called after a frame was polled, with whether it was ready.
    fn after(&mut self, _ready: bool) {}
}

impl<B, O> HttpBody for ObservedBody<B, O>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    O: Observer,
{
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Err(error) = self.observer.before(context) {
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.observer.after(frame.is_ready());
        frame.map_err(axum::Error::new)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct RequestObserver {
    deadline: Pin<Box<Sleep>>,
    timed_out: Arc<AtomicBool>,
    state: Arc<ConnectionState>,
}

impl Observer for RequestObserver {
    fn before(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        // Checked before each frame, so that many small frames are late, too.
        if self.deadline.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        self.state.body_received();
        self.timed_out.store(true, Ordering::Relaxed);
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the body took too long",
        ))
    }

    fn after(&mut self, ready: bool) {
        if ready {
            self.state.body_received();
        } else {
            self.state.waits_for_body();
        }
    }
}

impl Drop for RequestObserver {
    fn drop(&mut self) {
        // The handler reads no more of it.
        self.state.body_received();
    }
}

struct ResponseObserver {
    state: Arc<ConnectionState>,
}

impl Observer for ResponseObserver {}

impl Drop for ResponseObserver {
    fn drop(&mut self) {
        self.state.responded(Instant::now());
    }
}
