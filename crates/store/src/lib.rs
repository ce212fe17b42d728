//! Storage of a ledger: the log, the vault of sealed values, and the wrapped keys.
//!
//! Two traits carry it all. [`log::Log`] is an append-only log with one subject per workspace;
//! [`objects::Objects`] is write-once storage whose objects can be erased. Each has an
//! implementation on JetStream and one in memory for tests. [`vault`] and [`keyring`] are built on
//! `Objects`. The rules of the ledger are in `keyroll-core`; this crate knows none of them.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod failpoints;
mod jetstream;
pub mod keyring;
pub mod log;
pub mod objects;
pub mod vault;

pub use jetstream::{WriteFailure, WriteFailures};
