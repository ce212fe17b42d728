//! Verification of a workspace's log: a bundle file, or commits as they arrive.
//!
//! [`verify::Verifier`] checks every signature of the ledger, every index and every root. In full
//! depth it also checks every actor's signature and decides every command again. An auditor's
//! program needs this crate and nothing else: no network, no database, no async runtime.
//!
//! ```no_run
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::io::BufReader;
//!
//! use keyroll_merkle::VerifierKey;
//!
//! let bundle = BufReader::new(std::fs::File::open("demo.bundle")?);
//! let key = VerifierKey::parse("keyroll/…/demo+1a2b3c4d+…")?;
//! let report = keyroll_audit::bundle::verify(bundle, Some(&key))?;
//! for problem in &report.problems {
//!     println!("{}: {}", problem.kind, problem.detail);
//! }
//! println!("{} entries, ok: {}", report.entries, report.ok());
//! # Ok(())
//! # }
//! ```
#![warn(clippy::wildcard_enum_match_arm)]

pub mod bundle;
pub mod commit_file;
pub mod report;
pub mod verify;
