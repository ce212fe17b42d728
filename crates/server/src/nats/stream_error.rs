//! Errors of the streams.

use std::fmt;
use std::time::Duration;

use super::ledger_stream::{LedgerStream, REPLICAS};

/// Timeout of a request to the JetStream API. In a healthy cluster an answer takes milliseconds.
pub(super) const API_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("{0} replicas are not possible: choose one of {REPLICAS:?}")]
    Replicas(usize),
    #[error(
        "no answer about stream {stream} within {} s: JetStream is not ready, or this NATS user lacks \
         the permission to ask (nats-server does not answer a refused request): {reason}",
        API_TIMEOUT.as_secs()
    )]
    NoAnswer {
        stream: LedgerStream,
        reason: String,
    },
    #[error(
        "this user's NATS account cannot reach JetStream: connect as a user of account LEDGER, or \
         of SERVICE with all its imports (docs/operations.md)"
    )]
    NoJetStream,
    #[error(
        "the log ends at message {last}, but the recovery plan ends at {known}: another replica \
         writes to it. Stop every other replica"
    )]
    MovedOn { known: u64, last: u64 },
    #[error("JetStream refused a request about stream {stream}: {reason}")]
    Refused {
        stream: LedgerStream,
        reason: String,
    },
    #[error("{}; {}", list(.0), advice(.0))]
    Unfit(Vec<Problem>),
    #[error(
        "stream {missing} is missing while {present} holds messages: this is damage, not a new \
         ledger. See `keyroll recover`"
    )]
    Incomplete {
        missing: LedgerStream,
        present: LedgerStream,
    },
    #[error(
        "cannot create stream {stream}: {reason}. Use the operator's credentials, and check \
         nats-server's log for a refused request"
    )]
    Create {
        stream: LedgerStream,
        reason: String,
    },
}

impl StreamError {
    /// The error for missing streams.
    pub fn missing(streams: &[LedgerStream]) -> Self {
        Self::Unfit(streams.iter().copied().map(Problem::Missing).collect())
    }

    /// Whether missing streams are the only problem.
    pub fn only_missing(&self) -> bool {
        matches!(self, Self::Unfit(problems) if all_missing(problems))
    }

    /// Whether the stream of tokens is missing and nothing else is wrong: an earlier program made the ledger.
    pub fn only_tokens_missing(&self) -> bool {
        matches!(self, Self::Unfit(problems) if tokens_missing(problems))
    }
}

fn all_missing(problems: &[Problem]) -> bool {
    problems
        .iter()
        .all(|problem| matches!(problem, Problem::Missing(_)))
}

fn tokens_missing(problems: &[Problem]) -> bool {
    problems == [Problem::Missing(LedgerStream::Tokens)]
}

fn advice(problems: &[Problem]) -> &'static str {
    if tokens_missing(problems) {
        "if an earlier version of keyroll made this ledger, add it: run `keyroll init --operator-creds FILE` in the \
         home directory of the service"
    } else if all_missing(problems) {
        "restore it from its backup, or see `keyroll recover`; for a new ledger run `keyroll init`"
    } else {
        "keyroll does not change existing streams: correct them with an operator's \
         credentials, or use another NATS account"
    }
}

/// A problem of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    Missing(LedgerStream),
    Differs {
        stream: LedgerStream,
        /// As in the JSON of the JetStream API, for instance `max_age`.
        setting: String,
        want: String,
        have: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(stream) => write!(f, "stream {stream} is missing"),
            Self::Differs {
                stream,
                setting,
                want,
                have,
            } => write!(f, "stream {stream} has {setting} {have} instead of {want}"),
        }
    }
}

fn list(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("; ")
}
