//! The vault: sealed values with their wrapped data keys, each at a place of its own, written
//! once. It never sees a value.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use keyroll_core::crypto::{Key, WrapContext, check_sealed, unwrap_key, wrap_key};
use keyroll_core::{Blob, Code, Digest, Epoch, Place, Rejection, WorkspaceName, cbor};
use serde::{Deserialize, Serialize};

use crate::keyring::random;
use crate::objects::{Objects, PutError};

/// Bytes of sealed values kept in memory: they are immutable, so keeping them is safe.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// A message of the vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// The data key under the workspace's key.
    key: Blob,
    /// The sealed value.
    sealed: Blob,
}

#[derive(Default)]
struct Cache {
    bytes: usize,
    stored: BTreeMap<(Place, Epoch), Bytes>,
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

fn subject(workspace: &WorkspaceName, place: &Place, epoch: Epoch) -> String {
    format!("keyroll.vault.{workspace}.{place}.{epoch}")
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
        place: &Place,
        sealed: &Blob,
        data_key: &Key,
        workspace_key: &Key,
        context: &WrapContext<'_>,
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
            Err(PutError::Exists) => match self.find(place, workspace_key, context).await {
                Ok(found) if found.data_key.bytes() == data_key.bytes() => Ok(()),
                Ok(_) => Err(Rejection::new(
                    Code::Conflict,
                    "another value lies at this command's place",
                )),
                // What came first there may still be on its way.
                Err(rejection) => Err(unavailable(rejection.message)),
            },
        }
    }

    /// Finds a sealed value and unwraps its data key, after the check of its digest.
    ///
    /// # Errors
    /// [`Code::ValueLost`] when it is missing or damaged, [`Code::AuditUnavailable`].
    pub async fn find(
        &self,
        place: &Place,
        workspace_key: &Key,
        context: &WrapContext<'_>,
    ) -> Result<Found, Rejection> {
        let name = (*place, context.epoch);
        let cached = self.lock().stored.get(&name).cloned();
        let bytes = match cached {
            Some(bytes) => bytes,
            None => self.fetch(name, context).await?,
        };
        let stored: Stored =
            cbor::decode(&bytes).map_err(|_| lost(context, "the vault's message is damaged"))?;
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

    async fn fetch(
        &self,
        name: (Place, Epoch),
        context: &WrapContext<'_>,
    ) -> Result<Bytes, Rejection> {
        let subject = subject(context.workspace, &name.0, name.1);
        let found = self.objects.get(&subject).await.map_err(unavailable)?;
        let Some(bytes) = found else {
            return Err(lost(context, "it is missing from the vault"));
        };
        let mut cache = self.lock();
        if cache.bytes + bytes.len() > CACHE_BYTES {
            *cache = Cache::default();
        }
        cache.bytes += bytes.len();
        cache.stored.insert(name, bytes.clone());
        Ok(bytes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
