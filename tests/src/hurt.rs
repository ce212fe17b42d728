//! Hurting a ledger, and judging what is left: callers that write down what they were told, and
//! checks of that against the log.

mod crowd;
mod evidence;
pub mod history;

pub mod linear;
mod scale;
mod spy;

pub use crowd::{Crowd, Record};
pub use evidence::{Log, Summary, check};
pub use scale::{Scale, Seeded, rounds, scale, seed};
pub use spy::Spy;
