//! A bound on the memory that released values take at once.

use std::sync::Arc;

use keyroll_core::{Code, Rejection, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// KiB for released values on their way to callers. Each value is in memory three times: as the
/// vault holds it, as it is released, and as it is sent.
const BUDGET_KIB: u32 = 96 * 1_024;
/// The most that one value takes: 64 KiB, three times.
const VALUE_KIB: u32 = 3 * 66;
/// The most that one answer takes: a reply of full size, three times.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a reply is below a megabyte"
)]
const ANSWER_KIB: u32 = 3 * (limits::REPLY_BYTES / 1_024) as u32;

/// Memory for one answer's values, held until the answer is sent.
pub type MemoryPermit = Arc<OwnedSemaphorePermit>;

/// The memory for all of them.
pub(crate) struct MemoryBudget(Arc<Semaphore>);

impl Default for MemoryBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET_KIB as usize)))
    }
}

impl MemoryBudget {
    /// Waits until there is memory for this many values.
    pub(crate) async fn acquire(&self, values: usize) -> Result<MemoryPermit, Rejection> {
        let values = u32::try_from(values).unwrap_or(u32::MAX);
        let kib = values.saturating_mul(VALUE_KIB).min(ANSWER_KIB);
        let permit = Arc::clone(&self.0).acquire_many_owned(kib).await;
        // The semaphore is never closed.
        permit
            .map(Arc::new)
            .map_err(|error| Rejection::new(Code::Internal, error.to_string()))
    }
}
