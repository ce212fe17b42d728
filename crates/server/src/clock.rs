//! The service's clock against the nats-server's. Freshness, expiry and the times on record all
//! rest on it, so while the two are far apart no command is taken.

use std::sync::Arc;
use std::time::Duration;

use keyroll_core::{Code, Rejection};
use keyroll_ledger::{Ledger, Surroundings};
use tokio::sync::watch;

use crate::nats::LedgerStream;

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_secs(60);
/// How far apart they may be, in milliseconds.
const APART_MS: u64 = 5_000;
/// How long the nats-server may take to tell its time: a slow answer says little.
const ANSWER: Duration = Duration::from_secs(2);

/// Compares the clocks once. A server that does not answer leaves things as they are: then the log
/// does not answer either.
pub(crate) async fn compare(
    client: &async_nats::Client,
    ledger: &Ledger,
    around: &mut Surroundings,
) {
    if let Some(ahead) = ahead_of(client).await {
        around.clock_ahead_ms = ahead;
        ledger.health().set_clock(judge(ahead));
    }
    ledger.set_surroundings(around.clone());
}

/// Compares the clocks until the service stops.
pub(crate) async fn watch(
    client: async_nats::Client,
    ledger: Arc<Ledger>,
    mut around: Surroundings,
    mut stopped: watch::Receiver<bool>,
) {
    while tokio::time::timeout(EVERY, stopped.wait_for(|stopped| *stopped))
        .await
        .is_err()
    {
        compare(&client, &ledger, &mut around).await;
    }
}

/// Milliseconds that our clock is ahead of the server's, taken at the middle of a round trip.
async fn ahead_of(client: &async_nats::Client) -> Option<i64> {
    let before = keyroll_api::client::now().0;
    let subject = format!("$JS.API.STREAM.INFO.{}", LedgerStream::Log.name());
    let reply = tokio::time::timeout(ANSWER, client.request(subject, "".into()))
        .await
        .ok()?
        .ok()?;
    let middle = before.midpoint(keyroll_api::client::now().0);
    let info: serde_json::Value = serde_json::from_slice(&reply.payload).ok()?;
    let theirs: jiff::Timestamp = info.get("ts")?.as_str()?.parse().ok()?;
    Some(
        i64::try_from(middle)
            .ok()?
            .saturating_sub(theirs.as_millisecond()),
    )
}

fn judge(ahead: i64) -> Option<Rejection> {
    if ahead.unsigned_abs() <= APART_MS {
        return None;
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let message = format!(
        "the service's clock is {} s {side} the nats-server's: no command is taken until they agree",
        ahead.unsigned_abs() / 1_000
    );
    Some(Rejection::new(Code::AuditUnavailable, message))
}

#[cfg(test)]
mod tests {
    use super::*;

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
