use futures::FutureExt as _;
use futures::future::BoxFuture;
use keyroll_core::crypto::{SealContext, seal_value};
use keyroll_core::{LedgerId, SecretId, Version};
use tokio::sync::Notify;

use super::*;
use crate::log::Unavailable;
use crate::objects::MemoryObjects;

/// A store whose answers are on their way until they are let go.
#[derive(Default)]
struct Slow {
    objects: MemoryObjects,
    asked: Notify,
    go: Notify,
}

impl Objects for Arc<Slow> {
    fn is_there(&self) -> BoxFuture<'_, Result<bool, Unavailable>> {
        self.objects.is_there()
    }

    fn put<'a>(&'a self, subject: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), PutError>> {
        self.objects.put(subject, bytes)
    }

    fn get<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Held, Bytes)>, Unavailable>> {
        async move {
            let found = self.objects.get(subject).await;
            self.asked.notify_one();
            self.go.notified().await;
            found
        }
        .boxed()
    }

    fn held<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Held>, Unavailable>> {
        self.objects.held(subject)
    }

    fn erase_held<'a>(
        &'a self,
        subject: &'a str,
        held: Held,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        self.objects.erase_held(subject, held)
    }

    fn list<'a>(&'a self, filter: &'a str) -> BoxFuture<'a, Result<Vec<String>, Unavailable>> {
        self.objects.list(filter)
    }
}

const PLACE: ObjectId = ObjectId([7; 32]);

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
                &PLACE,
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
        let found = vault.find(&PLACE, &self.workspace_key, &context).await;
        let found = found.map_err(|rejection| rejection.code)?;
        assert_eq!(found.sealed, self.sealed);
        Ok(())
    }
}

/// What is read while it is erased is used by who asked for it, and kept for nobody.
#[tokio::test]
async fn what_was_on_its_way_is_forgotten_too() {
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
        let kept = vault.lock().get(&(PLACE, Epoch(1)));
        assert_eq!(kept.is_none(), erased);
    }
}

#[tokio::test]
async fn what_does_not_open_is_not_remembered() {
    let (objects, world) = (MemoryObjects::default(), World::new());
    let vault = Arc::new(Vault::new(Arc::new(objects.clone())));
    world.store(&vault).await;
    let (subject, whole) = objects.all().remove(0);
    let name = (PLACE, Epoch(1));
    for at in [0, 10, whole.len() / 2, whole.len() - 1] {
        let mut hurt = whole.to_vec();
        hurt[at] ^= 1;
        objects.overwrite(&subject, hurt.clone());
        // Also not what somebody had read ahead, whenever that was.
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
    // What opened is used without another look.
    objects.lose(&subject);
    assert_eq!(world.find(&vault).await, Ok(()));
}
