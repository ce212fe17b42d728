//! Where a ledger's bytes are: the log, the sealed values and the wrapped keys. Each has a form on
//! JetStream and one in memory.
//!
//! No rule of the ledger is here.

pub mod failpoints;
mod jetstream;
pub mod keyring;
pub mod log;
pub mod objects;
pub mod vault;

pub use jetstream::{RefusedWrite, WriteFailures};
