//! Compares the service's clock with the nats-server's. Freshness, expiry and recorded times depend on
//! it, so commands are refused while the two differ too much.

use std::time::{Duration, Instant};

use keyroll_core::{Code, Millis, Rejection};
use keyroll_ledger::{Environment, Ledger};

use crate::nats::LedgerStream;

/// How often the clocks are compared.
const INTERVAL: Duration = Duration::from_secs(60);
/// A clock that gains or loses this much between two readings, in milliseconds, was set.
const SET_MS: u64 = 1_000;
/// How far the clocks may differ, in milliseconds.
const MAX_DIFFERENCE_MS: u64 = 5_000;
/// How long the nats-server may take to answer. The time in a slow answer is imprecise.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The wall clock.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn now() -> Millis {
    keyroll_wire::time::now()
}

/// The wall clock plus the milliseconds in the file that `KEYROLL_CLOCK_OFFSET_FILE` names. A test may
/// change the file while the service runs.
#[cfg(feature = "failpoints")]
pub(crate) fn now() -> Millis {
    let read = |path| {
        std::fs::read_to_string(path)
            .ok()?
            .trim()
            .parse::<i64>()
            .ok()
    };
    let offset = std::env::var_os("KEYROLL_CLOCK_OFFSET_FILE").and_then(read);
    let true_time = keyroll_wire::time::now().0;
    Millis(true_time.saturating_add_signed(offset.unwrap_or_default()))
}

/// Compares the clocks once. Returns whether that was possible. If the server does not answer, the last
/// result stays: the log does not answer either then.
pub(crate) async fn compare(
    client: &async_nats::Client,
    ledger: &Ledger,
    environment: &mut Environment,
) -> bool {
    let ahead = ahead_of(client).await;
    if let Some(ahead) = ahead {
        environment.clock_ahead_ms = ahead;
        ledger.health().set_clock(judge(ahead));
    }
    ahead.is_some()
}

/// When to compare the clocks: regularly, and when ours was set.
pub(crate) struct ComparisonSchedule {
    wall: Millis,
    steady: Instant,
    /// When they were last compared; none when a comparison is due.
    compared: Option<Instant>,
}

impl ComparisonSchedule {
    pub(crate) const fn new(wall: Millis, steady: Instant) -> Self {
        Self {
            wall,
            steady,
            compared: Some(steady),
        }
    }

    /// Records a comparison.
    pub(crate) const fn compared(&mut self, when: Instant) {
        self.compared = Some(when);
    }

    /// Whether to compare our clock with the server's.
    pub(crate) fn is_due(&mut self, wall: Millis, steady: Instant) -> bool {
        let passed = u64::try_from((steady - self.steady).as_millis()).unwrap_or(u64::MAX);
        let expected = self.wall.0.saturating_add(passed);
        if wall.0.abs_diff(expected) > SET_MS {
            self.compared = None;
        }
        (self.wall, self.steady) = (wall, steady);
        self.compared
            .is_none_or(|compared| steady - compared >= INTERVAL)
    }
}

/// The milliseconds that our clock is ahead of the server's, measured at the middle of a round trip.
async fn ahead_of(client: &async_nats::Client) -> Option<i64> {
    let before = now().0;
    let subject = format!("$JS.API.STREAM.INFO.{}", LedgerStream::Log.name());
    let reply = tokio::time::timeout(TIMEOUT, client.request(subject, "".into()))
        .await
        .ok()?
        .ok()?;
    let middle = before.midpoint(now().0);
    let info: serde_json::Value = serde_json::from_slice(&reply.payload).ok()?;
    let theirs: jiff::Timestamp = info.get("ts")?.as_str()?.parse().ok()?;
    Some(
        i64::try_from(middle)
            .ok()?
            .saturating_sub(theirs.as_millisecond()),
    )
}

fn judge(ahead: i64) -> Option<Rejection> {
    if ahead.unsigned_abs() <= MAX_DIFFERENCE_MS {
        return None;
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let message = format!(
        "the service's clock is {} s {side} the nats-server's: commands are refused until they agree",
        ahead.unsigned_abs() / 1_000
    );
    Some(Rejection::new(Code::AuditUnavailable, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_compared_at_once_and_until_that_works() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        for set in [3_600_000_i64, -3_600_000, 1_500, -1_500] {
            let mut schedule = ComparisonSchedule::new(Millis(10_000_000), begin);
            assert!(!schedule.is_due(Millis(10_001_000), begin + second));
            assert!(
                !schedule.is_due(Millis(10_002_400), begin + 2 * second),
                "slewed"
            );
            let wall = |millis: u64| Millis(millis.saturating_add_signed(set));
            assert!(
                schedule.is_due(wall(10_003_400), begin + 3 * second),
                "{set}"
            );
            assert!(
                schedule.is_due(wall(10_004_400), begin + 4 * second),
                "{set}"
            );
            schedule.compared(begin + 4 * second);
            assert!(
                !schedule.is_due(wall(10_005_400), begin + 5 * second),
                "{set}"
            );
            assert!(
                schedule.is_due(wall(10_064_400), begin + 64 * second),
                "an interval"
            );
        }
    }

    #[test]
    fn clocks_may_be_five_seconds_apart() {
        for fine in [0, 5_000, -5_000] {
            assert_eq!(judge(fine), None, "{fine}");
        }
        for wrong in [5_001, -5_001, i64::MIN, i64::MAX] {
            assert_eq!(
                judge(wrong).map(|r| r.code),
                Some(Code::AuditUnavailable),
                "{wrong}"
            );
        }
    }
}
