//! HTTP/1.1 listeners that nobody can hold shut: every wait for a client ends, and connections are
//! bounded in total and per client, below the process's descriptor limit.
//!
//! One rule decides who has to leave when there is no room: the connection that has waited longest
//! *for its client*. One that the server itself is working on stays.

mod body;
mod client;
mod connection;
mod gate;
mod limits;
mod seat;
mod server;
mod stream;

pub use limits::{Limits, Times};
pub use server::{Headers, Server};
