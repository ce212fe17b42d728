//! HTTP/1.1 listeners that no client can block: every wait for a client has a timeout, and
//! connections are bounded in total and per client, below the process's descriptor limit.
//!
//! When there is no room, the connection that has waited longest *for its client* is closed. One that
//! the server itself is working on stays open.

mod body;
mod client_address;
mod connection;
mod connection_state;
mod gate;
mod limits;
mod server;
mod stop;
mod stream;

pub use connection::SetHeaders;
pub use limits::{Limits, Timeouts};
pub use server::Server;
