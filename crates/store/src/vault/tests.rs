use futures::FutureExt as _;
use futures::future::BoxFuture;
use keyroll_core::crypto::{SealContext, seal_value};
use keyroll_core::{LedgerId, SecretId, Version};
use tokio::sync::Notify;

use super::*;
use crate::log::Unavailable;
use crate::objects::{Erasure, MemoryObjects, ObjectInfo};
use keyroll_core::Digest;

/// A store whose answers are delayed until the test releases them.
#[derive(Default)]
struct Slow {
    objects: MemoryObjects,
    asked: Notify,
    go: Notify,
}

impl Objects for Arc<Slow> {
    fn exists(&self) -> BoxFuture<'_, Result<bool, Unavailable>> {
        self.objects.exists()
    }

    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>> {
        self.objects.put(subject, bytes)
    }

    fn get<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<(ObjectInfo, Bytes)>, Unavailable>> {
        async move {
            let found = self.objects.get(subject).await;
            self.asked.notify_one();
            self.go.notified().await;
            found
        }
        .boxed()
    }

    fn info<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<ObjectInfo>, Unavailable>> {
        self.objects.info(subject)
    }

    fn erase_exact<'a>(
        &'a self,
        subject: &'a str,
        object: ObjectInfo,
        erasure: Erasure,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        self.objects.erase_exact(subject, object, erasure)
    }

    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>> {
        self.objects.list(filter)
    }
}

const OBJECT: ObjectId = ObjectId([7; 32]);

/// A version of a secret, and the keys of its value.
struct World {
    workspace: WorkspaceName,
    sealed: Blob,
    data_key: Key,
    workspace_key: Key,
}

impl World {
    fn new() -> Self {
        let workspace: WorkspaceName = "demo".parse().expect("a name");
        let data_key = Key::new([1; 32]);
        let context = SealContext {
            ledger: &LedgerId([2; 32]),
            workspace: &workspace,
            secret: SecretId([3; 16]),
            version: Version(1),
        };
        let sealed = seal_value(b"value", &data_key, [4; 24], &context).expect("sealed");
        Self {
            sealed: sealed.into(),
            workspace,
            data_key,
            workspace_key: Key::new([5; 32]),
        }
    }

    fn context(&self) -> WrapContext<'_> {
        WrapContext {
            ledger: &LedgerId([2; 32]),
            workspace: &self.workspace,
            secret: SecretId([3; 16]),
            version: Version(1),
            epoch: Epoch(1),
            digest: Digest::of(&self.sealed.0),
        }
    }

    async fn store(&self, vault: &Vault) {
        let (context, key) = (self.context(), &self.workspace_key);
        vault
            .store(
                &OBJECT,
                &self.sealed,
                &self.data_key,
                key,
                &context,
                Millis(0),
            )
            .await
            .expect("stored");
    }

    async fn find(&self, vault: &Vault) -> Result<(), Code> {
        let context = self.context();
        let found = vault.find(&OBJECT, &self.workspace_key, &context).await;
        let found = found.map_err(|rejection| rejection.code)?;
        assert_eq!(found.sealed, self.sealed);
        Ok(())
    }
}

/// A value that is read while it is erased goes to its reader and not into the cache.
#[tokio::test]
async fn a_read_that_began_before_an_erasure_is_not_cached() {
    let (slow, world) = (Arc::<Slow>::default(), World::new());
    let vault = Vault::new(Arc::new(Arc::clone(&slow)));
    world.store(&vault).await;
    for erased in [true, false] {
        let (found, ()) = tokio::join!(world.find(&vault), async {
            slow.asked.notified().await;
            if erased {
                vault.forget();
            }
            slow.go.notify_one();
        });
        assert_eq!(found, Ok(()));
        let kept = vault.lock().get(&(OBJECT, Epoch(1)));
        assert_eq!(kept.is_none(), erased);
    }
}

#[tokio::test]
async fn a_value_that_does_not_open_is_not_cached() {
    let (objects, world) = (MemoryObjects::default(), World::new());
    let vault = Arc::new(Vault::new(Arc::new(objects.clone())));
    world.store(&vault).await;
    let (subject, whole) = objects.all().remove(0);
    let name = (OBJECT, Epoch(1));
    for at in [0, 10, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.to_vec();
        damaged[at] ^= 1;
        objects.overwrite(&subject, damaged.clone());
        // The same holds for a value that was read ahead.
        for ahead in [false, true] {
            if ahead {
                vault.read_ahead(&world.workspace, [name].into_iter());
                while vault.lock().get(&name).is_none() {
                    tokio::task::yield_now().await;
                }
            }
            assert_eq!(world.find(&vault).await, Err(Code::ValueLost), "{at}");
            assert_eq!(vault.lock().get(&name), None);
        }
        vault.read_ahead(&world.workspace, [name].into_iter());
        while vault.lock().get(&name).is_none() {
            tokio::task::yield_now().await;
        }
        objects.overwrite(&subject, whole.clone());
        assert_eq!(world.find(&vault).await, Ok(()), "{at}");
        assert_eq!(vault.lock().get(&name), Some(whole.clone()));
        vault.forget();
    }
    objects.lose(&subject);
    assert_eq!(world.find(&vault).await, Err(Code::ValueLost));
    objects.overwrite(&subject, whole);
    assert_eq!(world.find(&vault).await, Ok(()));
    // A value that has opened is served from the cache.
    objects.lose(&subject);
    assert_eq!(world.find(&vault).await, Ok(()));
}
