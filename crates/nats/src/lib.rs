//! The addresses of the nats-servers of one cluster, and connecting to one of them.
//!
//! A client of a ledger and its service both connect to several servers of one cluster. They share one
//! rule about schemes, users and TLS, which keeps a password from going to another host in the clear.
//! Neither of the two may depend on the other, so the rule is here.

mod addresses;

pub use addresses::Addresses;
