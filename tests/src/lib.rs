//! The harness of the end-to-end tests: they run the built `keyroll` and a real nats-server, and
//! share nothing with each other.

pub mod golden;
pub mod harness;
pub mod hurt;
