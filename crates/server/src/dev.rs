//! A private nats-server for development and tests: a child process that ends with its parent.

pub mod child;
pub mod find;
pub mod launcher;
mod supervisor;

pub use child::{DevError, DevServer};
pub use find::{NatsServer, find_nats_server};
pub use launcher::{CHILD_COMMAND, Launcher, exec_child};
