//! Waiting for a condition, with a bound that only a failing test reaches.

use std::time::{Duration, Instant};

/// The bound: far above the time that anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `found` returns a value.
///
/// # Panics
/// When that takes longer than [`PATIENCE`].
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Awaits `future`.
///
/// # Panics
/// When that takes longer than [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|elapsed| panic!("timed out: {what}: {elapsed}"))
}
