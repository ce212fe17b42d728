//! Checks of the three streams. An operator creates them once; every start checks them.

use std::time::Duration;

use async_nats::Client;
use async_nats::client::RequestErrorKind;
use serde_json::{Map, Value};

use super::ledger_stream::LedgerStream;
use super::stream_error::{API_TIMEOUT, Problem, StreamError};

/// JetStream's code for "stream not found".
const STREAM_NOT_FOUND: u64 = 10059;
/// Settings in which correct streams may differ: text for people, placement, the server's additions, the
/// window of a deduplication that keyroll does not use, and replicas, which may be raised later.
const FREE_SETTINGS: [&str; 5] = [
    "description",
    "placement",
    "metadata",
    "duplicate_window",
    "num_replicas",
];

/// The state of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState {
    pub stream: LedgerStream,
    pub messages: u64,
    pub last_sequence: u64,
    pub replicas: u64,
}

/// Checks that all streams exist with the right settings.
///
/// # Errors
///
/// [`StreamError::Unfit`] names everything that differs.
pub async fn check_streams(service: &Client) -> Result<Vec<StreamState>, StreamError> {
    let (found, problems) = inspect(service).await?;
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(StreamError::Unfit(problems))
    }
}

pub(super) async fn inspect(
    client: &Client,
) -> Result<(Vec<StreamState>, Vec<Problem>), StreamError> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for stream in LedgerStream::ALL {
        match info(client, stream, API_TIMEOUT).await? {
            Some(info) => {
                problems.extend(differences(stream, &info["config"]));
                found.push(StreamState {
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

/// STREAM.INFO as JSON, so that settings that this program does not know are seen, too.
pub(super) async fn info(
    client: &Client,
    stream: LedgerStream,
    limit: Duration,
) -> Result<Option<Value>, StreamError> {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let request = client.request(subject, "".into());
    let reason = match tokio::time::timeout(limit, request).await {
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
        .map_err(|error| refused(format!("its answer is not JSON ({error})")))?;
    match &answer["error"] {
        Value::Null if answer["config"].is_object() => Ok(Some(answer)),
        Value::Null => Err(refused("its answer has no configuration".to_owned())),
        error if error["err_code"].as_u64() == Some(STREAM_NOT_FOUND) => Ok(None),
        error => Err(refused(error["description"].to_string())),
    }
}

/// Every setting that differs from [`LedgerStream::config`], unknown ones included.
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

/// A setting, or `None` for the default, which the API writes in several ways.
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
