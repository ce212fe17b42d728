//! What a running service keeps an eye on of its streams: that they are there, and that enough
//! nats-servers are for them to be used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_core::{Code, Rejection};
use keyroll_ledger::Ledger;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::disks::StreamWrites;
use crate::nats::{LedgerStream, StreamError, StreamProbe, probe_streams};

/// How often to look.
const EVERY: Duration = Duration::from_secs(2);

/// How long to wait after a refused write before the streams are looked at.
const BETWEEN: Duration = Duration::from_millis(250);

/// How often to say that the log is followed: well within what a next start reckons with.
const SAY: Duration = Duration::from_secs(30);

/// The servers that keep the streams, and whether each is there.
pub(crate) type Replicas = BTreeMap<String, bool>;

/// Looks at the streams until the service stops, and says who keeps them.
pub(crate) async fn watch(
    client: async_nats::Client,
    ledger: Arc<Ledger>,
    replicas: watch::Sender<Replicas>,
    writes: StreamWrites,
    mut stopped: watch::Receiver<bool>,
) {
    let mut probes = RecentProbes::default();
    let (mut said, mut turns) = (Instant::now(), tokio::time::interval(EVERY));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let refused = tokio::select! {
            _ = turns.tick() => false,
            () = writes.news() => true,
            // Also when nobody is left who could say so.
            _ = stopped.changed() => return,
        };
        let health = ledger.health();
        let refusals = async || {
            let server = client.server_info().server_name;
            writes.refusals(&server).await
        };
        if refused {
            // A stream that refuses one write refuses all that come, often many at once.
            tokio::time::sleep(BETWEEN).await;
            // The streams themselves are looked at in their turn: twice in a moment is as good as once.
            if !health.is_recovering()
                && let Some(why) = refusals().await
            {
                health.set_streams(Some(Rejection::new(Code::AuditUnavailable, why)));
            }
            continue;
        }
        let probe = probe_streams(&client).await;
        // Meanwhile an operator takes the log away and makes it anew.
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
        let judged = probes.take(&probe);
        if let Some(missing) = judged.missing {
            health.fail(Code::Corrupt, StreamError::missing(&missing).to_string());
        }
        let silent = refusals()
            .await
            .or(judged.silent)
            .map(|why| Rejection::new(Code::AuditUnavailable, why));
        health.set_streams(silent);
        if said.elapsed() >= SAY && probe.is_whole() {
            said = Instant::now();
            if let Err(why) = ledger.eraser().record_following(false).await {
                tracing::debug!(%why, "the next start knows less");
            }
        }
    }
}

/// What was seen before. Once is not enough: a leader is chosen in the time between two looks, and a
/// server that was started a moment ago may not know its streams yet.
#[derive(Default)]
struct RecentProbes {
    last: StreamProbe,
    said: Vec<LedgerStream>,
}

/// What a probe, with the one before it, comes to.
#[derive(Debug, PartialEq, Eq)]
struct Judged {
    /// Streams that are gone, once.
    missing: Option<Vec<LedgerStream>>,
    /// Why nothing can be written, for as long as that is so.
    silent: Option<String>,
}

impl RecentProbes {
    fn take(&mut self, probe: &StreamProbe) -> Judged {
        let last = std::mem::replace(&mut self.last, probe.clone());
        let twice = probe.missing.iter().copied();
        let twice: Vec<LedgerStream> = twice.filter(|gone| last.missing.contains(gone)).collect();
        let missing = (!twice.is_empty() && twice != self.said).then(|| twice.clone());
        self.said = twice;
        let silent = last.silent.and(probe.silent.clone());
        Judged { missing, silent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(missing: &[LedgerStream], silent: Option<&str>) -> StreamProbe {
        StreamProbe {
            missing: missing.to_vec(),
            silent: silent.map(str::to_owned),
            ..StreamProbe::default()
        }
    }

    #[test]
    fn a_stream_is_gone_when_it_was_not_seen_twice_and_that_is_said_once() {
        let gone = [LedgerStream::Vault];
        let mut probes = RecentProbes::default();
        let mut take = |missing: &[LedgerStream]| probes.take(&seen(missing, None)).missing;
        assert_eq!(take(&gone), None);
        assert_eq!(take(&[]), None);
        assert_eq!(take(&gone), None);
        assert_eq!(take(&gone), Some(gone.to_vec()));
        assert_eq!(take(&gone), None);
        assert_eq!(take(&[]), None);
        assert_eq!(take(&gone), None);
        assert_eq!(take(&gone), Some(gone.to_vec()));
    }

    #[test]
    fn a_second_stream_that_goes_is_said_too() {
        let both = [LedgerStream::Vault, LedgerStream::Keys];
        let mut probes = RecentProbes::default();
        let mut take = |missing: &[LedgerStream]| probes.take(&seen(missing, None)).missing;
        take(&both[..1]);
        assert_eq!(take(&both), Some(both[..1].to_vec()));
        assert_eq!(take(&both), Some(both.to_vec()));
    }

    #[test]
    fn silence_is_said_from_the_second_look_on_and_ends_with_the_first_answer() {
        let mut probes = RecentProbes::default();
        let mut take = |silent: Option<&str>| probes.take(&seen(&[], silent)).silent;
        assert_eq!(take(Some("a")), None);
        assert_eq!(take(Some("b")), Some("b".to_owned()));
        assert_eq!(take(Some("c")), Some("c".to_owned()));
        assert_eq!(take(None), None);
        assert_eq!(take(Some("d")), None);
    }
}
