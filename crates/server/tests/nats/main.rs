//! Tests on real nats-servers, each with its own.

mod dev;
mod operations;
mod permissions;
mod reply_subjects;
mod streams;
mod support;
