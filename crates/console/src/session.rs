//! Browser sessions and one-time links. They live in memory only, each under the hash of the token
//! that the browser holds, so a copy of these maps signs nobody in.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyroll_client::Client;
use keyroll_client::{ClientError, random};
use keyroll_core::{Digest, Millis, WorkspaceName};

use crate::expiring_map::ExpiringMap;
use crate::listing::Listing;

/// Flash messages that wait for a session's next page.
const MAX_FLASHES: usize = 8;
/// How long a one-time link is valid.
pub(crate) const LINK_MS: u64 = 60_000;
/// How long a session lasts at most: a working day.
pub const SESSION_MS: u64 = 8 * 60 * 60 * 1_000;
/// How long a session lasts of which nobody uses a page.
pub(crate) const IDLE_MS: u64 = 30 * 60 * 1_000;

/// The session that a one-time link opens.
#[derive(Clone)]
pub(crate) struct PendingSession {
    pub(crate) client: Client,
    /// The workspace to open first.
    pub(crate) first: Option<WorkspaceName>,
    /// When the session ends.
    pub(crate) until: Millis,
    /// Whether another page may once have led to the link. It then asks for confirmation, however
    /// it is opened next.
    ask_first: Arc<AtomicBool>,
}

impl PendingSession {
    pub(crate) fn new(client: Client, first: Option<WorkspaceName>, until: Millis) -> Self {
        Self {
            client,
            first,
            until,
            ask_first: Arc::default(),
        }
    }

    pub(crate) fn require_confirmation(&self) {
        self.ask_first.store(true, Ordering::Relaxed);
    }

    pub(crate) fn needs_confirmation(&self) -> bool {
        self.ask_first.load(Ordering::Relaxed)
    }
}

/// A message that the next page shows once.
pub(crate) struct Flash {
    pub(crate) message: String,
    pub(crate) warning: bool,
}

/// When a person last used a session.
struct LastUse(AtomicU64);

impl LastUse {
    fn touch(&self, now: Millis) {
        self.0.fetch_max(now.0, Ordering::Relaxed);
    }

    fn is_idle(&self, now: Millis) -> bool {
        now.0.saturating_sub(self.0.load(Ordering::Relaxed)) >= IDLE_MS
    }
}

/// A browser session.
pub(crate) struct Session {
    pub(crate) key: Digest,
    pub(crate) client: Client,
    pub(crate) first: Option<WorkspaceName>,
    pub(crate) until: Millis,
    use_of: LastUse,
    /// For the next page, the last [`MAX_FLASHES`] of them.
    flashes: Mutex<VecDeque<Flash>>,
    /// The last list and its workspace: the page behind a dialog.
    list: Mutex<Option<(WorkspaceName, Listing)>>,
}

impl Session {
    /// Shows a message on the next page.
    pub(crate) fn flash(&self, message: String) {
        self.push(Flash {
            message,
            warning: false,
        });
    }

    /// Shows a warning on the next page.
    pub(crate) fn warn(&self, message: String) {
        self.push(Flash {
            message,
            warning: true,
        });
    }

    fn push(&self, flash: Flash) {
        let mut flashes = lock(&self.flashes);
        flashes.push_back(flash);
        if flashes.len() > MAX_FLASHES {
            flashes.pop_front();
        }
    }

    /// Removes and returns the messages for this page.
    pub(crate) fn take_flashes(&self) -> Vec<Flash> {
        lock(&self.flashes).drain(..).collect()
    }

    /// Remembers a list.
    pub(crate) fn set_listing(&self, workspace: &WorkspaceName, listing: Listing) {
        *lock(&self.list) = Some((workspace.clone(), listing));
    }

    /// The last list in a workspace.
    pub(crate) fn listing(&self, workspace: &WorkspaceName) -> Listing {
        let list = lock(&self.list);
        let here = list.as_ref().filter(|(of, _)| of == workspace);
        here.map_or_else(Listing::default, |(_, listing)| listing.clone())
    }

    /// Notes that a person uses it. What a page asks for by itself is no use.
    pub(crate) fn touch(&self, now: Millis) {
        self.use_of.touch(now);
    }

    fn is_idle(&self, now: Millis) -> bool {
        self.use_of.is_idle(now)
    }

    /// Whether the key of a sign-in signs for it, not the member's own.
    pub(crate) fn signed_in(&self) -> bool {
        self.client.signer().consent().is_some()
    }
}

/// All sessions and links.
#[derive(Default)]
pub(crate) struct Sessions {
    links: ExpiringMap<Digest, PendingSession>,
    open: ExpiringMap<Digest, Arc<Session>>,
    /// The clients of links and sessions that made room for others.
    evicted: Mutex<Vec<Client>>,
}

impl Sessions {
    /// Makes a one-time token for a link.
    pub(crate) fn link(&self, pending: PendingSession, now: Millis) -> Result<String, ClientError> {
        let (token, digest) = token()?;
        let until = Millis(now.0.saturating_add(LINK_MS));
        let identity = pending.client.member();
        let same = |other: &PendingSession| other.client.member() == identity;
        let evicted = self.links.insert(digest, until, pending, now, same);
        lock(&self.evicted).extend(evicted.into_iter().map(|link| link.client));
        Ok(token)
    }

    /// The session that a link's token would open. The token stays valid.
    pub(crate) fn peek(&self, link: &str, now: Millis) -> Option<PendingSession> {
        self.links.get(&Digest::of(link.as_bytes()), now)
    }

    /// Exchanges a link's token for a session and its token.
    pub(crate) fn open(
        &self,
        link: &str,
        now: Millis,
    ) -> Result<Option<(String, Arc<Session>)>, ClientError> {
        let Some(pending) = self.links.remove(&Digest::of(link.as_bytes()), now) else {
            return Ok(None);
        };
        let (token, key) = token()?;
        let session = Arc::new(Session {
            key,
            client: pending.client,
            first: pending.first,
            until: pending.until,
            use_of: LastUse(AtomicU64::new(now.0)),
            flashes: Mutex::default(),
            list: Mutex::new(None),
        });
        let identity = session.client.member();
        let same = |other: &Arc<Session>| other.client.member() == identity;
        let evicted = self
            .open
            .insert(key, pending.until, Arc::clone(&session), now, same);
        lock(&self.evicted).extend(evicted.into_iter().map(|one| one.client.clone()));
        Ok(Some((token, session)))
    }

    /// The session whose cookie a request carries.
    pub(crate) fn find(
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
        let found = self.open.get(&Digest::of(token.as_bytes()), now);
        found.filter(|session| !session.is_idle(now))
    }

    /// The clients of links and sessions that have ended otherwise than by signing out, each once.
    pub(crate) fn take_ended(&self, now: Millis) -> Vec<Client> {
        let mut ended = std::mem::take(&mut *lock(&self.evicted));
        let links = self.links.take_over(now, |_| false).into_iter();
        ended.extend(links.map(|link| link.client));
        let idle = |session: &Arc<Session>| session.is_idle(now);
        let sessions = self.open.take_over(now, idle).into_iter();
        ended.extend(sessions.map(|session| session.client.clone()));
        ended
    }

    /// Ends a session.
    pub(crate) fn end(&self, session: &Session, now: Millis) {
        self.open.remove(&session.key, now);
    }
}

/// 256 random bits for a link, a cookie or an address, and the hash that the console keeps of them.
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
    fn a_session_that_nobody_uses_for_half_an_hour_has_ended() {
        let used = LastUse(AtomicU64::new(1_000));
        assert!(!used.is_idle(Millis(1_000 + IDLE_MS - 1)));
        assert!(used.is_idle(Millis(1_000 + IDLE_MS)));
        used.touch(Millis(1_000 + IDLE_MS - 1));
        // A clock that steps back takes nothing away.
        used.touch(Millis(1));
        assert!(!used.is_idle(Millis(1_000 + IDLE_MS)));
        assert!(used.is_idle(Millis(1_000 + 2 * IDLE_MS)));
    }
}
