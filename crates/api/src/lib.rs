//! Both ends of the wire: subjects, requests, replies, and the client that checks all it is told.

pub mod client;
pub mod private;
pub mod query;
pub mod reply;
pub mod seen;
pub mod subjects;
pub mod time;

pub use client::{Client, ClientError, Settings, Signer};
pub use query::{Ask, Query};
pub use reply::{CommandReply, CommandRequest, Receipt, Reply};
