//! Objects in memory, for tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use keyroll_core::Millis;
use tokio::sync::oneshot;

use super::{Erasure, ObjectInfo, Objects, PutError};
use crate::log::Unavailable;

/// [`Objects`] in memory, which can be made to fail after a number of uses.
#[derive(Clone)]
pub struct MemoryObjects {
    inner: Arc<Mutex<Inner>>,
    clock: fn() -> Millis,
    uses_left: Arc<AtomicU64>,
    slow: Arc<Mutex<Option<Slow>>>,
}

/// How many reads pass before one waits, and the signal that it waits for.
type Slow = (u64, oneshot::Receiver<()>);

#[derive(Default)]
struct Inner {
    last: u64,
    missing: bool,
    stored: BTreeMap<String, (ObjectInfo, Bytes)>,
}

impl Inner {
    fn visible(&self, subject: &str) -> Option<&(ObjectInfo, Bytes)> {
        let stored = self.stored.get(subject);
        stored.filter(|_| !self.missing)
    }
}

impl Default for MemoryObjects {
    /// An empty storage whose clock stands at zero.
    fn default() -> Self {
        Self::with_clock(|| Millis(0))
    }
}

impl MemoryObjects {
    /// An empty storage with this clock.
    pub fn with_clock(clock: fn() -> Millis) -> Self {
        Self {
            inner: Arc::default(),
            clock,
            uses_left: Arc::new(AtomicU64::new(u64::MAX)),
            slow: Arc::default(),
        }
    }

    /// Another empty storage that fails together with this one.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            inner: Arc::default(),
            clock: self.clock,
            uses_left: Arc::clone(&self.uses_left),
            slow: Arc::default(),
        }
    }

    /// Lets this many uses succeed; all later ones fail.
    pub fn fail_after(&self, uses: u64) {
        self.uses_left.store(uses, Ordering::SeqCst);
    }

    /// Makes the read after `reads` others wait until the sender sends or is dropped. Other reads
    /// continue meanwhile.
    pub fn slow_after(&self, reads: u64) -> oneshot::Sender<()> {
        let (resume, resumed) = oneshot::channel();
        *self.slow.lock().unwrap_or_else(PoisonError::into_inner) = Some((reads, resumed));
        resume
    }

    /// The signal that this read has to wait for.
    fn wait_for(&self) -> Option<oneshot::Receiver<()>> {
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        match slow.as_mut() {
            Some((0, _)) => slow.take().map(|(_, resumed)| resumed),
            Some((reads, _)) => {
                *reads -= 1;
                None
            }
            None => None,
        }
    }

    fn with<T: Send + 'static>(&self, run: impl FnOnce(&mut Inner) -> T) -> T {
        run(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn used<T: Send + 'static>(&self, run: impl FnOnce(&mut Inner) -> T) -> Result<T, Unavailable> {
        let use_one = |left: u64| left.checked_sub(1);
        let left = self
            .uses_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, use_one);
        match left {
            Ok(_) => Ok(self.with(run)),
            Err(_) => Err(Unavailable("the test made it fail".to_owned())),
        }
    }

    /// Removes everything, as a lost stream would.
    pub fn lose_all(&self) {
        self.with(|inner| inner.stored.clear());
    }

    /// Makes the whole storage vanish, as a deleted stream does, or puts it back with what it held.
    pub fn set_missing(&self, missing: bool) {
        self.with(|inner| inner.missing = missing);
    }

    /// Removes one object without a trace.
    pub fn lose(&self, subject: &str) -> bool {
        self.with(|inner| inner.stored.remove(subject).is_some())
    }

    /// Stores an object under a subject, and replaces one that was there.
    pub fn overwrite(&self, subject: &str, bytes: impl Into<Bytes>) {
        let (bytes, at) = (bytes.into(), (self.clock)());
        self.with(|inner| insert(inner, subject, bytes, at));
    }

    /// How many objects are stored.
    pub fn count(&self) -> usize {
        self.with(|inner| inner.stored.len())
    }

    /// All objects, by subject.
    pub fn all(&self) -> Vec<(String, Bytes)> {
        self.with(|inner| {
            let stored = inner.stored.iter();
            stored
                .map(|(subject, (_, bytes))| (subject.clone(), bytes.clone()))
                .collect()
        })
    }
}

fn insert(inner: &mut Inner, subject: &str, bytes: Bytes, at: Millis) {
    inner.last += 1;
    let info = ObjectInfo {
        sequence: inner.last,
        at,
        bytes: bytes.len() as u64,
    };
    inner.stored.insert(subject.to_owned(), (info, bytes));
}

/// Whether a subject matches a NATS filter.
fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in filter.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

impl Objects for MemoryObjects {
    fn exists(&self) -> BoxFuture<'_, Result<bool, Unavailable>> {
        let exists = self.with(|inner| !inner.missing);
        futures::future::ready(Ok(exists)).boxed()
    }

    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>> {
        let at = (self.clock)();
        let result = self.used(|inner| {
            if inner.stored.contains_key(subject) {
                return Err(PutError::Exists);
            }
            insert(inner, subject, bytes, at);
            Ok(())
        });
        let result = result.unwrap_or_else(|why| Err(PutError::Unavailable(why.0)));
        async move { result }.boxed()
    }

    fn get<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<(ObjectInfo, Bytes)>, Unavailable>> {
        async move {
            if let Some(resumed) = self.wait_for() {
                let _ = resumed.await;
            }
            self.used(|inner| inner.visible(subject).cloned())
        }
        .boxed()
    }

    fn info<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<ObjectInfo>, Unavailable>> {
        let found = self.used(|inner| inner.visible(subject).map(|(info, _)| *info));
        async move { found }.boxed()
    }

    fn erase_exact<'a>(
        &'a self,
        subject: &'a str,
        object: ObjectInfo,
        _erasure: Erasure,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        let found = self.used(|inner| {
            let there = inner
                .stored
                .get(subject)
                .is_some_and(|(now, _)| *now == object);
            if there {
                inner.stored.remove(subject);
            }
            there
        });
        async move { found }.boxed()
    }

    fn first_from(&self, sequence: u64) -> BoxFuture<'_, Result<Option<u64>, Unavailable>> {
        let found = self.used(move |inner| {
            let numbers = inner.stored.values().map(|(info, _)| info.sequence);
            numbers.filter(|number| *number >= sequence).min()
        });
        async move { found }.boxed()
    }

    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>> {
        let found = self.used(|inner| {
            let subjects = inner.stored.keys().filter(|_| !inner.missing);
            subjects
                .filter(|subject| matches(filter, subject))
                .cloned()
                .collect()
        });
        async move { found }.boxed()
    }
}
