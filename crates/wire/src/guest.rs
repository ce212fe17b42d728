//! The envelope of requests by those who have no NATS user of their own, and of the answers to them.
//!
//! All guests are one NATS user, so a guest could read the answers to the others. Therefore each
//! request brings a fresh key, and its answer is sealed to that.

use keyroll_core::{AnswerPublic, Blob, Encapsulated};
use serde::{Deserialize, Serialize};

/// A request whose answer is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestRequest {
    /// The key that the answer is sealed to.
    pub key: AnswerPublic,
    /// The request itself, in the form that its subject has without an envelope.
    pub body: Blob,
}

/// The answer to a [`GuestRequest`]: HPKE in base mode, `info` bound to SHA-256 of the request's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedAnswer {
    /// The encapsulated key.
    pub enc: Encapsulated,
    /// The answer, as its subject has it without an envelope.
    pub sealed: Blob,
}
