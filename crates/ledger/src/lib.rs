//! The ledger: the log, the vault, the read model, the one writer per workspace, and the checks
//! that anybody can make of a log.

mod durable;
mod erasure;
pub mod follower;
pub mod health;
pub mod ledger;
pub mod projection;
pub mod writer;

pub use ledger::{Environment, HealthSummary, Ledger, OpenError, Options, Response};
