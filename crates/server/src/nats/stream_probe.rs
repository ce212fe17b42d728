//! Probes of the streams while a service runs: whether they exist, and whether enough nats-servers are
//! online to write to them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;
use futures::future::join_all;
use serde_json::Value;

use super::ledger_stream::LedgerStream;
use super::stream_error::StreamError;
use super::streams::info;

/// Timeout of a probe.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A follower that its leader has not heard for this long counts as offline.
const OFFLINE_AFTER: Duration = Duration::from_secs(5);

/// The result of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamProbe {
    /// Streams that JetStream reports missing.
    pub missing: Vec<LedgerStream>,
    /// Why one cannot be used now.
    pub silent: Option<String>,
    /// The servers of a cluster that hold the streams, and whether each is online.
    pub replicas: BTreeMap<String, bool>,
    /// The server that writes each stream first.
    pub leaders: BTreeMap<LedgerStream, String>,
}

impl StreamProbe {
    /// Whether all streams exist and can be used.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.silent.is_none()
    }
}

/// Probes all streams, in a few seconds at most. It does not check their settings.
pub async fn probe_streams(service: &Client) -> StreamProbe {
    let infos = LedgerStream::ALL.map(|stream| info(service, stream, TIMEOUT));
    let mut probe = StreamProbe::default();
    for (stream, info) in LedgerStream::ALL.into_iter().zip(join_all(infos).await) {
        match info {
            Ok(Some(info)) => {
                let (replicas, why) = replicas(&info["cluster"]);
                if let Some(leader) = leader(&info["cluster"]) {
                    probe.leaders.insert(stream, leader);
                }
                probe.replicas.extend(replicas);
                probe.silent = why.map(|why| unusable(stream, why)).or(probe.silent.take());
            }
            Ok(None) => probe.missing.push(stream),
            Err(StreamError::NoAnswer { .. }) => {
                probe.silent = Some(unusable(stream, "nothing answers for it"));
            }
            Err(StreamError::Refused { reason, .. }) => {
                probe.silent = Some(unusable(stream, &reason));
            }
            Err(other) => probe.silent = Some(unusable(stream, &other.to_string())),
        }
    }
    probe
}

fn unusable(stream: LedgerStream, why: &str) -> String {
    format!("stream {stream} cannot be used: {why}. Are enough nats-servers online?")
}

fn named(value: &Value) -> Option<String> {
    let name = value.as_str().filter(|name| !name.is_empty());
    name.map(str::to_owned)
}

fn leader(cluster: &Value) -> Option<String> {
    named(&cluster["leader"])
}

/// The leader and followers of a stream, each with whether it is online; and why nothing can be written,
/// if so. A single server has neither.
fn replicas(cluster: &Value) -> (Vec<(String, bool)>, Option<&'static str>) {
    let leader = leader(cluster);
    let replicas = cluster["replicas"].as_array().into_iter().flatten();
    let replicas: Vec<(String, bool)> = replicas
        .filter_map(|replica| Some((named(&replica["name"])?, is_heard(replica))))
        .collect();
    let heard = replicas.iter().filter(|(_, is_heard)| *is_heard).count();
    let why = match leader {
        None if !replicas.is_empty() => Some("it has no leader"),
        Some(_) if (heard + 1) * 2 <= replicas.len() + 1 => Some("its leader has lost its quorum"),
        _ => None,
    };
    let leader = leader.map(|leader| (leader, true));
    (leader.into_iter().chain(replicas).collect(), why)
}

/// Whether the leader has heard a follower lately. Followers report every second. One that it never heard
/// has `active` 0 and is not current.
fn is_heard(replica: &Value) -> bool {
    let ago = Duration::from_nanos(replica["active"].as_u64().unwrap_or_default());
    let known = replica["current"].as_bool() == Some(true) || !ago.is_zero();
    known && ago < OFFLINE_AFTER && replica["offline"].as_bool() != Some(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As nats-server 2.15.1 reports it.
    fn follower(name: &str, current: bool, active: u64) -> Value {
        json!({"name": name, "current": current, "active": active, "peer": "lIC5IlIx"})
    }

    #[test]
    fn a_leader_with_half_of_its_followers_can_write_and_one_without_cannot() {
        let second = 1_000_000_000;
        let led = |one, other| {
            let cluster = json!({"leader": "a", "replicas": [one, other]});
            replicas(&cluster)
        };
        let (there, away) = (follower("b", true, second), follower("c", true, 8 * second));
        let (all, why) = led(there.clone(), away.clone());
        let expected = [("a", true), ("b", true), ("c", false)];
        assert_eq!(all, expected.map(|(name, there)| (name.to_owned(), there)));
        assert_eq!(why, None);
        // A follower that is catching up.
        let behind = follower("b", false, second);
        assert_eq!(led(behind, away.clone()).1, None);
        let never = follower("b", false, 0);
        assert!(led(never, away.clone()).1.is_some());
        let mut offline = there;
        offline["offline"] = json!(true);
        assert!(led(offline, away).1.is_some());
    }

    #[test]
    fn without_a_leader_nothing_can_be_written() {
        let cluster = json!({"replicas": [follower("a", true, 1), follower("b", true, 1)]});
        assert!(replicas(&cluster).1.is_some());
    }

    #[test]
    fn a_single_server_needs_no_quorum() {
        assert_eq!(replicas(&Value::Null), (vec![], None));
        let alone = (vec![("a".to_owned(), true)], None);
        assert_eq!(replicas(&json!({"leader": "a"})), alone);
    }
}
