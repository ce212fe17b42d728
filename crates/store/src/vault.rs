//! The vault: sealed values with their wrapped data keys, each an object that is written once. The
//! vault never sees a plaintext.

mod cache;
mod erase;
mod record;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use keyroll_core::crypto::{Key, WrapContext, check_sealed};
use keyroll_core::{Blob, Code, Epoch, Millis, ObjectId, Rejection, WorkspaceName, limits};

use crate::keyring::random;
use crate::objects::{ObjectInfo, Objects, PutError};

use cache::Cache;
use record::{encode, missing, open};

pub use record::{StoredValue, subject};

/// Requests to the store that are in flight at once for one command.
pub const CONCURRENT_REQUESTS: usize = 64;

/// Stores and finds sealed values.
pub struct Vault {
    objects: Arc<dyn Objects>,
    cache: Mutex<Cache>,
}

fn unavailable(why: impl std::fmt::Display) -> Rejection {
    Rejection::new(
        Code::AuditUnavailable,
        format!("the vault cannot be reached: {why}"),
    )
}

/// The result of a write that also succeeds when the object exists already.
fn stored(result: Result<(), PutError>) -> Result<(), Rejection> {
    match result {
        Ok(()) | Err(PutError::Exists) => Ok(()),
        Err(PutError::Unavailable(why)) => Err(unavailable(why)),
    }
}

impl Vault {
    /// A vault in `objects`.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            cache: Mutex::default(),
        }
    }

    /// Whether the storage exists.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn exists(&self) -> Result<bool, Rejection> {
        self.objects.exists().await.map_err(unavailable)
    }

    /// Stores a sealed value with its data key, durably. The object's id belongs to one command, so
    /// an object that is there already must hold the same sealed value.
    ///
    /// # Errors
    /// [`Code::InvalidField`] when the sealed bytes are not made with this data key,
    /// [`Code::Conflict`] when the object holds another value, [`Code::AuditUnavailable`].
    pub async fn store(
        &self,
        object: &ObjectId,
        sealed: &Blob,
        data_key: &Key,
        workspace_key: &Key,
        context: &WrapContext<'_>,
        now: Millis,
    ) -> Result<(), Rejection> {
        check_sealed(&sealed.0, &context.digest, data_key)
            .map_err(|error| Rejection::new(Code::InvalidField, error.to_string()))?;
        let bytes = encode(sealed, data_key, workspace_key, context)?;
        let subject = subject(context.workspace, object, context.epoch);
        match self.objects.put(&subject, bytes).await {
            Ok(()) => Ok(()),
            Err(PutError::Unavailable(why)) => Err(unavailable(why)),
            // The same command was sent before and stored its value.
            Err(PutError::Exists) => {
                let value = self.stored_before(object, &subject, context, workspace_key, now);
                if value.await?.data_key.bytes() == data_key.bytes() {
                    return Ok(());
                }
                let message = "the object of this command holds another value";
                Err(Rejection::new(Code::Conflict, message))
            }
        }
    }

    /// The value that the same command stored before. It serves only for a short time: an object
    /// without an entry is swept, and a command that refers to it after that would lose its value.
    async fn stored_before(
        &self,
        object: &ObjectId,
        subject: &str,
        context: &WrapContext<'_>,
        workspace_key: &Key,
        now: Millis,
    ) -> Result<StoredValue, Rejection> {
        let info = self.objects.info(subject).await.map_err(unavailable)?;
        let age = info.map_or(0, |info| now.0.saturating_sub(info.at.0));
        if age > limits::STORED_AGAIN_MS {
            let message =
                "the value was stored too long ago: send it again under a fresh command id";
            return Err(Rejection::new(Code::Conflict, message));
        }
        let value = self.find(object, workspace_key, context).await;
        // The earlier write may still be under way, so this does not report a lost value.
        value.map_err(|rejection| unavailable(rejection.message))
    }

    /// Finds a sealed value, checks its digest and unwraps its data key. Only an answer of the
    /// store shows that a value is lost, never the cache.
    ///
    /// # Errors
    /// [`Code::ValueLost`] when it is missing or damaged, [`Code::AuditUnavailable`].
    pub async fn find(
        &self,
        object: &ObjectId,
        workspace_key: &Key,
        context: &WrapContext<'_>,
    ) -> Result<StoredValue, Rejection> {
        let name = (*object, context.epoch);
        let cached = self.lock().get(&name);
        if let Some(bytes) = cached
            && let Ok(value) = open(&bytes, workspace_key, context)
        {
            return Ok(value);
        }
        let generation = self.lock().remove(&name);
        let read = self.read_bytes(context.workspace, name).await?;
        let (_, bytes) = read.ok_or_else(|| missing(context))?;
        let value = open(&bytes, workspace_key, context)?;
        self.lock().keep(name, &bytes, generation);
        Ok(value)
    }

    /// As [`Vault::find`], without the cache and with the object's information; `None` when the
    /// object is not there.
    ///
    /// # Errors
    /// [`Code::ValueLost`] when it is damaged, [`Code::AuditUnavailable`].
    pub async fn read(
        &self,
        object: &ObjectId,
        workspace_key: &Key,
        context: &WrapContext<'_>,
    ) -> Result<Option<(ObjectInfo, StoredValue)>, Rejection> {
        let name = (*object, context.epoch);
        let read = self.read_bytes(context.workspace, name).await?;
        let Some((info, bytes)) = read else {
            return Ok(None);
        };
        Ok(Some((info, open(&bytes, workspace_key, context)?)))
    }

    /// Checks that the store has a value as the log describes it and that its data key unwraps.
    ///
    /// # Errors
    /// [`Code::ValueLost`] when it is missing or damaged, [`Code::AuditUnavailable`].
    pub async fn check(
        &self,
        object: &ObjectId,
        workspace_key: &Key,
        context: &WrapContext<'_>,
    ) -> Result<(), Rejection> {
        let value = self.read(object, workspace_key, context).await?;
        value.map(drop).ok_or_else(|| missing(context))
    }

    /// Stores a value again, wrapped under another generation's key. A copy that is there already
    /// stays.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn copy(
        &self,
        object: &ObjectId,
        value: &StoredValue,
        workspace_key: &Key,
        context: &WrapContext<'_>,
    ) -> Result<(), Rejection> {
        let bytes = encode(&value.sealed, &value.data_key, workspace_key, context)?;
        let subject = subject(context.workspace, object, context.epoch);
        stored(self.objects.put(&subject, bytes).await)
    }

    /// Empties the cache. The results of reads under way are not cached either.
    pub fn forget(&self) {
        self.lock().forget();
    }

    /// Starts to read objects into the cache, sealed as they are, unless they are there. An object
    /// that cannot be read is read again when it is needed.
    pub fn read_ahead(
        self: &Arc<Self>,
        workspace: &WorkspaceName,
        objects: impl Iterator<Item = (ObjectId, Epoch)>,
    ) {
        let (uncached, generation) = {
            let cache = self.lock();
            let uncached = objects.filter(|name| cache.get(name).is_none());
            (uncached.collect::<BTreeSet<_>>(), cache.generation())
        };
        if uncached.is_empty() {
            return;
        }
        let (vault, workspace) = (Arc::clone(self), workspace.clone());
        tokio::spawn(async move {
            let uncached = futures::stream::iter(uncached);
            let read = async |name| match vault.read_bytes(&workspace, name).await {
                Ok(Some((_, bytes))) => vault.lock().keep(name, &bytes, generation),
                Ok(None) => {}
                Err(problem) => tracing::debug!(%problem, "a value was not read ahead"),
            };
            uncached
                .for_each_concurrent(CONCURRENT_REQUESTS, read)
                .await;
        });
    }

    async fn read_bytes(
        &self,
        workspace: &WorkspaceName,
        (object, epoch): (ObjectId, Epoch),
    ) -> Result<Option<(ObjectInfo, Bytes)>, Rejection> {
        let subject = subject(workspace, &object, epoch);
        self.objects.get(&subject).await.map_err(unavailable)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
