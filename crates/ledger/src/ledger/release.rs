//! Releasing values, no more at once than memory has room for.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use keyroll_core::crypto::{Direction, SessionKeys, WrapContext};
use keyroll_core::event::{Revealed, SecretRevealed};
use keyroll_core::{Code, Epoch, Rejection, Verified, WorkspaceName, limits};
use keyroll_wire::reply::Released;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Ledger;
use crate::writer::ValueLocation;
use keyroll_store::keyring::random;
use keyroll_store::vault::{self, Found};

/// KiB of released values on their way to callers: each as the vault has it, as it is released, and
/// as it is sent.
const ROOM_KIB: u32 = 96 * 1_024;
/// What one value may take: 64 KiB, three times.
const VALUE_KIB: u32 = 3 * 66;
/// What one answer may take: a reply of full size, three times.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a reply is below a megabyte"
)]
const ANSWER_KIB: u32 = 3 * (limits::REPLY_BYTES / 1_024) as u32;

/// Room for one answer's values, until it is sent.
pub type MemoryPermit = Arc<OwnedSemaphorePermit>;

/// The room for all of them.
pub(super) struct MemoryBudget(Arc<Semaphore>);

impl Default for MemoryBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_KIB as usize)))
    }
}

impl MemoryBudget {
    /// Waits, after the entry and before the values, until there is room for them.
    pub(super) async fn acquire(&self, values: usize) -> Result<MemoryPermit, Rejection> {
        let values = u32::try_from(values).unwrap_or(u32::MAX);
        let kib = values.saturating_mul(VALUE_KIB).min(ANSWER_KIB);
        let room = Arc::clone(&self.0).acquire_many_owned(kib).await;
        // Nobody closes it.
        room.map(Arc::new)
            .map_err(|error| Rejection::new(Code::Internal, error.to_string()))
    }
}

impl Ledger {
    /// Releases keys. Only ever called with an entry whose commit is acknowledged.
    pub(super) async fn release(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
        revealed: &SecretRevealed,
        places: &[ValueLocation],
        session: &SessionKeys,
    ) -> Result<Vec<Released>, Rejection> {
        keyroll_store::failpoint!("reveal.before_release");
        let each = (0_u32..).zip(revealed.secrets.iter().zip(places)).map(
            |(item, (one, location))| async move {
                let found = self.find(workspace, one, *location).await?;
                let key = session.seal(
                    Direction::ToClient,
                    &command.command().id,
                    item,
                    &found.data_key,
                    random()?,
                );
                Ok(Released {
                    key: key.into(),
                    name: one.name.clone(),
                    sealed: found.sealed,
                    version: one.version,
                })
            },
        );
        let each: Vec<BoxFuture<'_, Result<Released, Rejection>>> =
            each.map(futures::FutureExt::boxed).collect();
        let released: Vec<Result<Released, Rejection>> = futures::stream::iter(each)
            .buffered(vault::AT_ONCE)
            .collect()
            .await;
        keyroll_store::failpoint!("reveal.released");
        released.into_iter().collect()
    }

    /// Finds a value under the generation it lies under, or under the one it is copied to.
    async fn find(
        &self,
        workspace: &WorkspaceName,
        one: &Revealed,
        location: ValueLocation,
    ) -> Result<Found, Rejection> {
        let at = |epoch: Epoch| async move {
            let workspace_key = self.keyring.workspace_key(workspace, epoch).await?;
            let context = WrapContext {
                ledger: &self.context.ledger,
                workspace,
                secret: one.id,
                version: one.version,
                epoch,
                digest: one.digest,
            };
            let place = &location.place;
            self.vault.find(place, &workspace_key, &context).await
        };
        let is_lost = |found: &Result<Found, Rejection>| {
            let code = found.as_ref().err().map(|rejection| rejection.code);
            code == Some(Code::ValueLost)
        };
        let mut found = at(location.epoch).await;
        if let Some(then) = location.then.filter(|_| is_lost(&found)) {
            found = at(then).await;
        }
        // The key may have been rotated since the entry was decided, and all that by now be over.
        if is_lost(&found) && self.await_log(workspace).await.is_ok() {
            let now = self.row(workspace)?.epoch;
            if now > location.then.unwrap_or(location.epoch) {
                found = at(now).await;
            }
        }
        found
    }
}
