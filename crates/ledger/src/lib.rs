//! The ledger: the log, the vault, the read model, the one writer per workspace, and the checks
//! that anybody can make of a log.

mod durable;
pub mod follower;
pub mod health;
mod keeper;
pub mod ledger;
pub mod projection;
pub mod writer;

pub use ledger::{Environment, Ledger, OpenError, Options, Response, Vitals};
