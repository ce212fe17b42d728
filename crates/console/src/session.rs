//! Browser sessions and one-time links. They live in memory only, each under the hash of the token
//! that the browser holds, so a copy of these maps signs nobody in.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
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
/// How long a session on somebody's own console lasts: a working day.
pub(crate) const SESSION_MS: u64 = 12 * 60 * 60 * 1_000;

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

/// A browser session.
pub(crate) struct Session {
    pub(crate) key: Digest,
    pub(crate) client: Client,
    pub(crate) first: Option<WorkspaceName>,
    pub(crate) until: Millis,
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
}

impl Sessions {
    /// Makes a one-time token for a link.
    pub(crate) fn link(&self, pending: PendingSession, now: Millis) -> Result<String, ClientError> {
        let (token, digest) = token()?;
        let until = Millis(now.0.saturating_add(LINK_MS));
        let identity = pending.client.member();
        let same = |other: &PendingSession| other.client.member() == identity;
        self.links.insert(digest, until, pending, now, same);
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
            flashes: Mutex::default(),
            list: Mutex::new(None),
        });
        let identity = session.client.member();
        let same = |other: &Arc<Session>| other.client.member() == identity;
        self.open
            .insert(key, pending.until, Arc::clone(&session), now, same);
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
        self.open.get(&Digest::of(token.as_bytes()), now)
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
