//! Room for the requests of guests. Anybody who reaches a nats-server can send these, so they get a bounded
//! share of the processor: a flood of guests makes other guests wait, and hardly delays members.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of guests that wait for their turn, or are in work. There is no room for more, so those get no
/// answer, and their senders ask again.
const WAITING: u32 = 128;
/// Requests of guests in work at once.
const AT_ONCE: usize = 2;
/// After its work a turn rests so many times as long. So guests get 2 fifths of one processor at most.
const REST: u32 = 4;
/// A request that waited for something else than the processor rests no longer than this.
const LONGEST_REST: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub(crate) struct GuestRoom {
    waiting: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Default for GuestRoom {
    fn default() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(WAITING as usize)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl GuestRoom {
    /// Room for one request; `None` when there is none.
    pub(crate) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).try_acquire_owned().ok()
    }

    /// Whether no request waits or is in work.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.available_permits() == WAITING as usize
    }

    /// Waits until no request waits or is in work.
    pub(crate) async fn emptied(&self) {
        drop(self.waiting.acquire_many(WAITING).await);
    }

    /// Works in turn, and rests after it.
    pub(crate) async fn work(&self, work: impl Future<Output = ()>) {
        // The semaphore is never closed.
        let Ok(turn) = self.turns.acquire().await else {
            return;
        };
        let begun = Instant::now();
        work.await;
        tokio::time::sleep((begun.elapsed() * REST).min(LONGEST_REST)).await;
        drop(turn);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_room_is_bounded() {
        let room = GuestRoom::default();
        assert!(room.is_empty());
        let all: Vec<_> = (0..=WAITING).map(|_| room.enter()).collect();
        assert_eq!(all.iter().flatten().count(), WAITING as usize);
        assert!(!room.is_empty());
        drop(all);
        room.emptied().await;
        assert!(room.is_empty() && room.enter().is_some());
    }

    #[tokio::test]
    async fn few_work_at_once_and_all_get_their_turn() {
        let (room, counts) = (GuestRoom::default(), Arc::<[AtomicUsize; 3]>::default());
        let mut tasks = Vec::new();
        for _ in 0..20 {
            let (room, counts) = (room.clone(), Arc::clone(&counts));
            tasks.push(tokio::spawn(async move {
                let [now, most, done] = counts.as_ref();
                room.work(async {
                    let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(at_once, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                })
                .await;
            }));
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        let [_, most, done] = counts.as_ref();
        assert!(most.load(Ordering::SeqCst) <= AT_ONCE);
        assert_eq!(done.load(Ordering::SeqCst), 20);
    }
}
