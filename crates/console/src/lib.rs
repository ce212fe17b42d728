//! The Settings → Secrets page. It is a client of the ledger like any other: what it shows and
//! does goes through [`keyroll_client::Client`], under the identity of whoever is signed in.

mod access;
mod assets;
mod audit;
mod enter;
mod failure;
mod guard;
mod imports;
mod login;
mod members;
mod outcome;
mod page;
mod place;
mod secrets;
mod server;
mod session;
mod verification;
mod visit;
mod words;

pub use login::{Begun, Finish, Finished};
pub use place::{BadPlace, Place};
pub use server::{Console, Options, Who};
pub use verification::{Flaw, Verified, Verify};
