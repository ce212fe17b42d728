//! Releasing values, no more at once than memory has room for.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use keyroll_core::crypto::{Direction, SessionKeys, WrapContext};
use keyroll_core::event::{Revealed, SecretRevealed};
use keyroll_core::{Code, Epoch, Rejection, Verified, WorkspaceName, limits};
use keyroll_wire::reply::ReleasedValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Ledger;
use crate::writer::Whereabouts;
use keyroll_store::keyring::random;
use keyroll_store::vault::{self, StoredValue};

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
pub type Room = Arc<OwnedSemaphorePermit>;

/// The room for all of them.
pub(super) struct Releases(Arc<Semaphore>);

impl Default for Releases {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_KIB as usize)))
    }
}

impl Releases {
    /// Waits, after the entry and before the values, until there is room for them.
    pub(super) async fn room_for(&self, values: usize) -> Result<Room, Rejection> {
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
        places: &[Whereabouts],
        session: &SessionKeys,
    ) -> Result<Vec<ReleasedValue>, Rejection> {
        keyroll_store::failpoint!("reveal.before_release");
        let each = (0_u32..).zip(revealed.secrets.iter().zip(places)).map(
            |(item, (one, whereabouts))| async move {
                let found = self.find(workspace, one, *whereabouts).await?;
                let key = session.seal(
                    Direction::ToClient,
                    &command.command().id,
                    item,
                    &found.data_key,
                    random()?,
                );
                Ok(ReleasedValue {
                    key: key.into(),
                    name: one.name.clone(),
                    sealed: found.sealed,
                    version: one.version,
                })
            },
        );
        let each: Vec<BoxFuture<'_, Result<ReleasedValue, Rejection>>> =
            each.map(futures::FutureExt::boxed).collect();
        let released: Vec<Result<ReleasedValue, Rejection>> = futures::stream::iter(each)
            .buffered(vault::CONCURRENT_REQUESTS)
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
        whereabouts: Whereabouts,
    ) -> Result<StoredValue, Rejection> {
        let at = |epoch: Epoch| async move {
            let workspace_key = self.keyring.workspace_key(workspace, epoch).await?;
            let context = WrapContext {
                ledger: &self.shared.ledger,
                workspace,
                secret: one.id,
                version: one.version,
                epoch,
                digest: one.digest,
            };
            let place = &whereabouts.place;
            self.vault.find(place, &workspace_key, &context).await
        };
        let is_lost = |found: &Result<StoredValue, Rejection>| {
            let code = found.as_ref().err().map(|rejection| rejection.code);
            code == Some(Code::ValueLost)
        };
        let mut found = at(whereabouts.epoch).await;
        if let Some(then) = whereabouts.then.filter(|_| is_lost(&found)) {
            found = at(then).await;
        }
        // The key may have been rotated since the entry was decided, and all that by now be over.
        if is_lost(&found) && self.be_where_the_log_is(workspace).await.is_ok() {
            let now = self.row(workspace)?.epoch;
            if now > whereabouts.then.unwrap_or(whereabouts.epoch) {
                found = at(now).await;
            }
        }
        found
    }
}
