//! What the end-to-end tests stand on: the built `keyroll`, a real nats-server, and nothing shared
//! between two tests.

pub mod golden;
pub mod harness;
pub mod hurt;
