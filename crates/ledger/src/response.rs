//! Responses to a caller: signed replies, and the tree head that they are bound to.

use ed25519_dalek::SigningKey;
use keyroll_core::{Digest, Rejection, TreeSize, cose};
use keyroll_merkle::empty_root;
use keyroll_wire::reply::{Reply, ReplyBody};

use crate::memory::MemoryPermit;

/// The response to a caller.
#[derive(Debug, Clone)]
pub struct Response {
    /// The bytes of the reply.
    pub bytes: Vec<u8>,
    /// The refusal in it, for headers and counters.
    pub refusal: Option<Rejection>,
    /// Memory for the values in it, held until they are sent.
    pub permit: Option<MemoryPermit>,
}

/// The tree that an answer was made on: its size and root, and the proof that it extends the tree
/// that the caller trusts. The default names no tree.
pub(crate) struct ProvenHead {
    pub(crate) size: TreeSize,
    pub(crate) root: Digest,
    pub(crate) consistency: Vec<Digest>,
}

impl Default for ProvenHead {
    fn default() -> Self {
        Self {
            size: TreeSize(0),
            root: Digest(empty_root().0),
            consistency: Vec::new(),
        }
    }
}

/// Signs the reply to a request.
pub(crate) fn sign_reply(
    key: &SigningKey,
    request: Digest,
    body: ReplyBody,
    head: ProvenHead,
) -> Vec<u8> {
    let reply = Reply {
        v: 1,
        body,
        root: head.root,
        size: head.size,
        request,
        consistency: head.consistency,
    };
    cose::sign(&reply, key)
}

/// Refuses a query without reading it.
pub(crate) fn refuse_query(key: &SigningKey, query: &[u8], rejection: Rejection) -> Response {
    let body = ReplyBody::Error(rejection.clone());
    Response {
        bytes: sign_reply(key, Digest::of(query), body, ProvenHead::default()),
        refusal: Some(rejection),
        permit: None,
    }
}
