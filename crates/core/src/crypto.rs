//! Cryptography as free functions over byte strings: sealing values, wrapping keys, sessions.
//!
//! Randomness comes in as arguments. Types that hold secrets have no `Debug`, `Display` or
//! `Serialize`, and are wiped when dropped.

mod answer;
mod keys;
mod seal;
mod session;

pub use answer::{AnswerKey, seal_answer};
pub use keys::{Key, RootContext, WrapContext, unwrap_key, unwrap_root, wrap_key, wrap_root};
pub use seal::{SealContext, check_sealed, is_sealed_size, open_value, seal_value, sealed_size};
pub use session::{
    ClientSession, Direction, LedgerSession, SealingSecret, SessionContext, SessionKeys,
};

/// A ciphertext that does not open under its key and context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not open: wrong key, wrong context or damaged bytes")]
pub struct OpenError(pub &'static str);
