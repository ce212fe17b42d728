//! The Settings → Secrets page: a web server where people list, view and change secrets, and read the
//! audit log. It is a client of the ledger like any other: all reads and writes go through
//! [`keyroll_client::Client`], under the identity that signed in. Handlers take a `WorkspaceRequest`
//! (`request.rs`), forms go through one handler (`form.rs`), pages get their frame in `page.rs`, and
//! `server.rs` has the routes.

mod access;
mod app;
mod assets;
mod audit;
mod expiring_map;
mod failure;
mod form;
mod format;
mod guard;
mod input;
mod layout;
mod listing;
mod login;
mod login_keys;
mod members;
mod page;
mod pending_imports;
mod public_origin;
mod request;
mod response;
mod secrets;
mod server;
mod session;
mod sign_in;
mod verification;

pub use login::{LoginChallenge, LoginLink, LoginResponse};
pub use public_origin::{InvalidOrigin, PublicOrigin};
pub use server::{Console, Options, SignInPolicy};
pub use session::SESSION_MS;
pub use verification::{VerificationFailure, Verified, VerifyLog};
