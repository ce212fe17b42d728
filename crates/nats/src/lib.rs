//! Where the nats-servers of a cluster are, and how a client connects to one of them.

mod addresses;

pub use addresses::Addresses;
