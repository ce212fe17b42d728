//! What can be seen of the streams from outside, while a service runs: that they are there, and that
//! enough nats-servers are for them to be written.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;
use futures::future::join_all;
use serde_json::Value;

use super::streams::{LedgerStream, StreamError, info};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// From when on a follower that its leader has not heard counts as away.
const UNHEARD: Duration = Duration::from_secs(5);

/// What a probe at the streams shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamProbe {
    /// Those that JetStream says are not there.
    pub missing: Vec<LedgerStream>,
    /// Why one cannot be used now, in words.
    pub silent: Option<String>,
    /// The servers of a cluster that keep them, and whether each is there.
    pub replicas: BTreeMap<String, bool>,
}

impl StreamProbe {
    /// Whether all streams were seen.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.silent.is_none()
    }
}

/// RecentProbes at all streams, in a few seconds at most. Settings are not looked at.
pub async fn probe_streams(service: &Client) -> StreamProbe {
    let looks = LedgerStream::ALL.map(|stream| info(service, stream, PATIENCE));
    let mut probe = StreamProbe::default();
    for (stream, info) in LedgerStream::ALL.into_iter().zip(join_all(looks).await) {
        match info {
            Ok(Some(info)) => {
                let (replicas, why) = replicas(&info["cluster"]);
                probe.replicas.extend(replicas);
                probe.silent = why.map(|why| unusable(stream, why)).or(probe.silent.take());
            }
            Ok(None) => probe.missing.push(stream),
            Err(StreamError::NoAnswer { .. }) => {
                probe.silent = Some(unusable(stream, "nobody answers for it"));
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
    format!("stream {stream} cannot be used: {why}. Are enough nats-servers there?")
}

/// The leader of a stream and the servers that follow it, each with whether it is there; and why
/// nothing can be written, if nothing can. Nothing at all of a server on its own.
fn replicas(cluster: &Value) -> (Vec<(String, bool)>, Option<&'static str>) {
    let name = |value: &Value| {
        value
            .as_str()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    };
    let leader = name(&cluster["leader"]);
    let replicas = cluster["replicas"].as_array().into_iter().flatten();
    let replicas: Vec<(String, bool)> = replicas
        .filter_map(|replica| Some((name(&replica["name"])?, is_heard(replica))))
        .collect();
    let heard = replicas.iter().filter(|(_, is_heard)| *is_heard).count();
    let why = match leader {
        None if !replicas.is_empty() => Some("nobody leads it"),
        Some(_) if (heard + 1) * 2 <= replicas.len() + 1 => {
            Some("its leader hears too few of the others")
        }
        _ => None,
    };
    let leader = leader.map(|leader| (leader, true));
    (leader.into_iter().chain(replicas).collect(), why)
}

/// Whether the leader has heard a follower lately. One that it never heard is 0 ns ago, and not
/// current; followers are heard every second.
fn is_heard(replica: &Value) -> bool {
    let ago = Duration::from_nanos(replica["active"].as_u64().unwrap_or_default());
    let known = replica["current"].as_bool() == Some(true) || !ago.is_zero();
    known && ago < UNHEARD && replica["offline"].as_bool() != Some(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As nats-server 2.15.1 says it.
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
        let said = [("a", true), ("b", true), ("c", false)];
        assert_eq!(all, said.map(|(name, there)| (name.to_owned(), there)));
        assert_eq!(why, None);
        // Behind, and catching up.
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
    fn a_server_on_its_own_has_nobody_to_hear() {
        assert_eq!(replicas(&Value::Null), (vec![], None));
        let alone = (vec![("a".to_owned(), true)], None);
        assert_eq!(replicas(&json!({"leader": "a"})), alone);
    }
}
