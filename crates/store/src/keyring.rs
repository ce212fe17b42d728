//! The keyring: workspace keys and sealing keys, stored under the root key, and sessions.
//!
//! ```text
//! keyroll.keys.<workspace>.<epoch>      { wrapped }          a workspace's wrapping key
//! keyroll.keys._sealing.<period>        { public, wrapped }  the ledger's sealing key of one day
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use keyroll_core::command::SessionRef;
use keyroll_core::crypto::{
    Key, LedgerSession, RootContext, SealingSecret, SessionContext, SessionKeys, unwrap_root,
    wrap_root,
};
use keyroll_core::{
    Blob, Code, Digest, Epoch, LedgerId, MemberId, Millis, Rejection, WorkspaceName, cbor, limits,
};
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};

use crate::objects::{Objects, PutError};

/// Most sessions in memory. Beyond this all are dropped and derived again when used, which costs
/// one X25519 operation each.
const SESSIONS: usize = 65_536;
/// Most stored keys that the root key is tried on at start-up, until it opens one.
const ROOT_KEY_TRIALS: usize = 64;
/// How long after midnight the sessions of the last period are accepted, for requests under way.
const GRACE_MS: u64 = 60_000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    wrapped: Blob,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSealing {
    public: Digest,
    wrapped: Blob,
}

type SessionName = (WorkspaceName, MemberId, SessionRef);

/// The ledger's keys in use.
pub struct Keyring {
    root: Key,
    ledger: LedgerId,
    objects: Arc<dyn Objects>,
    workspaces: Mutex<BTreeMap<(WorkspaceName, Epoch), Key>>,
    sealing: Mutex<BTreeMap<u32, Arc<SealingSecret>>>,
    sessions: Mutex<BTreeMap<SessionName, SessionKeys>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn internal(what: impl std::fmt::Display) -> Rejection {
    Rejection::new(Code::Internal, what.to_string())
}

fn unavailable(what: impl std::fmt::Display) -> Rejection {
    Rejection::new(
        Code::AuditUnavailable,
        format!("the keys cannot be reached: {what}"),
    )
}

/// Random bytes from the operating system.
///
/// # Errors
/// [`Code::Internal`] when it has none.
pub fn random<const N: usize>() -> Result<[u8; N], Rejection> {
    let mut bytes = [0_u8; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| {
        internal(format!(
            "the operating system gave no random bytes: {error}"
        ))
    })?;
    Ok(bytes)
}

/// The sealing period of a time: days since 1970-01-01.
pub fn period_of(now: Millis) -> u32 {
    u32::try_from(now.0 / limits::SEALING_PERIOD_MS).unwrap_or(u32::MAX)
}

impl Keyring {
    /// Whether the storage exists.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn exists(&self) -> Result<bool, Rejection> {
        self.objects.exists().await.map_err(unavailable)
    }

    /// Keys under `root`, stored in `objects`.
    pub fn new(root: Key, ledger: LedgerId, objects: Arc<dyn Objects>) -> Self {
        Self {
            root,
            ledger,
            objects,
            workspaces: Mutex::default(),
            sealing: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    /// Whether the root key opens the stored keys, as far as they can be read. Under a wrong root
    /// key the ledger would make new keys that the right one does not open.
    pub async fn fits_root(&self) -> bool {
        // A key that cannot be read now says nothing about the root key.
        let subjects = self.objects.list("keyroll.keys.*.*").await;
        let mut fits = true;
        for subject in subjects.unwrap_or_default().iter().take(ROOT_KEY_TRIALS) {
            let Some((workspace, epoch)) = parse_key(subject) else {
                continue;
            };
            let Ok(Some((_, stored))) = self.objects.get(subject).await else {
                continue;
            };
            let Ok(stored) = cbor::decode::<StoredKey>(&stored) else {
                continue;
            };
            let context = RootContext::Workspace(&self.ledger, &workspace, epoch);
            fits = unwrap_root(&self.root, &stored.wrapped.0, &context).is_ok();
            if fits {
                break;
            }
        }
        fits
    }

    /// The wrapping key of a workspace's epoch. A missing key is an error: a new one in its place
    /// would hide the loss.
    ///
    /// # Errors
    /// [`Code::ValueLost`] when the key is gone, [`Code::AuditUnavailable`] when it cannot be read.
    pub async fn workspace_key(
        &self,
        workspace: &WorkspaceName,
        epoch: Epoch,
    ) -> Result<Key, Rejection> {
        let name = (workspace.clone(), epoch);
        if let Some(key) = lock(&self.workspaces).get(&name) {
            return Ok(key.clone());
        }
        let stored = self
            .objects
            .get(&key_subject(workspace, epoch))
            .await
            .map_err(unavailable)?;
        let lost = |what: &str| {
            let message = format!(
                "the wrapping key of {workspace}, epoch {epoch}, {what} KEYROLL_KEYS: \
                 restore the stream from its backup, or start a new key with `keyroll key rotate`"
            );
            Rejection::new(Code::ValueLost, message)
        };
        let stored = stored.ok_or_else(|| lost("is missing from"))?;
        let stored: StoredKey = cbor::decode(&stored.1).map_err(|_| lost("is damaged in"))?;
        let context = RootContext::Workspace(&self.ledger, workspace, epoch);
        let key = unwrap_root(&self.root, &stored.wrapped.0, &context).map_err(|error| {
            Rejection::new(
                Code::ValueLost,
                format!("{workspace}, epoch {epoch}: {error}"),
            )
        })?;
        lock(&self.workspaces).insert(name, key.clone());
        Ok(key)
    }

    /// Makes the wrapping key of a workspace's epoch, unless another replica has made it.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`] when it cannot be stored.
    pub async fn make_workspace_key(
        &self,
        workspace: &WorkspaceName,
        epoch: Epoch,
    ) -> Result<(), Rejection> {
        let key = Key::new(random()?);
        let context = RootContext::Workspace(&self.ledger, workspace, epoch);
        let wrapped = wrap_root(&self.root, &key, random()?, &context).into();
        let bytes = cbor::encode(&StoredKey { wrapped }).into();
        match self
            .objects
            .put(&key_subject(workspace, epoch), bytes)
            .await
        {
            Ok(()) | Err(PutError::Exists) => self.workspace_key(workspace, epoch).await.map(drop),
            Err(PutError::Unavailable(why)) => Err(unavailable(why)),
        }
    }

    /// Erases the wrapping keys of a workspace's epochs before `oldest`, and forgets them.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`] when they cannot be listed or erased.
    pub async fn erase_workspace_keys(
        &self,
        workspace: &WorkspaceName,
        oldest: Epoch,
    ) -> Result<usize, Rejection> {
        lock(&self.workspaces).retain(|(name, epoch), _| name != workspace || *epoch >= oldest);
        let filter = format!("keyroll.keys.{workspace}.*");
        let mut erased = 0;
        for subject in self.objects.list(&filter).await.map_err(unavailable)? {
            let epoch = subject
                .rsplit('.')
                .next()
                .and_then(|token| token.parse().ok());
            if epoch.is_some_and(|epoch| Epoch(epoch) < oldest)
                && self.objects.erase(&subject).await.map_err(unavailable)?
            {
                erased += 1;
            }
        }
        Ok(erased)
    }

    /// The public sealing key of a period. It is made when there is none yet.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`] when it cannot be read or stored.
    pub async fn sealing_key(&self, period: u32) -> Result<Digest, Rejection> {
        if let Some(secret) = self.sealing_secret(period).await? {
            return Ok(secret.public());
        }
        let key = Key::new(random()?);
        let public = SealingSecret::new(&key).map_err(internal)?.public();
        let context = RootContext::Sealing(&self.ledger, period);
        let wrapped = wrap_root(&self.root, &key, random()?, &context).into();
        let bytes = cbor::encode(&StoredSealing { public, wrapped }).into();
        match self.objects.put(&sealing_subject(period), bytes).await {
            Ok(()) | Err(PutError::Exists) => {}
            Err(PutError::Unavailable(why)) => return Err(unavailable(why)),
        }
        let stored = self.sealing_secret(period).await?;
        stored
            .map(|secret| secret.public())
            .ok_or_else(|| unavailable("the sealing key was erased meanwhile"))
    }

    /// A sealing key that is not stored, for use while the storage is down.
    ///
    /// # Errors
    /// [`Code::Internal`] without randomness.
    pub fn ephemeral_sealing_key(&self, period: u32) -> Result<Digest, Rejection> {
        let secret = SealingSecret::new(&Key::new(random()?)).map_err(internal)?;
        let public = secret.public();
        lock(&self.sealing).insert(period, Arc::new(secret));
        Ok(public)
    }

    /// Forgets all keys in memory, after the stream was replaced.
    pub fn forget(&self) {
        self.forget_workspaces();
        lock(&self.sealing).clear();
        lock(&self.sessions).clear();
    }

    /// Forgets the workspaces' keys in memory, so that they are read again.
    pub fn forget_workspaces(&self) {
        lock(&self.workspaces).clear();
    }

    async fn sealing_secret(&self, period: u32) -> Result<Option<Arc<SealingSecret>>, Rejection> {
        if let Some(secret) = lock(&self.sealing).get(&period) {
            return Ok(Some(Arc::clone(secret)));
        }
        let stored = self
            .objects
            .get(&sealing_subject(period))
            .await
            .map_err(unavailable)?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        let damaged = |what: &dyn std::fmt::Display| {
            internal(format!(
                "the sealing key of period {period} is damaged in KEYROLL_KEYS: {what}"
            ))
        };
        let stored: StoredSealing =
            cbor::decode(&stored.1).map_err(|rejection| damaged(&rejection.message))?;
        let context = RootContext::Sealing(&self.ledger, period);
        let key = unwrap_root(&self.root, &stored.wrapped.0, &context);
        let key = key.map_err(|error| damaged(&error))?;
        let secret = Arc::new(SealingSecret::new(&key).map_err(internal)?);
        if secret.public() != stored.public {
            return Err(damaged(&"it does not fit its public key"));
        }
        lock(&self.sealing).insert(period, Arc::clone(&secret));
        Ok(Some(secret))
    }

    /// The keys of a session at `now`.
    ///
    /// # Errors
    /// [`Code::SessionExpired`] when its period is over or has not begun.
    pub async fn session(
        &self,
        workspace: &WorkspaceName,
        actor: MemberId,
        session: &SessionRef,
        now: Millis,
    ) -> Result<SessionKeys, Rejection> {
        let expired = || {
            Rejection::new(
                Code::SessionExpired,
                "the session has ended: start a new one",
            )
        };
        let in_time = session.period == period_of(now)
            || session.period == period_of(Millis(now.0.saturating_sub(GRACE_MS)));
        if !in_time {
            return Err(expired());
        }
        let name = (workspace.clone(), actor, *session);
        if let Some(keys) = lock(&self.sessions).get(&name) {
            return Ok(keys.clone());
        }
        let secret = self
            .sealing_secret(session.period)
            .await?
            .ok_or_else(expired)?;
        let context = SessionContext {
            ledger: &self.ledger,
            workspace,
            actor,
        };
        let keys = LedgerSession::accept(&secret, &session.enc, &context)
            .map_err(|error| Rejection::new(Code::InvalidField, error.to_string()))?;
        let mut sessions = lock(&self.sessions);
        if sessions.len() >= SESSIONS {
            sessions.clear();
        }
        sessions.insert(name, keys.clone());
        Ok(keys)
    }

    /// Erases sealing keys whose period is over, and forgets their sessions.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`] when they cannot be listed or erased.
    pub async fn erase_past_sealing_keys(&self, now: Millis) -> Result<usize, Rejection> {
        let oldest = period_of(Millis(now.0.saturating_sub(GRACE_MS)));
        lock(&self.sealing).retain(|period, _| *period >= oldest);
        lock(&self.sessions).retain(|(_, _, session), _| session.period >= oldest);
        let mut erased = 0;
        for subject in self
            .objects
            .list("keyroll.keys._sealing.>")
            .await
            .map_err(unavailable)?
        {
            let period = subject
                .rsplit('.')
                .next()
                .and_then(|token| token.parse::<u32>().ok());
            if period.is_some_and(|period| period < oldest)
                && self.objects.erase(&subject).await.map_err(unavailable)?
            {
                erased += 1;
            }
        }
        Ok(erased)
    }
}

fn key_subject(workspace: &WorkspaceName, epoch: Epoch) -> String {
    format!("keyroll.keys.{workspace}.{epoch}")
}

/// The workspace and epoch of a wrapping key's subject.
fn parse_key(subject: &str) -> Option<(WorkspaceName, Epoch)> {
    let mut tokens = subject.split('.').skip(2);
    let workspace = tokens.next()?.parse().ok()?;
    Some((workspace, Epoch(tokens.next()?.parse().ok()?)))
}

fn sealing_subject(period: u32) -> String {
    format!("keyroll.keys._sealing.{period}")
}

#[cfg(test)]
mod tests;
