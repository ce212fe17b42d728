//! The client of a ledger: connects over NATS, signs commands and queries, seals values, and
//! verifies every answer.
//!
//! A reply is accepted only if it is signed by the ledger's key and its tree extends the checkpoint
//! that this client trusts. So a rolled-back or forked log is an error, and so is an old value of a
//! secret. Verified checkpoints and facts are kept in the directory [`Settings::home`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use keyroll_client::{Client, RequestedValue, Settings};
//! use keyroll_core::command::{BlockRun, Purpose};
//!
//! let client = Client::connect(Settings {
//!     nats_url: "tls://nats.example:4222".to_owned(),
//!     nats_creds: Some("/etc/keyroll/client.creds".into()),
//!     nats_ca: None,
//!     identity: ed25519_dalek::SigningKey::from_bytes(&[7; 32]).into(),
//!     ledger: None,
//!     home: Some("/var/lib/example/keyroll".into()),
//! })
//! .await?;
//! let run = BlockRun {
//!     run: "42".parse()?,
//!     block: "charge".parse()?,
//!     workflow: "billing".parse()?,
//! };
//! let request = RequestedValue {
//!     name: "STRIPE_KEY".parse()?,
//!     version: None,
//! };
//! let workspace = "demo".parse()?;
//! let purpose = Purpose::Block(run);
//! let reveal = client.reveal(&workspace, &[request], &purpose, None).await?;
//! let revealed = reveal.warn(|warning| eprintln!("{warning}"));
//! println!("entry {} records the reveal", revealed.index);
//! # Ok(())
//! # }
//! ```

pub mod checkpoints;
mod client;
mod clock;
mod command;
mod discovery;
mod dry_run;
mod error;
mod import_split;
mod invitation;
mod link;
mod opened_in;
pub mod private_files;
mod query;
mod receipt;
mod request;
mod reveal;
mod rollback;
mod sign_in;
mod signer;
mod signing_in;
mod sync;
mod tree_head;
mod values;

pub use client::{Client, Settings, connect_nats, new_command_id, new_secret_id, random};
pub use command::Executed;
pub use error::ClientError;
pub use import_split::split_import;
pub use invitation::{Accepted, InvitationLink, LinkTls};
pub use opened_in::forget_sign_ins;
pub use query::{VerifiedAnswer, unexpected};
pub use receipt::ProvedEntry;
pub use reveal::{RequestedValue, Reveal, RevealedValue, RevealedValues};
pub use sign_in::SignInConsent;
pub use signer::{Signer, public};
pub use signing_in::SignedOut;
pub use values::NewSecretSpec;
