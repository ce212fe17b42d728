//! The client of a ledger: it signs, seals and asks, and checks every answer.

mod act;
mod ask;
pub mod checkpoints;
mod client;
mod clock;
mod doubt;
mod dry_run;
mod error;
mod exchange;
mod parts;
pub mod private;
mod receipt;
mod reveal;
mod signer;
mod values;

pub use act::Acted;
pub use ask::{Answered, unexpected};
pub use client::{Client, Settings, connect_nats, new_command_id, new_secret_id, random};
pub use error::ClientError;
pub use parts::parts;
pub use receipt::Proved;
pub use reveal::{Opened, Reveal, RevealedValues, Wanted};
pub use signer::{Signer, delegate, public};
pub use values::NewSecretSpec;
