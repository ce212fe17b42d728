//! The append-only Merkle tree under every ledger, its proofs, and the signed checkpoints that
//! commit to it. It follows RFC 6962 and C2SP, so other tools can verify a ledger.
//!
//! Everything here is a pure function or a value: nothing reads a file, a clock or a random number.
//!
//! | module | holds | follows |
//! |---|---|---|
//! | [`hash`] | leaf, node and empty-tree hashes | RFC 6962 §2.1 |
//! | [`nodes`] | roots and proofs, made from any source of tree nodes | RFC 6962 §2.1.1, §2.1.2 |
//! | [`proof`] | verification of proofs | RFC 9162 §2.1.3.2, §2.1.4.2 |
//! | [`recent_tree`] | a growing tree that keeps its recent nodes in memory | – |
//! | [`vkey`] | names, key ids and public keys of signers | c2sp.org/signed-note |
//! | [`note`] | signed texts | c2sp.org/signed-note |
//! | [`checkpoint`] | the signed size and root of a tree | c2sp.org/tlog-checkpoint |
//! | [`tlog_proof`] | a self-contained proof file | c2sp.org/tlog-proof |

pub mod checkpoint;
pub mod hash;
pub mod nodes;
pub mod note;
pub mod proof;
pub mod recent_tree;
pub mod tlog_proof;
pub mod vkey;

mod text;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use hash::{Hash, empty_root, leaf_hash, node_hash};
pub use nodes::{Nodes, TreeError, WithFallback, consistency_proof, inclusion_proof, root};
pub use note::{MAX_NOTE_BYTES, MAX_SIGNATURES, Note, NoteError, sign_note};
pub use proof::{MAX_PROOF_HASHES, ProofError, verify_consistency, verify_inclusion};
pub use recent_tree::{CompactRangeError, MAX_SIZE, MIN_CAPACITY, MissingNode, RecentTree};
pub use tlog_proof::{MAX_TLOG_PROOF_BYTES, TlogProof, TlogProofError};
pub use vkey::{KeyError, VerifierKey, key_id};
