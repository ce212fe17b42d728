//! Proofs out of the read model, for what the writer has no longer in memory.

use keyroll_core::{Code, Digest, Index, Rejection, TreeSize, WorkspaceName};
use keyroll_merkle::{Hash, consistency_proof, inclusion_proof};
use keyroll_wire::reply::{CommittedCommand, Receipt};

use super::Ledger;
use super::query::broken;
use crate::projection::WorkspaceView;
use crate::writer::sign_checkpoint;

pub(super) fn digests(hashes: &[Hash]) -> Vec<Digest> {
    hashes.iter().map(|hash| Digest(hash.0)).collect()
}

impl Ledger {
    /// Consistency from a size that is older than what the writer has in memory.
    pub(super) async fn consistency(
        &self,
        workspace: &WorkspaceName,
        seen: TreeSize,
        size: TreeSize,
    ) -> Result<Vec<Digest>, Rejection> {
        self.reach(workspace, size).await?;
        let view = self.projection().view().map_err(|error| broken(&error))?;
        let found = view.workspace(workspace).map_err(|error| broken(&error))?;
        let found = found.ok_or_else(|| Rejection::new(Code::NotFound, "no such workspace"))?;
        let proof = consistency_proof(&found, seen.0, size.0);
        proof
            .map(|proof| digests(&proof))
            .map_err(|error| Rejection::new(Code::Internal, error.to_string()))
    }

    /// The receipt of a command that was carried out before; no value goes with it.
    pub(super) async fn known(
        &self,
        workspace: &WorkspaceName,
        seen: TreeSize,
        index: Index,
    ) -> Result<CommittedCommand, Rejection> {
        self.reach_index(workspace, index).await?;
        self.reach(workspace, seen).await?;
        let view = self.projection().view().map_err(|error| broken(&error))?;
        let found = view.workspace(workspace).map_err(|error| broken(&error))?;
        let found = found.ok_or_else(|| Rejection::new(Code::NotFound, "no such workspace"))?;
        let receipt = self.receipt(&found, index)?;
        let consistency = consistency_proof(&found, seen.0, found.size().0)
            .map_err(|error| Rejection::new(Code::Internal, error.to_string()))?;
        Ok(CommittedCommand {
            receipt,
            released: Vec::new(),
            consistency: digests(&consistency),
        })
    }

    /// An entry with its inclusion in the tree that the read model holds.
    pub(super) fn receipt(
        &self,
        workspace: &WorkspaceView<'_>,
        index: Index,
    ) -> Result<Receipt, Rejection> {
        let entry = workspace.entry(index).map_err(|error| broken(&error))?;
        let Some(entry) = entry else {
            return Err(Rejection::new(
                Code::NotFound,
                format!("there is no entry {index}"),
            ));
        };
        let path = inclusion_proof(workspace, index.0, workspace.size().0)
            .map_err(|error| Rejection::new(Code::Internal, error.to_string()))?;
        let checkpoint = self.checkpoint(workspace)?;
        Ok(Receipt {
            path: digests(&path),
            entry: entry.bytes,
            index,
            checkpoint,
        })
    }

    /// The checkpoint of what the read model holds: everything in it is acknowledged.
    pub(super) fn checkpoint(&self, workspace: &WorkspaceView<'_>) -> Result<String, Rejection> {
        let origin = keyroll_core::origin::origin(&self.shared.ledger, &workspace.head().name);
        let root = workspace.root().map_err(|error| broken(&error))?;
        sign_checkpoint(&self.shared.key, &origin, workspace.size(), root)
            .map(|note| note.to_string())
    }
}
