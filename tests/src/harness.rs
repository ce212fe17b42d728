//! Starts a ledger, runs commands against it, and checks everything that it leaves behind.
//!
//! A test names its steps and their results:
//!
//! ```no_run
//! use keyroll_tests::harness::Dev;
//!
//! let dev = Dev::start();
//! dev.keyroll(["secret", "create", "API", "--stdin"]).stdin("value").run().code(0);
//! dev.keyroll(["secret", "reveal", "API"]).run().code(0).stdout("value");
//! dev.keyroll(["secret", "reveal", "NONE"]).run().code(3).error_code("not_found");
//! ```
//!
//! The program under test is `target/debug/keyroll-failpoints`, or the one that `KEYROLL_BIN`
//! names. The nats-server is the one that `KEYROLL_NATS_BIN` names, or the one that
//! `tests/tools/nats-server.py` finds.

pub mod browse;
pub mod client;
pub mod cluster;
pub mod dev;
pub mod dishonest;
pub mod done;
pub mod flood;
pub mod home;
pub mod http;
pub mod nats;
pub mod node;
pub mod plain;
pub mod process;
pub mod programs;
pub mod python;
pub mod raw;
pub mod replica;
pub mod run;
pub mod scan;
pub mod skip;
pub mod tied;
pub mod wait;
pub mod wires;

pub use client::demo;
pub use cluster::{Cluster, free_addresses};
pub use dev::{Dev, Person};
pub use dishonest::Dishonest;
pub use done::Done;
pub use home::Home;
pub use nats::Nats;
pub use replica::Replica;
pub use run::Run;
pub use skip::skipped;
