//! Tests on real nats-servers, each with its own.

mod api_answers;
mod borrowers;
mod client_permissions;
mod dev;
mod guests;
mod issued;
mod operations;
mod permissions;
mod reply_subjects;
mod streams;
mod support;
