//! The domain of keyroll: commands and events with their canonical bytes, the fold that turns
//! events into state ([`State::apply`]), the rules that turn commands into events ([`decide()`]),
//! and the cryptography.
//!
//! Nothing here reads a clock, draws random bytes or does I/O: the caller passes all three in. So
//! anybody can decide a whole log again and compare the results.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod authorize;
pub mod backoff;
pub mod cbor;
pub mod command;
pub mod commit;
pub mod cose;
pub mod crypto;
pub mod decide;
pub mod entry;
pub mod event;
pub mod ids;
pub mod invitation;
pub mod limits;
pub mod names;
pub mod origin;
pub mod rejection;
pub mod roles;
pub mod rules;
pub mod sign_in;
pub mod state;
pub mod statement;
mod union;

pub use backoff::Backoff;
pub use command::{Action, Command, SignedCommand, Verified};
pub use commit::Commit;
pub use decide::{Authority, decide};
pub use entry::{Entry, Recorded};
pub use event::Event;
pub use ids::{
    AnswerPublic, Blob, CommandId, ConnectionKey, Digest, Encapsulated, Epoch, Identity, Index,
    LedgerId, MemberId, Millis, ObjectId, SecretId, Sequence, TreeSize, Version,
};
pub use names::{Glob, MemberName, SecretName, WorkspaceName};
pub use rejection::{Code, Rejection};
pub use rules::Rules;
pub use state::{Changes, State};
