//! The client of a ledger: it signs, seals and asks, and checks every answer.

pub mod checkpoints;
mod client;
mod clock;
mod command;
mod dry_run;
mod error;
mod import_split;
pub mod private_files;
mod query;
mod receipt;
mod request;
mod reveal;
mod rollback;
mod signer;
mod values;

pub use client::{Client, Settings, connect_nats, new_command_id, new_secret_id, random};
pub use command::Executed;
pub use error::ClientError;
pub use import_split::split_import;
pub use query::{VerifiedAnswer, unexpected};
pub use receipt::ProvedEntry;
pub use reveal::{RequestedValue, Reveal, RevealedValue, RevealedValues};
pub use signer::{Signer, delegate, public};
pub use values::NewSecretSpec;
