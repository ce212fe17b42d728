//! The three streams: made once by an operator, checked at every start, changed by nobody.

use std::fmt;
use std::time::Duration;

use async_nats::Client;
use async_nats::client::RequestErrorKind;
use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use futures::StreamExt as _;
use serde_json::{Map, Value};

/// Largest message of the log, headers included: a commit of at most 512 KiB fits twice.
pub const LOG_MESSAGE_MAX: i32 = 1024 * 1024;
/// Replicas that JetStream can agree among; an even number tolerates no more failures.
pub const REPLICAS: [usize; 3] = [1, 3, 5];

/// One answer of the JetStream API; in a healthy cluster it takes milliseconds.
const API_TIMEOUT: Duration = Duration::from_secs(5);
/// JetStream's code for "stream not found".
const STREAM_NOT_FOUND: u64 = 10059;
/// Settings in which two right streams may differ: words for people, placement, what the server adds,
/// the window of a deduplication that keyroll does not use, and replicas, which may be raised later.
const FREE_SETTINGS: [&str; 5] = [
    "description",
    "placement",
    "metadata",
    "duplicate_window",
    "num_replicas",
];

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("{0} replicas cannot be: take one of {REPLICAS:?}")]
    Replicas(usize),
    #[error(
        "no answer about stream {stream} within {} s: JetStream is not ready, or this NATS user lacks \
         the permission to ask (nats-server answers a refused request with silence): {reason}",
        API_TIMEOUT.as_secs()
    )]
    NoAnswer {
        stream: LedgerStream,
        reason: String,
    },
    #[error(
        "the NATS account of this user does not reach JetStream: connect as a user of account LEDGER, or \
         of SERVICE with all its imports (docs/operations.md)"
    )]
    NoJetStream,
    #[error(
        "the log ends at message {last}, the plan knows {known}: somebody else writes to it; stop \
         every other replica"
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
        "stream {missing} is missing while {present} holds messages: that is damage, not a new \
         ledger; see `keyroll recover`"
    )]
    Incomplete {
        missing: LedgerStream,
        present: LedgerStream,
    },
    #[error(
        "stream {stream} could not be made: {reason}; use the operator's credentials, and look into \
         the log of nats-server for a refused request"
    )]
    Create {
        stream: LedgerStream,
        reason: String,
    },
}

impl StreamError {
    /// That streams are missing.
    pub fn missing(streams: &[LedgerStream]) -> Self {
        Self::Unfit(streams.iter().copied().map(Problem::Missing).collect())
    }

    /// Whether nothing is wrong but streams that are not there.
    pub fn only_missing(&self) -> bool {
        matches!(self, Self::Unfit(problems) if all_missing(problems))
    }
}

fn all_missing(problems: &[Problem]) -> bool {
    problems
        .iter()
        .all(|problem| matches!(problem, Problem::Missing(_)))
}

fn advice(problems: &[Problem]) -> &'static str {
    if all_missing(problems) {
        "put it back from its backup, or see `keyroll recover`; for a new ledger `keyroll init`"
    } else {
        "keyroll does not touch streams that it did not make: correct them with an operator's \
         credentials, or name another NATS account"
    }
}

/// What is wrong with a stream.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LedgerStream {
    /// Commits, one subject per workspace. Nothing is ever deleted.
    Log,
    /// Sealed values, one subject and message per place.
    Vault,
    /// Wrapped workspace keys and sealing keys, one subject and message per key.
    Keys,
}

/// What a stream is found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub stream: LedgerStream,
    pub messages: u64,
    pub last_sequence: u64,
    pub replicas: u64,
}

impl LedgerStream {
    pub const ALL: [Self; 3] = [Self::Log, Self::Vault, Self::Keys];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "KEYROLL_LOG",
            Self::Vault => "KEYROLL_VAULT",
            Self::Keys => "KEYROLL_KEYS",
        }
    }

    pub const fn subjects(self) -> &'static str {
        match self {
            Self::Log => "keyroll.log.*",
            // <workspace>.<place>.<epoch>
            Self::Vault => "keyroll.vault.*.*.*",
            // <workspace>.<epoch>, _sealing.<period>
            Self::Keys => "keyroll.keys.*.*",
        }
    }

    /// Whether single messages may be erased.
    pub const fn may_erase(self) -> bool {
        !matches!(self, Self::Log)
    }

    /// The settings this stream is made with.
    pub fn config(self, replicas: usize) -> Config {
        let common = Config {
            name: self.name().to_owned(),
            subjects: vec![self.subjects().to_owned()],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            max_messages: -1,
            max_bytes: -1,
            max_messages_per_subject: -1,
            max_message_size: -1,
            max_consumers: -1,
            num_replicas: replicas,
            allow_rollup: false,
            // docs/adr/0002-no-direct-get.md
            allow_direct: false,
            ..Config::default()
        };
        if self.may_erase() {
            Config {
                // A second message on a subject is refused by the server, whatever a writer forgot:
                // a replaced message's bytes would stay on disk.
                max_messages_per_subject: 1,
                discard_new_per_subject: true,
                ..common
            }
        } else {
            Config {
                deny_delete: true,
                deny_purge: true,
                max_message_size: LOG_MESSAGE_MAX,
                ..common
            }
        }
    }
}

impl fmt::Display for LedgerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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

/// Makes the streams that are missing; returns them. Streams that are there must have the right
/// settings, and be empty where another is missing (a creation that was cut short).
///
/// # Errors
///
/// When a stream exists with other settings, or some hold messages and others are missing; nothing has
/// been made then.
pub async fn create_streams(
    operator: &Client,
    replicas: usize,
) -> Result<Vec<LedgerStream>, StreamError> {
    if !REPLICAS.contains(&replicas) {
        return Err(StreamError::Replicas(replicas));
    }
    let (found, problems) = look(operator).await?;
    let (missing, differing): (Vec<_>, Vec<_>) = problems
        .into_iter()
        .partition(|problem| matches!(problem, Problem::Missing(_)));
    if !differing.is_empty() {
        return Err(StreamError::Unfit(differing));
    }
    let missing: Vec<LedgerStream> = missing
        .into_iter()
        .filter_map(|problem| match problem {
            Problem::Missing(stream) => Some(stream),
            Problem::Differs { .. } => None,
        })
        .collect();
    let used = found.iter().find(|found| found.last_sequence > 0);
    if let (Some(&missing), Some(used)) = (missing.first(), used) {
        return Err(StreamError::Incomplete {
            missing,
            present: used.stream,
        });
    }
    for &stream in &missing {
        create_stream(operator, stream, replicas).await?;
    }
    Ok(missing)
}

/// Makes one stream, for a new ledger or a recovery.
///
/// # Errors
///
/// When JetStream refuses or does not answer; a stream of this name with other settings is refused.
pub async fn create_stream(
    operator: &Client,
    stream: LedgerStream,
    replicas: usize,
) -> Result<(), StreamError> {
    let mut context = jetstream::new(operator.clone());
    context.set_timeout(API_TIMEOUT);
    context
        .create_stream(stream.config(replicas))
        .await
        .map(drop)
        .map_err(|error| StreamError::Create {
            stream,
            reason: error.to_string(),
        })
}

/// Whether this user can ask about the streams at all: who cannot cannot make them anew either, and
/// finds out before anything is stopped.
///
/// # Errors
///
/// When JetStream refuses or does not answer.
pub async fn may_remake(operator: &Client) -> Result<(), StreamError> {
    let mut context = jetstream::new(operator.clone());
    context.set_timeout(API_TIMEOUT);
    look(operator).await?;
    // A right that only the operator has.
    let names = context.stream_names();
    let first = tokio::time::timeout(API_TIMEOUT, std::pin::pin!(names).next()).await;
    match first {
        Ok(None | Some(Ok(_))) => Ok(()),
        Ok(Some(Err(error))) => Err(StreamError::Refused {
            stream: LedgerStream::Log,
            reason: error.to_string(),
        }),
        Err(_elapsed) => Err(StreamError::NoAnswer {
            stream: LedgerStream::Log,
            reason: "its name was asked for".to_owned(),
        }),
    }
}

/// Makes the streams that are missing, and gives how many messages each then holds. A stream whose
/// `meta.inf` was lost is missing to nats-server, and comes back with all that it held.
///
/// # Errors
///
/// When JetStream refuses or does not answer.
pub async fn make_missing(operator: &Client) -> Result<Vec<(LedgerStream, u64)>, StreamError> {
    let (found, _) = look(operator).await?;
    let replicas = replicas_of(&found);
    let is_there = |stream| found.iter().any(|found: &Found| found.stream == stream);
    let mut made = Vec::new();
    for stream in LedgerStream::ALL {
        if is_there(stream) {
            continue;
        }
        create_stream(operator, stream, replicas).await?;
        let info = info(operator, stream, API_TIMEOUT).await?;
        let messages = info.and_then(|info| info["state"]["messages"].as_u64());
        made.push((stream, messages.unwrap_or_default()));
    }
    Ok(made)
}

/// As many as the streams have that are there.
fn replicas_of(found: &[Found]) -> usize {
    let replicas = found.iter().map(|found| found.replicas).max().unwrap_or(1);
    usize::try_from(replicas).unwrap_or(1).max(1)
}

/// Makes the log anew, empty, with as many replicas as the streams have, and whatever other stream
/// is missing. What the log held is gone: `messages` is how much of it is known to be kept, and
/// more than that is not deleted.
///
/// # Errors
///
/// When the log has moved on, or JetStream refuses or does not answer.
pub async fn remake_log(operator: &Client, messages: u64) -> Result<(), StreamError> {
    let (found, _) = look(operator).await?;
    let replicas = replicas_of(&found);
    let log = found.iter().find(|found| found.stream == LedgerStream::Log);
    if let Some(log) = log {
        if log.last_sequence != messages {
            return Err(StreamError::MovedOn {
                known: messages,
                last: log.last_sequence,
            });
        }
        let mut context = jetstream::new(operator.clone());
        context.set_timeout(API_TIMEOUT);
        let stream = LedgerStream::Log;
        let deleted = context.delete_stream(stream.name()).await;
        deleted.map_err(|error| StreamError::Refused {
            stream,
            reason: error.to_string(),
        })?;
    }
    for stream in LedgerStream::ALL {
        let there = found.iter().any(|found| found.stream == stream);
        if !there || stream == LedgerStream::Log {
            create_stream(operator, stream, replicas).await?;
        }
    }
    Ok(())
}

/// Checks that all streams are there with the right settings.
///
/// # Errors
///
/// [`StreamError::Unfit`] names everything that differs.
pub async fn check_streams(service: &Client) -> Result<Vec<Found>, StreamError> {
    let (found, problems) = look(service).await?;
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(StreamError::Unfit(problems))
    }
}

async fn look(client: &Client) -> Result<(Vec<Found>, Vec<Problem>), StreamError> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for stream in LedgerStream::ALL {
        match info(client, stream, API_TIMEOUT).await? {
            Some(info) => {
                problems.extend(differences(stream, &info["config"]));
                found.push(Found {
                    stream,
                    messages: info["state"]["messages"].as_u64().unwrap_or_default(),
                    last_sequence: info["state"]["last_seq"].as_u64().unwrap_or_default(),
                    replicas: info["config"]["num_replicas"].as_u64().unwrap_or_default(),
                });
            }
            None => problems.push(Problem::Missing(stream)),
        }
    }
    Ok((found, problems))
}

/// STREAM.INFO as JSON, so that settings this program has never heard of are seen too.
pub(super) async fn info(
    client: &Client,
    stream: LedgerStream,
    patience: Duration,
) -> Result<Option<Value>, StreamError> {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let request = client.request(subject, "".into());
    let reason = match tokio::time::timeout(patience, request).await {
        Ok(Ok(message)) => return read_info(stream, &message.payload),
        Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
            return Err(StreamError::NoJetStream);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "timed out".to_owned(),
    };
    Err(StreamError::NoAnswer { stream, reason })
}

fn read_info(stream: LedgerStream, payload: &[u8]) -> Result<Option<Value>, StreamError> {
    let refused = |reason: String| StreamError::Refused { stream, reason };
    let answer: Value = serde_json::from_slice(payload)
        .map_err(|error| refused(format!("its answer is no JSON ({error})")))?;
    match &answer["error"] {
        Value::Null if answer["config"].is_object() => Ok(Some(answer)),
        Value::Null => Err(refused("its answer has no configuration".to_owned())),
        error if error["err_code"].as_u64() == Some(STREAM_NOT_FOUND) => Ok(None),
        error => Err(refused(error["description"].to_string())),
    }
}

/// Every setting that is not as [`LedgerStream::config`] has it, unknown ones included.
fn differences(stream: LedgerStream, have: &Value) -> Vec<Problem> {
    let want = serde_json::to_value(stream.config(1)).unwrap_or_default();
    let nothing = Map::new();
    let want = want.as_object().unwrap_or(&nothing);
    let have = have.as_object().unwrap_or(&nothing);
    let mut settings: Vec<&String> = want.keys().chain(have.keys()).collect();
    settings.sort_unstable();
    settings.dedup();
    settings
        .into_iter()
        .filter(|setting| !FREE_SETTINGS.contains(&setting.as_str()))
        .filter_map(|setting| {
            let [want, have] = [want, have].map(|config| effective(config.get(setting)));
            (want != have).then(|| Problem::Differs {
                stream,
                setting: setting.clone(),
                want: show(want),
                have: show(have),
            })
        })
        .collect()
}

/// A setting, or `None` where it is left at the default, which the API writes in several ways.
fn effective(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        // No limit is 0 or -1.
        Value::Number(number) => !matches!(number.as_i64(), Some(0 | -1)),
        Value::String(text) => !matches!(text.as_str(), "" | "none" | "default"),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    })
}

fn show(value: Option<&Value>) -> String {
    value.map_or_else(|| "unset".to_owned(), Value::to_string)
}

fn list(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("; ")
}
