//! The bodies of requests and responses, with word of them to the connection's seat.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use crate::seat::Seat;

/// A request's body, which has to be there in time.
pub(crate) struct RequestBody {
    incoming: Incoming,
    end: Pin<Box<Sleep>>,
    /// Set when it was not.
    late: Arc<AtomicBool>,
    seat: Arc<Seat>,
}

impl RequestBody {
    pub(crate) fn new(
        incoming: Incoming,
        within: Duration,
        late: Arc<AtomicBool>,
        seat: Arc<Seat>,
    ) -> Self {
        Self {
            incoming,
            end: Box::pin(tokio::time::sleep(within)),
            late,
            seat,
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Before the bytes: many small ones are late as well.
        if self.end.as_mut().poll(context).is_ready() {
            self.seat.has_body();
            self.late.store(true, Ordering::Relaxed);
            let why = io::Error::new(io::ErrorKind::TimedOut, "the body took too long");
            return Poll::Ready(Some(Err(axum::Error::new(why))));
        }
        let frame = Pin::new(&mut self.incoming).poll_frame(context);
        match &frame {
            Poll::Pending => self.seat.waits_for_body(),
            Poll::Ready(_) => self.seat.has_body(),
        }
        frame.map_err(axum::Error::new)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // Nobody waits for it any more.
        self.seat.has_body();
    }
}

/// A response's body; when it is dropped the response is made, whole or not.
pub(crate) struct ResponseBody {
    pub(crate) body: Body,
    pub(crate) seat: Arc<Seat>,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.seat.answered(Instant::now());
    }
}
