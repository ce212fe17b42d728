//! The service side of keyroll on NATS, and a private nats-server for development.

mod answering;
mod clock;
pub mod dev;
mod disks;
mod durability;
mod environment;
pub mod keys;
pub mod metrics;
pub mod nats;
pub mod root_key;
pub mod service;
mod stream_probes;
