//! Storing values, before the entry that speaks of them.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use keyroll_core::crypto::{Direction, SessionKeys, WrapContext};
use keyroll_core::{Action, Code, Epoch, ObjectId, Rejection, Verified, WorkspaceName};
use keyroll_wire::reply::CommandRequest;

use super::Ledger;
use keyroll_store::vault;

/// Whether an action brings a wrapping key into force, which has to be there before.
const fn makes_key(action: &Action) -> bool {
    matches!(action, Action::WorkspaceCreate(_) | Action::KeyRotate(_))
}

impl Ledger {
    /// The epoch to store what a command brings under, if it brings anything and would be accepted now.
    pub(super) async fn to_store(
        &self,
        writer: &crate::writer::Writer,
        command: &Arc<Verified>,
        request: &CommandRequest,
    ) -> Option<Epoch> {
        let makes_key = makes_key(&command.command().action);
        if request.values.is_empty() && !makes_key {
            return None;
        }
        writer.provisional(Arc::clone(command)).await.ok()
    }

    /// Puts what the command brings into vault and key store, durably, before its entry.
    pub(super) async fn store(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
        request: &CommandRequest,
        session: Option<&SessionKeys>,
        epoch: Epoch,
    ) -> Result<(), Rejection> {
        let now = self.now();
        if makes_key(&command.command().action) {
            return self.keyring.make_workspace_key(workspace, epoch).await;
        }
        let Some(session) = session else {
            return Ok(());
        };
        let workspace_key = self.keyring.workspace_key(workspace, epoch).await?;
        let named = command.command().action.values();
        let workspace_key = &workspace_key;
        let store = (0_u32..).zip(named.into_iter().zip(&request.values)).map(
            |(item, (named, value))| async move {
                let (secret, version, digest, _) = named;
                let data_key = session
                    .open(
                        Direction::ToLedger,
                        &command.command().id,
                        item,
                        &value.key.0,
                    )
                    .map_err(|error| Rejection::new(Code::InvalidField, error.to_string()))?;
                let context = WrapContext {
                    ledger: &self.shared.ledger,
                    workspace,
                    secret,
                    version,
                    epoch,
                    digest,
                };
                let place = ObjectId::of(&command.actor(), &command.command().id, item, &digest);
                self.vault
                    .store(
                        &place,
                        &value.sealed,
                        &data_key,
                        workspace_key,
                        &context,
                        now,
                    )
                    .await
            },
        );
        let store: Vec<BoxFuture<'_, Result<(), Rejection>>> =
            store.map(futures::FutureExt::boxed).collect();
        let mut stored = futures::stream::iter(store).buffer_unordered(vault::CONCURRENT_REQUESTS);
        while let Some(result) = stored.next().await {
            result?;
        }
        Ok(())
    }
}
