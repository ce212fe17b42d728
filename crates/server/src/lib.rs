//! The service side of keyroll on NATS, and a private nats-server for development.

mod clock;
pub mod dev;
pub mod keys;
pub mod nats;
pub mod service;
