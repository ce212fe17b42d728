//! Waiting for something to become so. The bound is reached only by a test that fails.

use std::time::{Duration, Instant};

/// Far above what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until `found` finds something.
///
/// # Panics
/// When that takes longer than [`PATIENCE`].
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Awaits `future`.
///
/// # Panics
/// When that takes longer than [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|elapsed| panic!("waited in vain: {what}: {elapsed}"))
}
