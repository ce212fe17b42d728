//! A ledger over a log, a vault and a key store.
//!
//! A command goes to the writer of its workspace, which decides it and appends it to the log. The
//! follower folds the log into the read model, and queries read that. The eraser finishes erasures
//! and key rotations; recovery rebuilds a damaged log. [`Ledger`] owns these parts and starts them.

#![warn(clippy::wildcard_enum_match_arm)]

mod commands;
mod context;
mod credentials;
mod durable;
mod erasure;
pub mod follower;
mod guests;
pub mod health;
mod ledger;
mod long_requests;
mod memory;
mod page;
pub mod projection;
mod proofs;
mod queries;
mod rebuild;
mod recovery;
mod response;
mod status;
mod storage_check;
mod value_check;
pub mod writer;

pub use context::Context;
pub use credentials::CredentialIssuer;
pub use erasure::Eraser;
pub use guests::GuestSubject;
pub use ledger::{Ledger, OpenError, Options};
pub use memory::MemoryPermit;
pub use response::Response;
pub use status::{Environment, HealthSummary};
