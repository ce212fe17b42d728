use futures::FutureExt as _;
use futures::future::BoxFuture;
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

    fn get<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Unavailable>> {
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

/// What is read while it is erased is used by who asked for it, and kept for nobody.
#[tokio::test]
async fn what_was_on_its_way_is_forgotten_too() {
    let slow = Arc::<Slow>::default();
    let vault = Vault::new(Arc::new(Arc::clone(&slow)));
    let workspace: WorkspaceName = "demo".parse().expect("a name");
    let name = (Place([7; 32]), Epoch(1));
    let subject = subject(&workspace, &name.0, name.1);
    let put = slow.put(&subject, Bytes::from("sealed"));
    put.await.expect("stored");
    for erased in [true, false] {
        let (loaded, ()) = tokio::join!(vault.load(&workspace, name), async {
            slow.asked.notified().await;
            if erased {
                vault.forget();
            }
            slow.go.notify_one();
        });
        assert_eq!(loaded.expect("read"), Some(Bytes::from("sealed")));
        assert_eq!(vault.lock().stored.is_empty(), erased);
    }
}
