//! The wire protocol between clients and the service: requests, replies, queries, NATS subjects,
//! and times as text.
//!
//! A command travels as a [`CommandRequest`] and comes back as a [`CommandReply`]. A [`Query`] is
//! signed like a command, and its [`Reply`] is signed by the ledger. Both ends depend on this
//! crate; it has no NATS client and no async runtime.
//!
//! ```
//! use keyroll_core::command::Nothing;
//! use keyroll_core::{LedgerId, Millis, TreeSize, cose};
//! use keyroll_wire::query::QUERY_V;
//! use keyroll_wire::{Query, Question, subjects};
//!
//! let workspace = "demo".parse().expect("a name");
//! let subject = subjects::query(&workspace);
//! let query = Query {
//!     v: QUERY_V,
//!     at: Millis(1_700_000_000_000),
//!     ask: Question::AuditCheckpoint(Nothing {}),
//!     seen: TreeSize(0),
//!     ledger: LedgerId([1; 32]),
//!     workspace: Some(workspace),
//!     member: None,
//!     delegation: None,
//! };
//! let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
//! let bytes = cose::sign(&query, &key);
//! assert_eq!(subject, "keyroll.v1.demo.query");
//! assert_eq!(cose::open::<Query>(&bytes).expect("a query").payload, query);
//! ```
#![warn(clippy::wildcard_enum_match_arm)]

pub mod guest;
pub mod query;
pub mod reply;
pub mod subjects;
pub mod time;

pub use query::{Query, Question};
pub use reply::{CommandReply, CommandRequest, Receipt, Reply};
