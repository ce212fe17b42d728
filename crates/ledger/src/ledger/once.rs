//! Long requests, which a client sends again when a connection breaks under it: the same bytes
//! join what is in work, and are given its answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyroll_core::{Code, Digest, Rejection, cose};
use keyroll_wire::query::{Query, Question};
use tokio::sync::watch;

use super::{Ledger, Response};

/// How long an answer is kept for who did not hear it. Longer than a client waits before it asks again.
const KEEP: Duration = Duration::from_secs(60);
/// Long requests at a time, with those whose answer is kept.
const MOST: usize = 64;

/// When a request was answered, and how.
type Answered = Option<(Instant, Response)>;

/// The long requests in work, and those answered a moment ago.
#[derive(Default)]
pub(super) struct InWork(Mutex<BTreeMap<Digest, watch::Receiver<Answered>>>);

/// What to do with a request.
enum Turn {
    /// It is new.
    First(watch::Sender<Answered>),
    /// It is in work, or done.
    Join(watch::Receiver<Answered>),
    /// Too many are.
    Full,
}

impl InWork {
    fn turn(&self, request: Digest) -> Turn {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.retain(|_, answered| match answered.borrow().as_ref() {
            Some((when, _)) => when.elapsed() < KEEP,
            // Whoever worked on it is gone without an answer.
            None => answered.has_changed().is_ok(),
        });
        if let Some(answered) = requests.get(&request) {
            return Turn::Join(answered.clone());
        }
        if requests.len() >= MOST {
            return Turn::Full;
        }
        let (answer, answered) = watch::channel(None);
        requests.insert(request, answered);
        Turn::First(answer)
    }
}

impl Ledger {
    /// Whether a query of the ledger is one that takes its time. Only operators may ask those.
    pub(super) fn is_long(&self, query: &[u8]) -> bool {
        let Ok(opened) = cose::open::<Query>(query) else {
            return false;
        };
        let long = matches!(
            opened.payload.ask,
            Question::ProjectionDigest(_)
                | Question::ProjectionRebuild(_)
                | Question::AuditStorage(_)
                | Question::RecoverPlan(_)
                | Question::RecoverBegin(_)
                | Question::RecoverFinish(_)
        );
        long && self.shared.operators.contains(&opened.signer) && opened.verify().is_ok()
    }

    /// Answers a long query: once, however often it comes.
    pub(super) async fn once(&self, query: &[u8]) -> Response {
        match self.in_work.turn(Digest::of(query)) {
            Turn::First(answer) => {
                let response = self.answer_signed(None, query).await;
                answer.send_replace(Some((Instant::now(), response.clone())));
                response
            }
            Turn::Join(mut answered) => {
                let answered = answered.wait_for(Option::is_some).await;
                let answered = answered.ok().and_then(|answered| answered.clone());
                answered.map_or_else(
                    || self.refuse_query(query, failed()),
                    |(_, response)| response,
                )
            }
            Turn::Full => {
                let words = "too many long requests are in work: try again in a minute";
                self.refuse_query(query, Rejection::new(Code::Busy, words))
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
            room: None,
        }
    }

    #[test]
    fn the_same_request_joins_and_another_does_not() {
        let in_work = InWork::default();
        let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
        let Turn::First(answer) = in_work.turn(one) else {
            panic!("it is new");
        };
        assert!(matches!(in_work.turn(one), Turn::Join(_)));
        assert!(matches!(in_work.turn(other), Turn::First(_)));
        answer.send_replace(Some((Instant::now(), response())));
        drop(answer);
        let Turn::Join(answered) = in_work.turn(one) else {
            panic!("its answer is kept");
        };
        assert!(answered.borrow().is_some());
    }

    #[test]
    fn what_ended_without_an_answer_is_begun_anew() {
        let in_work = InWork::default();
        let request = Digest::of(b"1");
        drop(in_work.turn(request));
        assert!(matches!(in_work.turn(request), Turn::First(_)));
    }

    #[test]
    fn there_is_a_bound() {
        let in_work = InWork::default();
        let turns: Vec<Turn> = (0..MOST)
            .map(|number| in_work.turn(Digest::of(&number.to_be_bytes())))
            .collect();
        assert!(matches!(in_work.turn(Digest::of(b"one more")), Turn::Full));
        drop(turns);
        assert!(matches!(
            in_work.turn(Digest::of(b"one more")),
            Turn::First(_)
        ));
    }
}
