//! The forms that both ends send: requests, replies, queries, subjects and codes.

pub mod query;
pub mod reply;
pub mod subjects;
pub mod time;

pub use query::{Query, Question};
pub use reply::{CommandReply, CommandRequest, Receipt, Reply};
