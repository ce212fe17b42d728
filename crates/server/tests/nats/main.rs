//! Tests on real nats-servers, each with its own.

mod api_answers;
mod client_permissions;
mod dev;
mod operations;
mod permissions;
mod reply_subjects;
mod streams;
mod support;
