//! The service side of keyroll on NATS. `service` connects, opens the ledger and answers requests
//! through `dispatch`; `monitors` watch the clocks, disks and streams while it runs. `nats` has the
//! required configuration of a nats-server: accounts, permissions, streams, and checks of these. `keys` are the
//! ledger's key files, `metrics` its HTTP endpoints, and `dev` starts a private nats-server for
//! development and tests.

pub mod dev;
mod dispatch;
mod guest_room;
mod guests;
pub mod issuing;
mod key_file;
pub mod keys;
pub mod metrics;
mod monitors;
pub mod nats;
pub mod root_key;
pub mod service;
