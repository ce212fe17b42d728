//! Long requests. A client sends one again when its connection breaks: the same bytes join the
//! request that is running and get its answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyroll_core::{Code, Digest, Rejection};
use tokio::sync::watch;

use crate::response::Response;

/// How long an answer is kept for a caller who missed it: longer than a client waits before it
/// retries.
const KEEP: Duration = Duration::from_secs(60);
/// Long requests at a time, including those whose answer is kept.
const MOST: usize = 64;

/// When a request was answered, and how.
type Answered = Option<(Instant, Response)>;

/// The long requests that are running, and those that were just answered.
#[derive(Default)]
pub(crate) struct LongRequests(Mutex<BTreeMap<Digest, watch::Receiver<Answered>>>);

/// How a request is admitted.
enum Admission {
    /// It is new.
    First(watch::Sender<Answered>),
    /// The same request is running, or was just answered.
    Join(watch::Receiver<Answered>),
    /// Too many requests are running.
    Full,
}

impl LongRequests {
    fn admit(&self, request: Digest) -> Admission {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.retain(|_, answered| match answered.borrow().as_ref() {
            Some((when, _)) => when.elapsed() < KEEP,
            // Its task ended without an answer.
            None => answered.has_changed().is_ok(),
        });
        if let Some(answered) = requests.get(&request) {
            return Admission::Join(answered.clone());
        }
        if requests.len() >= MOST {
            return Admission::Full;
        }
        let (answer, answered) = watch::channel(None);
        requests.insert(request, answered);
        Admission::First(answer)
    }
}

impl LongRequests {
    /// Answers a request once, however often it comes: `answer` runs for the first only.
    pub(crate) async fn join(
        &self,
        request: Digest,
        answer: impl Future<Output = Response>,
    ) -> Result<Response, Rejection> {
        match self.admit(request) {
            Admission::First(sender) => {
                let response = answer.await;
                sender.send_replace(Some((Instant::now(), response.clone())));
                Ok(response)
            }
            Admission::Join(mut answered) => {
                let answered = answered.wait_for(Option::is_some).await;
                let answered = answered.ok().and_then(|answered| answered.clone());
                let (_, response) = answered.ok_or_else(failed)?;
                Ok(response)
            }
            Admission::Full => {
                let message = "too many long requests are running: try again in a minute";
                Err(Rejection::new(Code::Busy, message))
            }
        }
    }
}

fn failed() -> Rejection {
    Rejection::new(Code::Internal, "the request ended without an answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response() -> Response {
        Response {
            bytes: vec![1],
            refusal: None,
            permit: None,
        }
    }

    #[test]
    fn the_same_request_joins_and_another_does_not() {
        let requests = LongRequests::default();
        let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
        let Admission::First(answer) = requests.admit(one) else {
            panic!("it is new");
        };
        assert!(matches!(requests.admit(one), Admission::Join(_)));
        assert!(matches!(requests.admit(other), Admission::First(_)));
        answer.send_replace(Some((Instant::now(), response())));
        drop(answer);
        let Admission::Join(answered) = requests.admit(one) else {
            panic!("its answer is kept");
        };
        assert!(answered.borrow().is_some());
    }

    #[test]
    fn what_ended_without_an_answer_is_begun_anew() {
        let requests = LongRequests::default();
        let request = Digest::of(b"1");
        drop(requests.admit(request));
        assert!(matches!(requests.admit(request), Admission::First(_)));
    }

    #[test]
    fn there_is_a_bound() {
        let requests = LongRequests::default();
        let admitted: Vec<Admission> = (0..MOST)
            .map(|number| requests.admit(Digest::of(&number.to_be_bytes())))
            .collect();
        assert!(matches!(
            requests.admit(Digest::of(b"one more")),
            Admission::Full
        ));
        drop(admitted);
        assert!(matches!(
            requests.admit(Digest::of(b"one more")),
            Admission::First(_)
        ));
    }
}
