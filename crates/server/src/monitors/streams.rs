//! Watches the streams: that they exist, and that enough nats-servers are online to use them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_core::{Code, Rejection};
use keyroll_ledger::Ledger;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Replicas;
use super::storage::StreamWrites;
use crate::nats::{LedgerStream, StreamError, StreamProbe, probe_streams};

/// How often the streams are probed.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long to wait after a refused write before the refusals are collected.
const SETTLE: Duration = Duration::from_millis(250);

/// How often to record that the log is followed: much more often than the next start expects.
const RECORD_INTERVAL: Duration = Duration::from_secs(30);

/// Probes the streams until the service stops, and reports which servers hold them.
pub(crate) async fn run(
    client: async_nats::Client,
    ledger: Arc<Ledger>,
    replicas: watch::Sender<Replicas>,
    writes: StreamWrites,
    mut stopped: watch::Receiver<bool>,
) {
    let mut probes = RecentProbes::default();
    let (mut recorded, mut ticks) = (Instant::now(), tokio::time::interval(INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let refused = tokio::select! {
            _ = ticks.tick() => false,
            () = writes.news() => true,
            // A closed channel also means that the service has stopped.
            _ = stopped.changed() => return,
        };
        let health = ledger.health();
        let connected = || client.server_info().server_name;
        if refused {
            // A stream that refuses one write refuses all others, often many at once.
            tokio::time::sleep(SETTLE).await;
            // The probe waits for its turn: a second one right away would show nothing new.
            if !health.is_recovering()
                && let Some(why) = writes.refusals(&probes.writers(connected())).await
            {
                health.set_streams(Some(Rejection::new(Code::AuditUnavailable, why)));
            }
            continue;
        }
        let probe = probe_streams(&client).await;
        // During recovery an operator deletes the log and creates it again.
        if health.is_recovering() {
            probes = RecentProbes::default();
            continue;
        }
        replicas.send_if_modified(|known| {
            let changed = probe.is_whole() && *known != probe.replicas;
            if changed {
                known.clone_from(&probe.replicas);
            }
            changed
        });
        let findings = probes.record(&probe);
        if let Some(missing) = findings.missing {
            health.fail(Code::Corrupt, StreamError::missing(&missing).to_string());
        }
        let silent = writes
            .refusals(&probes.writers(connected()))
            .await
            .or(findings.silent)
            .map(|why| Rejection::new(Code::AuditUnavailable, why));
        health.set_streams(silent);
        if recorded.elapsed() >= RECORD_INTERVAL && probe.is_whole() {
            recorded = Instant::now();
            if let Err(why) = ledger.eraser().record_following(false).await {
                tracing::debug!(%why, "cannot record that the log is followed");
            }
        }
    }
}

/// The last probe. One probe is not enough: a leader is elected between two probes, and a server that
/// has just started may not know its streams yet.
#[derive(Default)]
struct RecentProbes {
    last: StreamProbe,
    reported: Vec<LedgerStream>,
}

/// The result of a probe and the one before it.
#[derive(Debug, PartialEq, Eq)]
struct Findings {
    /// Streams that are missing, reported once.
    missing: Option<Vec<LedgerStream>>,
    /// Why nothing can be written, while that lasts.
    silent: Option<String>,
}

impl RecentProbes {
    /// The server that writes each stream: its leader at the last probe. The connected server stands in
    /// where no leader is known.
    fn writers(&self, connected: String) -> impl Fn(LedgerStream) -> String {
        let leaders = &self.last.leaders;
        move |stream| leaders.get(&stream).unwrap_or(&connected).clone()
    }

    fn record(&mut self, probe: &StreamProbe) -> Findings {
        let last = std::mem::replace(&mut self.last, probe.clone());
        let twice = probe.missing.iter().copied();
        let twice: Vec<LedgerStream> = twice.filter(|gone| last.missing.contains(gone)).collect();
        let missing = (!twice.is_empty() && twice != self.reported).then(|| twice.clone());
        self.reported = twice;
        let silent = last.silent.and(probe.silent.clone());
        Findings { missing, silent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(missing: &[LedgerStream], silent: Option<&str>) -> StreamProbe {
        StreamProbe {
            missing: missing.to_vec(),
            silent: silent.map(str::to_owned),
            ..StreamProbe::default()
        }
    }

    #[test]
    fn a_stream_is_missing_after_two_probes_and_reported_once() {
        let gone = [LedgerStream::Vault];
        let mut probes = RecentProbes::default();
        let mut record = |missing: &[LedgerStream]| probes.record(&probe(missing, None)).missing;
        assert_eq!(record(&gone), None);
        assert_eq!(record(&[]), None);
        assert_eq!(record(&gone), None);
        assert_eq!(record(&gone), Some(gone.to_vec()));
        assert_eq!(record(&gone), None);
        assert_eq!(record(&[]), None);
        assert_eq!(record(&gone), None);
        assert_eq!(record(&gone), Some(gone.to_vec()));
    }

    #[test]
    fn a_second_missing_stream_is_reported_too() {
        let both = [LedgerStream::Vault, LedgerStream::Keys];
        let mut probes = RecentProbes::default();
        let mut record = |missing: &[LedgerStream]| probes.record(&probe(missing, None)).missing;
        record(&both[..1]);
        assert_eq!(record(&both), Some(both[..1].to_vec()));
        assert_eq!(record(&both), Some(both.to_vec()));
    }

    #[test]
    fn the_leader_of_a_stream_writes_it_and_the_connected_server_where_none_is_known() {
        let mut probes = RecentProbes::default();
        let leaders = [(LedgerStream::Vault, "b".to_owned())].into();
        probes.record(&StreamProbe {
            leaders,
            ..StreamProbe::default()
        });
        let writer = probes.writers("a".to_owned());
        assert_eq!(writer(LedgerStream::Vault), "b");
        assert_eq!(writer(LedgerStream::Log), "a");
    }

    #[test]
    fn silence_is_reported_from_the_second_probe_until_the_first_answer() {
        let mut probes = RecentProbes::default();
        let mut record = |silent: Option<&str>| probes.record(&probe(&[], silent)).silent;
        assert_eq!(record(Some("a")), None);
        assert_eq!(record(Some("b")), Some("b".to_owned()));
        assert_eq!(record(Some("c")), Some("c".to_owned()));
        assert_eq!(record(None), None);
        assert_eq!(record(Some("d")), None);
    }
}
