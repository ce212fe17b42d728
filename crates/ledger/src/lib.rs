//! The ledger: the log, the vault, the read model, the one writer per workspace, and the checks
//! that anybody can make of a log.

pub mod bundle;
mod durable;
pub mod failpoints;
pub mod follower;
pub mod health;
mod jetstream;
mod keeper;
pub mod keyring;
pub mod ledger;
pub mod log;
pub mod objects;
pub mod projection;
pub mod saved;
pub mod vault;
pub mod verify;
pub mod writer;

pub use jetstream::{RefusedWrite, Writes};
pub use ledger::{Ledger, OpenError, Options, Response, Surroundings, Vitals};
