//! Files of secrets: dotenv, JSON and YAML, read and written byte for byte.
//!
//! [`read`] goes on after an error, so that a person sees every bad line at once. Its problems quote
//! nothing but well-formed names: anything else in the file may be part of a value. [`write()`] produces
//! files that read back to the same bytes, and [`preview`] compares a file with the secrets that exist.
//! This crate touches no terminal, no file system and no ledger.

mod collect;
mod dotenv;
mod format;
mod json;
mod preview;
mod read;
mod write;
mod yaml;

pub use collect::{Empty, ParsedEntry, ParsedFile, Problem};
pub use format::Format;
pub use preview::{Existing, Preview, preview};
pub use read::read;
pub use write::{Unrepresentable, write};
