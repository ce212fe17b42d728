//! The addresses of the nats-servers of one cluster, credentials, and connecting to one of them.
//!
//! A client of a ledger and its service both connect to several servers of one cluster. They share one
//! rule about schemes, users and TLS, which keeps a password from going to another host in the clear, and
//! one reading of credentials. Neither of the two may depend on the other, so these are here.

mod addresses;
pub mod connection_key;
pub mod creds;
mod issuer;
pub mod jwt;

pub use addresses::Addresses;
pub use creds::{Creds, CredsError};
pub use issuer::{ClientIssuer, WORKSPACE_TAG};
pub use nkeys;
