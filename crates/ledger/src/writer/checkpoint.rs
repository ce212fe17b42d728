//! Signed checkpoints of a workspace's tree.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use keyroll_core::{Code, Rejection, TreeSize};
use keyroll_merkle::{Checkpoint, Hash};

/// Signs a checkpoint. Called only for a size that is acknowledged.
pub(crate) fn sign_checkpoint(
    key: &SigningKey,
    origin: &str,
    size: TreeSize,
    root: Hash,
) -> Result<Arc<str>, Rejection> {
    let checkpoint = Checkpoint {
        origin: origin.to_owned(),
        size: size.0,
        root,
        extensions: Vec::new(),
    };
    let signed = checkpoint.sign(key, origin);
    signed
        .map(Arc::from)
        .map_err(|error| Rejection::new(Code::Internal, error.to_string()))
}
