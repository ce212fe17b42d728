//! The name of a workspace's checkpoints, and the key that verifies them.

use ed25519_dalek::VerifyingKey;
use keyroll_merkle::VerifierKey;

use crate::{Code, Identity, LedgerId, Rejection, WorkspaceName};

/// The origin line of a workspace's checkpoints.
pub fn origin(ledger: &LedgerId, workspace: &WorkspaceName) -> String {
    format!("keyroll/{ledger}/{workspace}")
}

/// The key that verifies the checkpoints that `key` signs for a workspace. Its name is the origin.
///
/// # Errors
/// [`Code::WrongLedger`] when `key` is not an Ed25519 key.
pub fn verifier(
    ledger: &LedgerId,
    workspace: &WorkspaceName,
    key: &Identity,
) -> Result<VerifierKey, Rejection> {
    let wrong = |why: String| Rejection::new(Code::WrongLedger, why);
    let key = VerifyingKey::from_bytes(&key.0).map_err(|error| wrong(error.to_string()))?;
    VerifierKey::new(origin(ledger, workspace), key).map_err(|error| wrong(error.to_string()))
}
