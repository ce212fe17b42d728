//! A record of the vault: its subject and its bytes.

use bytes::Bytes;
use keyroll_core::command::StoredAt;
use keyroll_core::crypto::{Key, WrapContext, unwrap_key, wrap_key};
use keyroll_core::{Blob, Code, Digest, Epoch, ObjectId, Rejection, WorkspaceName, cbor};
use serde::{Deserialize, Serialize};

use crate::keyring::random;

/// The stored form of a value.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The data key under the workspace's key.
    key: Blob,
    /// The sealed value.
    sealed: Blob,
}

/// A value from the vault: still sealed, its data key unwrapped.
pub struct StoredValue {
    /// The sealed value.
    pub sealed: Blob,
    /// Its data key.
    pub data_key: Key,
}

/// The subject of an object under a generation of the wrapping key.
pub fn subject(workspace: &WorkspaceName, object: &ObjectId, epoch: Epoch) -> String {
    format!("keyroll.vault.{workspace}.{object}.{epoch}")
}

/// The object and generation that a subject names. `None` unless [`subject`] writes it exactly so:
/// another spelling of the same numbers is another subject, and its object is not the vault's.
pub(super) fn parse(workspace: &WorkspaceName, found: &str) -> Option<StoredAt> {
    let mut tokens = found.split('.').skip(3);
    let (place, epoch) = (tokens.next()?, tokens.next()?);
    let (place, epoch) = (place.parse().ok()?, Epoch(epoch.parse().ok()?));
    (subject(workspace, &place, epoch) == found).then_some(StoredAt { epoch, place })
}

/// The bytes of a record: a sealed value, and its data key wrapped for the context's generation.
pub(super) fn encode(
    sealed: &Blob,
    data_key: &Key,
    workspace_key: &Key,
    context: &WrapContext<'_>,
) -> Result<Bytes, Rejection> {
    let key = wrap_key(workspace_key, data_key, random()?, context).into();
    let sealed = sealed.clone();
    Ok(cbor::encode(&Record { key, sealed }).into())
}

/// Opens a record: checks the digest of the sealed value and unwraps its data key.
///
/// # Errors
/// [`Code::ValueLost`].
pub(super) fn open(
    bytes: &[u8],
    workspace_key: &Key,
    context: &WrapContext<'_>,
) -> Result<StoredValue, Rejection> {
    let record: Record =
        cbor::decode(bytes).map_err(|_| lost(context, "its record in the vault is damaged"))?;
    if Digest::of(&record.sealed.0) != context.digest {
        let why = "its record in the vault has another digest than the log";
        return Err(lost(context, why));
    }
    let data_key = unwrap_key(workspace_key, &record.key.0, context)
        .map_err(|error| lost(context, &error.to_string()))?;
    Ok(StoredValue {
        sealed: record.sealed,
        data_key,
    })
}

/// The rejection for a value that is missing.
pub(super) fn missing(context: &WrapContext<'_>) -> Rejection {
    lost(context, "it is missing from the vault")
}

fn lost(context: &WrapContext<'_>, why: &str) -> Rejection {
    let message = format!(
        "version {} of secret {}: {why}",
        context.version, context.secret
    );
    Rejection::new(Code::ValueLost, message)
}
