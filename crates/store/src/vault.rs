//! The vault: sealed values with their wrapped data keys, each at a place of its own, written
//! once. It never sees a value.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use keyroll_core::command::StoredAt;
use keyroll_core::crypto::{Key, WrapContext, check_sealed, unwrap_key, wrap_key};
use keyroll_core::{
    Blob, Code, Digest, Epoch, Millis, ObjectId, Rejection, WorkspaceName, cbor, limits,
};
use serde::{Deserialize, Serialize};

use crate::keyring::random;
use crate::objects::{Held, Objects, PutError};

/// Messages read or written at once for one command.
pub const AT_ONCE: usize = 64;

mod cache;

use cache::Cache;

/// A message of the vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// The data key under the workspace's key.
    key: Blob,
    /// The sealed value.
    sealed: Blob,
}

/// Where sealed values live.
pub struct Vault {
    objects: Arc<dyn Objects>,
    cache: Mutex<Cache>,
}

/// A value out of the vault: still sealed, its data key unwrapped.
pub struct Found {
    /// The sealed value.
    pub sealed: Blob,
    /// Its data key.
    pub data_key: Key,
}

/// The subject of a place under a generation.
pub fn subject(workspace: &WorkspaceName, place: &ObjectId, epoch: Epoch) -> String {
    format!("keyroll.vault.{workspace}.{place}.{epoch}")
}

/// A place and generation out of a subject of a workspace, if it is written as ours are: one that
/// only means the same is another subject, and what lies there is not ours.
fn parse(workspace: &WorkspaceName, found: &str) -> Option<StoredAt> {
    let mut tokens = found.split('.').skip(3);
    let (place, epoch) = (tokens.next()?, tokens.next()?);
    let (place, epoch) = (place.parse().ok()?, Epoch(epoch.parse().ok()?));
    (subject(workspace, &place, epoch) == found).then_some(StoredAt { epoch, place })
}

fn open(bytes: &[u8], workspace_key: &Key, context: &WrapContext<'_>) -> Result<Found, Rejection> {
    let stored: Stored =
        cbor::decode(bytes).map_err(|_| lost(context, "the vault's message is damaged"))?;
    if Digest::of(&stored.sealed.0) != context.digest {
        return Err(lost(
            context,
            "the vault's message is not what the log says",
        ));
    }
    let data_key = unwrap_key(workspace_key, &stored.key.0, context)
        .map_err(|error| lost(context, &error.to_string()))?;
    Ok(Found {
        sealed: stored.sealed,
        data_key,
    })
}

fn unavailable(what: impl std::fmt::Display) -> Rejection {
    Rejection::new(
        Code::AuditUnavailable,
        format!("the vault cannot be reached: {what}"),
    )
}

fn lost(context: &WrapContext<'_>, why: &str) -> Rejection {
    let message = format!(
        "version {} of secret {}: {why}",
        context.version, context.secret
    );
    Rejection::new(Code::ValueLost, message)
}

impl Vault {
    /// A vault in `objects`.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            cache: Mutex::default(),
        }
    }

    /// Stores a sealed value with its data key, durably. The place belongs to one command: what
    /// lies there already must be the same sealed value.
    ///
    /// # Errors
    /// [`Code::InvalidField`] when the sealed bytes are not made with this data key,
    /// [`Code::Conflict`] when something else lies there, [`Code::AuditUnavailable`].
    pub async fn store(
        &self,
        place: &ObjectId,
        sealed: &Blob,
        data_key: &Key,
        workspace_key: &Key,
        context: &WrapContext<'_>,
        now: Millis,
    ) -> Result<(), Rejection> {
        check_sealed(&sealed.0, &context.digest, data_key)
            .map_err(|error| Rejection::new(Code::InvalidField, error.to_string()))?;
        let key = wrap_key(workspace_key, data_key, random()?, context).into();
        let bytes = Bytes::from(cbor::encode(&Stored {
            key,
            sealed: sealed.clone(),
        }));
        let subject = subject(context.workspace, place, context.epoch);
        match self.objects.put(&subject, bytes).await {
            Ok(()) => Ok(()),
            Err(PutError::Unavailable(why)) => Err(unavailable(why)),
            // The same command again: its value is there.
            Err(PutError::Exists) => match self
                .stored_before(place, &subject, context, workspace_key, now)
                .await
            {
                Ok(found) if found.data_key.bytes() == data_key.bytes() => Ok(()),
                Ok(_) => Err(Rejection::new(
                    Code::Conflict,
                    "another value lies at this command's place",
                )),
                Err(rejection) => Err(rejection),
            },
        }
    }

    /// What the same command stored before. Not for long: what lies there without an entry is
    /// swept, and a command that then still refers to it would lose its value.
    async fn stored_before(
        &self,
        place: &ObjectId,
        subject: &str,
        context: &WrapContext<'_>,
        workspace_key: &Key,
        now: Millis,
    ) -> Result<Found, Rejection> {
        let held = self.objects.held(subject).await.map_err(unavailable)?;
        let age = held.map_or(0, |held| now.0.saturating_sub(held.at.0));
        if age > limits::STORED_AGAIN_MS {
            let message =
                "the value was stored too long ago: send it again under a fresh command id";
            return Err(Rejection::new(Code::Conflict, message));
        }
        let found = self.find(place, workspace_key, context).await;
        // What came first there may still be on its way.
        found.map_err(|rejection| unavailable(rejection.message))
    }

    /// Finds a sealed value and unwraps its data key, after the check of its digest. Only of what
    /// the store itself has just given is it ever said that the value is lost.
    ///
    /// # Errors
    /// [`Code::ValueLost`] when it is missing or damaged, [`Code::AuditUnavailable`].
    pub async fn find(
        &self,
        place: &ObjectId,
        workspace_key: &Key,
        context: &WrapContext<'_>,
    ) -> Result<Found, Rejection> {
        let name = (*place, context.epoch);
        let kept = self.lock().get(&name);
        if let Some(bytes) = kept
            && let Ok(found) = open(&bytes, workspace_key, context)
        {
            return Ok(found);
        }
        let forgotten = self.lock().remove(&name);
        let read = self.read_stored(context.workspace, name).await?;
        let (_, bytes) = read.ok_or_else(|| lost(context, "it is missing from the vault"))?;
        let found = open(&bytes, workspace_key, context)?;
        self.lock().keep(name, bytes, forgotten);
        Ok(found)
    }

    /// As [`Vault::find`], from the store itself, with the message that it is; `None` when nothing is
    /// there.
    ///
    /// # Errors
    /// [`Code::ValueLost`] when it is damaged, [`Code::AuditUnavailable`].
    pub async fn read(
        &self,
        place: &ObjectId,
        workspace_key: &Key,
        context: &WrapContext<'_>,
    ) -> Result<Option<(Held, Found)>, Rejection> {
        let name = (*place, context.epoch);
        let stored = self.read_stored(context.workspace, name).await?;
        let Some((held, bytes)) = stored else {
            return Ok(None);
        };
        Ok(Some((held, open(&bytes, workspace_key, context)?)))
    }

    /// Puts a found value at its place under another generation's key. What is there already stays.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn copy(
        &self,
        place: &ObjectId,
        found: &Found,
        workspace_key: &Key,
        context: &WrapContext<'_>,
    ) -> Result<(), Rejection> {
        let key = wrap_key(workspace_key, &found.data_key, random()?, context).into();
        let sealed = found.sealed.clone();
        let bytes = Bytes::from(cbor::encode(&Stored { key, sealed }));
        let subject = subject(context.workspace, place, context.epoch);
        match self.objects.put(&subject, bytes).await {
            Ok(()) | Err(PutError::Exists) => Ok(()),
            Err(PutError::Unavailable(why)) => Err(unavailable(why)),
        }
    }

    /// Whether there is a vault at all.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn is_there(&self) -> Result<bool, Rejection> {
        self.objects.is_there().await.map_err(unavailable)
    }

    /// Everything that lies in the vault of a workspace: at one place, of one generation, or all.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn list(
        &self,
        workspace: &WorkspaceName,
        place: Option<&ObjectId>,
        epoch: Option<Epoch>,
    ) -> Result<Vec<StoredAt>, Rejection> {
        let place = place.map_or_else(|| "*".to_owned(), ToString::to_string);
        let epoch = epoch.map_or_else(|| "*".to_owned(), |epoch| epoch.to_string());
        let filter = format!("keyroll.vault.{workspace}.{place}.{epoch}");
        let subjects = self.objects.list(&filter).await.map_err(unavailable)?;
        Ok(subjects
            .iter()
            .filter_map(|subject| parse(workspace, subject))
            .collect())
    }

    /// Erases what lies at a place under a generation, its bytes on disk included.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn erase(&self, workspace: &WorkspaceName, at: StoredAt) -> Result<bool, Rejection> {
        let subject = subject(workspace, &at.place, at.epoch);
        self.objects.erase(&subject).await.map_err(unavailable)
    }

    /// Which message lies at a place, and since when.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn held(
        &self,
        workspace: &WorkspaceName,
        at: StoredAt,
    ) -> Result<Option<Held>, Rejection> {
        let subject = subject(workspace, &at.place, at.epoch);
        self.objects.held(&subject).await.map_err(unavailable)
    }

    /// Erases this very message, nothing that came to its place since.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn erase_held(
        &self,
        workspace: &WorkspaceName,
        at: StoredAt,
        held: Held,
    ) -> Result<bool, Rejection> {
        let subject = subject(workspace, &at.place, at.epoch);
        let erased = self.objects.erase_held(&subject, held).await;
        erased.map_err(unavailable)
    }

    /// As [`Vault::erase_held`], see [`Objects::remove_held`].
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn remove_held(
        &self,
        workspace: &WorkspaceName,
        at: StoredAt,
        held: Held,
    ) -> Result<bool, Rejection> {
        let subject = subject(workspace, &at.place, at.epoch);
        let removed = self.objects.remove_held(&subject, held).await;
        removed.map_err(unavailable)
    }

    /// See [`Objects::first_from`].
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn first_from(&self, sequence: u64) -> Result<Option<u64>, Rejection> {
        self.objects.first_from(sequence).await.map_err(unavailable)
    }

    /// Stores bytes that mean nothing at a place that nothing refers to.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn fill(
        &self,
        workspace: &WorkspaceName,
        epoch: Epoch,
        bytes: Vec<u8>,
    ) -> Result<(), Rejection> {
        let subject = subject(workspace, &ObjectId(random()?), epoch);
        match self.objects.put(&subject, bytes.into()).await {
            Ok(()) | Err(PutError::Exists) => Ok(()),
            Err(PutError::Unavailable(why)) => Err(unavailable(why)),
        }
    }

    /// Whether a value is in the vault itself, as the log says, and its data key can be unwrapped.
    ///
    /// # Errors
    /// [`Code::ValueLost`] when it is missing or damaged, [`Code::AuditUnavailable`].
    pub async fn check(
        &self,
        place: &ObjectId,
        workspace_key: &Key,
        context: &WrapContext<'_>,
    ) -> Result<(), Rejection> {
        let found = self.read(place, workspace_key, context).await?;
        found
            .map(drop)
            .ok_or_else(|| lost(context, "it is missing from the vault"))
    }

    /// What is stored of a workspace: each subject, and the place it names.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn stored(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<Vec<(String, ObjectId)>, Rejection> {
        let stored = self.list(workspace, None, None).await?;
        let named = |at: StoredAt| (subject(workspace, &at.place, at.epoch), at.place);
        Ok(stored.into_iter().map(named).collect())
    }

    /// Erases what is stored under a subject. Whether there was any.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn erase_at(&self, subject: &str) -> Result<bool, Rejection> {
        let erased = self.objects.erase(subject).await.map_err(unavailable);
        // No copy outlives it.
        self.forget();
        erased
    }

    /// Forgets what it keeps in memory, and what is on its way there.
    pub fn forget(&self) {
        self.lock().forget();
    }

    /// Starts to read what lies there into memory, sealed as it is, as far as it is not there yet.
    /// What cannot be read is looked for again by who needs it.
    pub fn read_ahead(
        self: &Arc<Self>,
        workspace: &WorkspaceName,
        places: impl Iterator<Item = (ObjectId, Epoch)>,
    ) {
        let (lacking, forgotten) = {
            let cache = self.lock();
            let lacking = places.filter(|name| cache.get(name).is_none());
            (lacking.collect::<BTreeSet<_>>(), cache.forgotten())
        };
        if lacking.is_empty() {
            return;
        }
        let (vault, workspace) = (Arc::clone(self), workspace.clone());
        tokio::spawn(async move {
            let all = futures::stream::iter(lacking);
            let read = async |name| match vault.read_stored(&workspace, name).await {
                Ok(Some((_, bytes))) => vault.lock().keep(name, bytes, forgotten),
                Ok(None) => {}
                Err(problem) => tracing::debug!(%problem, "a value was not read ahead"),
            };
            all.for_each_concurrent(AT_ONCE, read).await;
        });
    }

    async fn read_stored(
        &self,
        workspace: &WorkspaceName,
        (place, epoch): (ObjectId, Epoch),
    ) -> Result<Option<(Held, Bytes)>, Rejection> {
        let subject = subject(workspace, &place, epoch);
        self.objects.get(&subject).await.map_err(unavailable)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
