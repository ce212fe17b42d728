//! Who is signed in. Sessions and one-time links live in memory only, under the hash of what the
//! browser holds: whoever reads the memory of names learns no way in.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyroll_client::Client;
use keyroll_client::{ClientError, random};
use keyroll_core::{Digest, Millis, WorkspaceName};

use crate::secrets::Listing;

/// Sessions and links at a time: more people than one console serves.
const MOST: usize = 1_000;
/// Sessions and links of one person, so that nobody ends those of others by asking for more.
const PER_PERSON: usize = 16;
/// Words that wait for a session's next page: what an act came to, and what to know of it.
const SAID: usize = 8;
/// How long a one-time link is good.
pub(crate) const LINK_MS: u64 = 60_000;
/// How long a session on somebody's own console lasts: a working day.
pub(crate) const SESSION_MS: u64 = 12 * 60 * 60 * 1_000;

/// What a one-time link opens.
#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) client: Client,
    /// The only workspace of a delegated session.
    pub(crate) only: Option<WorkspaceName>,
    /// When the session ends.
    pub(crate) until: Millis,
    /// Whether the link was ever visited in a way that another page may have caused. Then it asks
    /// before it opens, however it is visited next.
    doubtful: Arc<AtomicBool>,
}

impl Ticket {
    pub(crate) fn new(client: Client, only: Option<WorkspaceName>, until: Millis) -> Self {
        Self {
            client,
            only,
            until,
            doubtful: Arc::default(),
        }
    }

    pub(crate) fn doubt(&self) {
        self.doubtful.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
    }
}

/// Words for a page.
pub(crate) struct Said {
    pub(crate) words: String,
    pub(crate) warning: bool,
}

/// Somebody who is signed in.
pub(crate) struct Session {
    pub(crate) key: Digest,
    pub(crate) client: Client,
    pub(crate) only: Option<WorkspaceName>,
    pub(crate) until: Millis,
    /// For the next page, the last [`SAID`] of them.
    said: Mutex<VecDeque<Said>>,
    /// What was listed last, and where: the page behind a dialog.
    list: Mutex<Option<(WorkspaceName, Listing)>>,
}

impl Session {
    /// Keeps words for the next page.
    pub(crate) fn say(&self, words: String) {
        self.keep(Said {
            words,
            warning: false,
        });
    }

    /// Keeps a warning for the next page.
    pub(crate) fn warn(&self, words: String) {
        self.keep(Said {
            words,
            warning: true,
        });
    }

    fn keep(&self, words: Said) {
        let mut said = lock(&self.said);
        said.push_back(words);
        if said.len() > SAID {
            said.pop_front();
        }
    }

    /// Takes the words kept for this page.
    pub(crate) fn said(&self) -> Vec<Said> {
        lock(&self.said).drain(..).collect()
    }

    /// Keeps what was listed.
    pub(crate) fn listed(&self, workspace: &WorkspaceName, listing: Listing) {
        *lock(&self.list) = Some((workspace.clone(), listing));
    }

    /// What was listed last in a workspace.
    pub(crate) fn listing(&self, workspace: &WorkspaceName) -> Listing {
        let list = lock(&self.list);
        let here = list.as_ref().filter(|(of, _)| of == workspace);
        here.map_or_else(Listing::default, |(_, listing)| listing.clone())
    }

    /// Whether another identity's key signs for it.
    pub(crate) fn delegated(&self) -> bool {
        self.client.signer().delegation().is_some()
    }
}

/// A bounded map of what ends by itself.
pub(crate) struct Ending<K, V>(Mutex<HashMap<K, (Millis, V)>>);

impl<K: Eq + Hash + Clone, V> Default for Ending<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Eq + Hash + Clone, V> Ending<K, V> {
    /// Keeps a thing until a moment. When there are too many like it, or too many at all, the one
    /// of them that ends first goes.
    pub(crate) fn keep(
        &self,
        key: K,
        until: Millis,
        value: V,
        now: Millis,
        like: impl Fn(&V) -> bool,
    ) {
        put(&mut lock(&self.0), key, (until, value), now, like);
    }

    /// Keeps a thing unless it is there. Whether it was not.
    pub(crate) fn keep_first(&self, key: K, until: Millis, value: V, now: Millis) -> bool {
        let mut all = lock(&self.0);
        let is_new = all.get(&key).is_none_or(|(until, _)| *until <= now);
        if is_new {
            put(&mut all, key, (until, value), now, |_| false);
        }
        is_new
    }

    /// Whether a thing is there.
    pub(crate) fn holds(&self, key: &K, now: Millis) -> bool {
        let all = lock(&self.0);
        all.get(key).is_some_and(|(until, _)| now < *until)
    }

    /// Takes a thing out, once.
    pub(crate) fn take(&self, key: &K, now: Millis) -> Option<V> {
        let (until, value) = lock(&self.0).remove(key)?;
        (now < until).then_some(value)
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Ending<K, V> {
    fn get(&self, key: &K, now: Millis) -> Option<V> {
        let mut all = lock(&self.0);
        let (until, value) = all.get(key)?;
        if now < *until {
            return Some(value.clone());
        }
        all.remove(key);
        None
    }
}

/// See [`Ending::keep`].
fn put<K: Eq + Hash + Clone, V>(
    all: &mut HashMap<K, (Millis, V)>,
    key: K,
    value: (Millis, V),
    now: Millis,
    like: impl Fn(&V) -> bool,
) {
    all.retain(|_, (until, _)| now < *until);
    let alike = |(_, (_, value)): &(&K, &(Millis, V))| like(value);
    let own = all.iter().filter(alike).count();
    if own >= PER_PERSON || all.len() >= MOST {
        let first = all
            .iter()
            .filter(|one| own < PER_PERSON || alike(one))
            .min_by_key(|(_, (until, _))| *until);
        if let Some(first) = first.map(|(key, _)| key.clone()) {
            all.remove(&first);
        }
    }
    all.insert(key, value);
}

/// All sessions and links.
#[derive(Default)]
pub(crate) struct Sessions {
    links: Ending<Digest, Ticket>,
    open: Ending<Digest, Arc<Session>>,
}

impl Sessions {
    /// A one-time token for a link.
    pub(crate) fn link(&self, ticket: Ticket, now: Millis) -> Result<String, ClientError> {
        let (token, digest) = token()?;
        let until = Millis(now.0.saturating_add(LINK_MS));
        let who = ticket.client.identity();
        let same = |other: &Ticket| other.client.identity() == who;
        self.links.keep(digest, until, ticket, now, same);
        Ok(token)
    }

    /// What a link's token opens, without spending it.
    pub(crate) fn offer(&self, link: &str, now: Millis) -> Option<Ticket> {
        self.links.get(&Digest::of(link.as_bytes()), now)
    }

    /// Spends a link's token for a session's.
    pub(crate) fn open(
        &self,
        link: &str,
        now: Millis,
    ) -> Result<Option<(String, Arc<Session>)>, ClientError> {
        let Some(ticket) = self.links.take(&Digest::of(link.as_bytes()), now) else {
            return Ok(None);
        };
        let (token, key) = token()?;
        let session = Arc::new(Session {
            key,
            client: ticket.client,
            only: ticket.only,
            until: ticket.until,
            said: Mutex::default(),
            list: Mutex::new(None),
        });
        let who = session.client.identity();
        let same = |other: &Arc<Session>| other.client.identity() == who;
        self.open
            .keep(key, ticket.until, Arc::clone(&session), now, same);
        Ok(Some((token, session)))
    }

    /// The session of a request.
    pub(crate) fn of(
        &self,
        headers: &HeaderMap,
        cookie: &str,
        now: Millis,
    ) -> Option<Arc<Session>> {
        let token = headers.get_all(COOKIE).iter().find_map(|header| {
            let pairs = header.to_str().ok()?.split(';');
            pairs
                .filter_map(|pair| pair.trim().split_once('='))
                .find_map(|(name, token)| (name == cookie).then_some(token))
        })?;
        self.open.get(&Digest::of(token.as_bytes()), now)
    }

    /// Ends a session.
    pub(crate) fn end(&self, session: &Session, now: Millis) {
        self.open.take(&session.key, now);
    }
}

/// 256 random bits for a link or cookie, and the hash under which they are known.
pub(crate) fn token() -> Result<(String, Digest), ClientError> {
    let token = URL_SAFE_NO_PAD.encode(random::<32>()?);
    let digest = Digest::of(token.as_bytes());
    Ok((token, digest))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_is_gone_at_its_moment_and_is_taken_once() {
        let kept = Ending::<u8, &str>::default();
        kept.keep(1, Millis(60), "a", Millis(0), |_| false);
        assert_eq!(kept.get(&1, Millis(59)), Some("a"));
        assert_eq!(kept.take(&1, Millis(59)), Some("a"));
        assert_eq!(kept.take(&1, Millis(59)), None);
        kept.keep(2, Millis(60), "b", Millis(0), |_| false);
        assert_eq!(kept.get(&2, Millis(60)), None);
        kept.keep(3, Millis(60), "c", Millis(0), |_| false);
        assert_eq!(kept.take(&3, Millis(60)), None);
    }

    #[test]
    fn there_are_never_more_than_the_bound() {
        let kept = Ending::<usize, ()>::default();
        for key in 0..MOST + 5 {
            kept.keep(key, Millis(1_000 + key as u64), (), Millis(0), |()| false);
        }
        assert_eq!(lock(&kept.0).len(), MOST);
        assert!(kept.get(&4, Millis(0)).is_none() && kept.get(&5, Millis(0)).is_some());
    }

    #[test]
    fn nobody_pushes_others_out() {
        let kept = Ending::<usize, &str>::default();
        kept.keep(0, Millis(1), "other", Millis(0), |kept| *kept == "other");
        for key in 1..=3 * PER_PERSON {
            let until = Millis(1_000 + key as u64);
            kept.keep(key, until, "flood", Millis(0), |kept| *kept == "flood");
        }
        assert_eq!(lock(&kept.0).len(), PER_PERSON + 1);
        assert_eq!(kept.get(&0, Millis(0)), Some("other"));
        assert_eq!(kept.get(&(2 * PER_PERSON), Millis(0)), None);
        assert_eq!(kept.get(&(2 * PER_PERSON + 1), Millis(0)), Some("flood"));
    }
}
