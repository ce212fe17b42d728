//! Checks of a nats-server: its version, and that it writes to disk before it acknowledges.

use std::time::Duration;

use async_nats::ServerInfo;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The oldest supported nats-server.
pub const VERSION_FLOOR: (u64, u64) = (2, 12);

/// Timeout of a monitoring page. One takes milliseconds, unless the machine is overloaded.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest monitoring page. `/varz` has some 4 KiB.
const ANSWER_MAX: u64 = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(
        "{0:?} is not a monitoring address: write http://HOST:PORT, as in nats-server's `http` setting"
    )]
    Address(String),
    #[error(
        "cannot read nats-server's monitoring address {url}: {reason}. Set `http` in its \
         configuration and make it reachable from this machine"
    )]
    Unreachable { url: String, reason: String },
    #[error("{url} is not nats-server's monitoring address: {reason}")]
    Answer { url: String, reason: String },
    #[error(
        "nats-server {server} does not write messages to disk before it acknowledges them: set \
         `sync_interval: always` in its `jetstream` block and restart it"
    )]
    NotSynced { server: String },
    #[error(
        "nats-server {server} has no JetStream, or has not started it yet: if this persists, add a \
         `jetstream` block to its configuration"
    )]
    NoJetStream { server: String },
    #[error(
        "nats-server {server} is version {version}; keyroll needs at least {}.{}",
        VERSION_FLOOR.0,
        VERSION_FLOOR.1
    )]
    TooOld { server: String, version: String },
}

impl CheckError {
    /// Whether the server reported a fault, as opposed to not answering.
    pub(crate) const fn is_reported(&self) -> bool {
        match self {
            Self::NotSynced { .. } | Self::NoJetStream { .. } | Self::TooOld { .. } => true,
            Self::Address(_) | Self::Unreachable { .. } | Self::Answer { .. } => false,
        }
    }
}

/// A server, according to its monitoring page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitoredServer {
    /// Compare it with the name that a connection reports: the page may be another server's.
    pub server_name: String,
    pub version: String,
}

/// Refuses a connection's server if it is older than [`VERSION_FLOOR`].
///
/// # Errors
///
/// [`CheckError::TooOld`], also for a version that cannot be parsed.
pub fn check_version(info: &ServerInfo) -> Result<(), CheckError> {
    require_version(&info.server_name, &info.version)
}

/// The page with JetStream's settings. `/varz` has them too, but leaves them out for good if anybody read
/// it before JetStream was up.
const JETSTREAM: &str = "/jsz?config=1";

/// Reads a server's monitoring pages and refuses it unless `sync_interval` is `always`.
///
/// # Errors
///
/// When a page cannot be read within 5 s, the server is too old or it acknowledges before it syncs.
pub async fn verify_sync_always(monitoring_url: &str) -> Result<MonitoredServer, CheckError> {
    let (server, jetstream) = pages(monitoring_url).await?;
    judge(monitoring_url, &server, &jetstream)
}

/// The directory of a server's streams, and how much of its capacity is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreUsage {
    pub(crate) server_name: String,
    /// Its directory on the server's machine.
    pub(crate) directory: String,
    /// Bytes.
    pub(crate) used: u64,
    /// Bytes that JetStream may use: `max_file_store`, or the free space when the server started.
    pub(crate) capacity: u64,
}

/// Reads a server's store usage.
///
/// # Errors
///
/// When a page cannot be read within 5 s, or lacks the figures.
pub(crate) async fn store_usage(monitoring_url: &str) -> Result<StoreUsage, CheckError> {
    let (server, jetstream) = pages(monitoring_url).await?;
    store_of(&server, &jetstream).ok_or_else(|| CheckError::Answer {
        url: monitoring_url.to_owned(),
        reason: format!("no store in {JETSTREAM}"),
    })
}

fn store_of(server: &Value, jetstream: &Value) -> Option<StoreUsage> {
    Some(StoreUsage {
        server_name: server["server_name"].as_str()?.to_owned(),
        directory: jetstream["config"]["store_dir"].as_str()?.to_owned(),
        used: jetstream["storage"].as_u64()?,
        capacity: jetstream["config"]["max_storage"].as_u64()?,
    })
}

/// Whether a monitoring address is on this machine.
pub(crate) fn is_local(monitoring_url: &str) -> bool {
    let Ok(host) = authority(monitoring_url) else {
        return false;
    };
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The monitoring pages of a server and of its JetStream.
async fn pages(monitoring_url: &str) -> Result<(Value, Value), CheckError> {
    let host = authority(monitoring_url)?;
    let unreachable = |reason: String| CheckError::Unreachable {
        url: monitoring_url.to_owned(),
        reason,
    };
    let page = async |path| {
        let answer = tokio::time::timeout(FETCH_TIMEOUT, fetch(host, path))
            .await
            .map_err(|_elapsed| unreachable(format!("no answer in {} s", FETCH_TIMEOUT.as_secs())))?
            .map_err(|error| unreachable(error.to_string()))?;
        body(&answer).map_err(|reason| CheckError::Answer {
            url: monitoring_url.to_owned(),
            reason: format!("{path}: {reason}"),
        })
    };
    Ok((page("/varz").await?, page(JETSTREAM).await?))
}

/// Whether a version such as `2.15.1` or `2.12.0-RC.1` is at least the floor.
pub(crate) fn is_recent(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u64>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= VERSION_FLOOR,
        _ => false,
    }
}

fn require_version(server: &str, version: &str) -> Result<(), CheckError> {
    if is_recent(version) {
        return Ok(());
    }
    Err(CheckError::TooOld {
        server: server.to_owned(),
        version: version.to_owned(),
    })
}

/// `HOST:PORT` of `http://HOST:PORT`, with or without a slash at the end.
fn authority(url: &str) -> Result<&str, CheckError> {
    url.strip_prefix("http://")
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
        .filter(|host| host.contains(':') && !host.contains(['/', '@', '?', '#']))
        .filter(|host| host.bytes().all(|b| b.is_ascii_graphic()))
        .ok_or_else(|| CheckError::Address(url.to_owned()))
}

/// Fetches a page with HTTP/1.0, which has no chunks: the answer ends with the connection.
async fn fetch(host: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(host).await?;
    let request =
        format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn body(answer: &[u8]) -> Result<Value, String> {
    let end_of_head = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or("it is not HTTP")?;
    let (head, rest) = answer.split_at(end_of_head);
    let status = head.split(|&b| b == b' ').nth(1).unwrap_or_default();
    if status != b"200" {
        return Err(format!("HTTP status {}", String::from_utf8_lossy(status)));
    }
    serde_json::from_slice(&rest[4..]).map_err(|error| error.to_string())
}

fn judge(url: &str, server: &Value, jetstream: &Value) -> Result<MonitoredServer, CheckError> {
    let answer = |reason: String| CheckError::Answer {
        url: url.to_owned(),
        reason,
    };
    let text = |field: &str| {
        server[field]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| answer(format!("no {field} in it")))
    };
    let (server_name, version) = (text("server_name")?, text("version")?);
    require_version(&server_name, &version)?;
    if server["server_id"] != jetstream["server_id"] {
        return Err(answer("it restarted between two requests".to_owned()));
    }
    if jetstream["disabled"] == Value::Bool(true) {
        return Err(CheckError::NoJetStream {
            server: server_name,
        });
    }
    let config = &jetstream["config"];
    if !config.is_object() {
        return Err(answer(format!("no config in {JETSTREAM}")));
    }
    if config["sync_always"] != Value::Bool(true) {
        return Err(CheckError::NotSynced {
            server: server_name,
        });
    }
    Ok(MonitoredServer {
        server_name,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_below_the_floor_or_unreadable_are_refused() {
        for version in ["2.12.0", "2.12.0-RC.1", "2.15.1", "3.0.0"] {
            assert!(is_recent(version), "{version}");
        }
        for version in ["2.11.9", "1.99.0", "2", "", "v2.15.1", "two.twelve"] {
            assert!(!is_recent(version), "{version}");
        }
    }

    #[test]
    fn addresses_are_plain_http_with_a_port() {
        assert_eq!(
            authority("http://127.0.0.1:8222/").unwrap(),
            "127.0.0.1:8222"
        );
        for url in [
            "https://a:1",
            "http://a",
            "http://a:1/x",
            "http://u@a:1",
            "http://a:1\r\nX:",
            "a:1",
        ] {
            assert!(authority(url).is_err(), "{url}");
        }
    }

    #[test]
    fn only_a_server_that_syncs_always_passes() {
        let server =
            |version: &str| json!({"server_name": "s", "server_id": "N", "version": version});
        let config = |config: Value| json!({"server_id": "N", "config": config});
        let always = config(json!({"sync_always": true}));
        let judge = |server, jetstream| judge("http://a:1", &server, &jetstream);
        assert!(judge(server("2.15.1"), always.clone()).is_ok());
        for other in [
            json!({"sync_always": false}),
            json!({"sync_interval": 120}),
            json!({}),
        ] {
            assert!(matches!(
                judge(server("2.15.1"), config(other)),
                Err(CheckError::NotSynced { .. })
            ));
        }
        assert!(matches!(
            judge(
                server("2.15.1"),
                json!({"server_id": "N", "disabled": true, "config": {}})
            ),
            Err(CheckError::NoJetStream { .. })
        ));
        assert!(matches!(
            judge(server("2.11.0"), always.clone()),
            Err(CheckError::TooOld { .. })
        ));
        // These are no result, so the check is repeated.
        let mut other = always.clone();
        other["server_id"] = json!("M");
        for jetstream in [other, config(Value::Null)] {
            assert!(matches!(
                judge(server("2.15.1"), jetstream),
                Err(CheckError::Answer { .. })
            ));
        }
        assert!(matches!(
            judge(json!({}), always),
            Err(CheckError::Answer { .. })
        ));
    }

    #[test]
    fn store_usage_is_read_from_the_monitoring_pages() {
        let server = json!({"server_name": "s"});
        let page =
            json!({"storage": 9, "config": {"store_dir": "/d/jetstream", "max_storage": 10}});
        let store = store_of(&server, &page).expect("a store");
        assert_eq!((store.used, store.capacity), (9, 10));
        assert_eq!(store.directory, "/d/jetstream");
        assert_eq!(
            store_of(&server, &json!({"storage": 9, "config": {}})),
            None
        );
    }

    #[test]
    fn a_loopback_address_is_on_this_machine() {
        for here in [
            "http://127.0.0.1:8222",
            "http://localhost:1/",
            "http://[::1]:1",
        ] {
            assert!(is_local(here), "{here}");
        }
        for away in ["http://10.0.0.1:8222", "http://nats:1", "x"] {
            assert!(!is_local(away), "{away}");
        }
    }

    #[test]
    fn other_answers_are_errors() {
        assert!(body(b"garbage").is_err());
        assert!(
            body(b"HTTP/1.0 404 Not Found\r\n\r\n")
                .unwrap_err()
                .contains("404")
        );
        assert!(body(b"HTTP/1.0 200 OK\r\n\r\n{").is_err());
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n\r\n{}").unwrap(), json!({}));
    }
}
