//! The ledger: the log, the vault, the read model, the one writer per workspace, and the checks
//! that anybody can make of a log.

pub mod keyring;
pub mod log;
pub mod objects;
pub mod projection;
pub mod vault;
