//! Receipts and proofs from the read model, for entries that the writer no longer holds in memory.

use keyroll_core::{Code, Digest, Index, Rejection, TreeSize, WorkspaceName};
use keyroll_merkle::{Hash, consistency_proof, inclusion_proof};
use keyroll_wire::reply::{CommittedCommand, Receipt};

use crate::context::{Context, no_workspace};
use crate::projection::WorkspaceView;
use crate::response::ProvenHead;
use crate::writer::{TreeHead, sign_checkpoint};

pub(crate) fn digests(hashes: &[Hash]) -> Vec<Digest> {
    hashes.iter().map(|hash| Digest(hash.0)).collect()
}

/// The proof that the read model's tree of `size` extends the one of `trusted_size`.
fn extends(
    view: &WorkspaceView<'_>,
    trusted_size: TreeSize,
    size: TreeSize,
) -> Result<Vec<Digest>, Rejection> {
    let proof = consistency_proof(view, trusted_size.0, size.0);
    proof
        .map(|proof| digests(&proof))
        .map_err(|error| Rejection::new(Code::Internal, error.to_string()))
}

/// The consistency proof from a size that is older than the writer's memory.
pub(crate) async fn consistency(
    context: &Context,
    workspace: &WorkspaceName,
    trusted_size: TreeSize,
    size: TreeSize,
) -> Result<Vec<Digest>, Rejection> {
    context.await_size(workspace, size).await?;
    let view = context.view()?;
    let found = view.workspace(workspace)?;
    let found = found.ok_or_else(|| no_workspace(workspace))?;
    extends(&found, trusted_size, size)
}

/// The tree head that a refusal was decided on, with the proof that it extends the tree that the
/// caller trusts: so a log that was rolled back shows in refusals as well.
pub(crate) async fn prove_head(
    context: &Context,
    workspace: &WorkspaceName,
    trusted_size: TreeSize,
    head: Option<TreeHead>,
) -> Result<ProvenHead, Rejection> {
    let Some(TreeHead {
        size,
        root,
        consistency,
    }) = head
    else {
        return Ok(ProvenHead::default());
    };
    let proof = match consistency {
        Some(proof) => digests(&proof),
        None => self::consistency(context, workspace, trusted_size, size).await?,
    };
    Ok(ProvenHead {
        size,
        root: Digest(root.0),
        consistency: proof,
    })
}

/// The read model's tree head of a workspace, with the same proof.
pub(crate) fn head_of(
    view: &WorkspaceView<'_>,
    trusted_size: TreeSize,
) -> Result<ProvenHead, Rejection> {
    let size = view.size();
    Ok(ProvenHead {
        size,
        consistency: extends(view, trusted_size, size)?,
        root: Digest(view.root()?.0),
    })
}

/// The receipt of a command that was carried out before. No value goes with it.
pub(crate) async fn repeated(
    context: &Context,
    workspace: &WorkspaceName,
    trusted_size: TreeSize,
    index: Index,
) -> Result<CommittedCommand, Rejection> {
    context.await_index(workspace, index).await?;
    context.await_size(workspace, trusted_size).await?;
    let view = context.view()?;
    let found = view.workspace(workspace)?;
    let found = found.ok_or_else(|| no_workspace(workspace))?;
    Ok(CommittedCommand {
        receipt: receipt(context, &found, index)?,
        released: Vec::new(),
        consistency: extends(&found, trusted_size, found.size())?,
    })
}

/// An entry with its inclusion in the tree that the read model holds.
pub(crate) fn receipt(
    context: &Context,
    workspace: &WorkspaceView<'_>,
    index: Index,
) -> Result<Receipt, Rejection> {
    let missing = || Rejection::new(Code::NotFound, format!("there is no entry {index}"));
    let entry = workspace.entry(index)?.ok_or_else(missing)?;
    let path = inclusion_proof(workspace, index.0, workspace.size().0)
        .map_err(|error| Rejection::new(Code::Internal, error.to_string()))?;
    Ok(Receipt {
        path: digests(&path),
        entry: entry.bytes,
        index,
        checkpoint: checkpoint(context, workspace)?,
    })
}

/// The checkpoint over all entries in the read model: all of them are acknowledged.
pub(crate) fn checkpoint(
    context: &Context,
    workspace: &WorkspaceView<'_>,
) -> Result<String, Rejection> {
    let origin = keyroll_core::origin::origin(&context.ledger, &workspace.head().name);
    let note = sign_checkpoint(&context.key, &origin, workspace.size(), workspace.root()?)?;
    Ok(note.to_string())
}
