//! Verifies a workspace's log: a bundle, a directory of commits, or commits as they arrive.
//!
//! An auditor's program needs this crate and nothing else: no network, no database, no async
//! runtime.

pub mod bundle;
pub mod saved;
pub mod verify;
