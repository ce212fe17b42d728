//! Releasing values to the caller of a reveal.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use keyroll_core::crypto::{Direction, SessionKeys, WrapContext};
use keyroll_core::event::{Revealed, SecretRevealed};
use keyroll_core::{Code, Epoch, Rejection, Verified, WorkspaceName};
use keyroll_wire::reply::ReleasedValue;

use super::Commands;
use crate::writer::ValueLocation;
use keyroll_store::keyring::random;
use keyroll_store::vault::{self, StoredValue};

impl Commands {
    /// Releases values. Called only with an entry whose commit is acknowledged.
    pub(super) async fn release(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
        revealed: &SecretRevealed,
        locations: &[ValueLocation],
        session: &SessionKeys,
    ) -> Result<Vec<ReleasedValue>, Rejection> {
        keyroll_store::failpoint!("reveal.before_release");
        let each = (0_u32..).zip(revealed.secrets.iter().zip(locations)).map(
            |(item, (one, location))| async move {
                let found = self.find(workspace, one, *location).await?;
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

    /// Reads a value under its own key epoch, or under the one that it is being copied to.
    async fn find(
        &self,
        workspace: &WorkspaceName,
        one: &Revealed,
        location: ValueLocation,
    ) -> Result<StoredValue, Rejection> {
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
            self.context
                .vault
                .find(place, &workspace_key, &context)
                .await
        };
        let is_lost = |found: &Result<StoredValue, Rejection>| {
            let code = found.as_ref().err().map(|rejection| rejection.code);
            code == Some(Code::ValueLost)
        };
        let mut found = at(location.epoch).await;
        if let Some(next) = location.next_epoch.filter(|_| is_lost(&found)) {
            found = at(next).await;
        }
        // A rotation may have begun and ended since the entry was decided.
        if is_lost(&found) && self.context.require_head(workspace).await.is_ok() {
            let now = self.context.workspace_row(workspace)?.epoch;
            if now > location.next_epoch.unwrap_or(location.epoch) {
                found = at(now).await;
            }
        }
        found
    }
}
