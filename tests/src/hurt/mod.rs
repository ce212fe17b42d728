//! Hurting a ledger, and judging what is left: callers that write down what they were told, and
//! checks of that against the log.

mod crowd;
mod evidence;

mod scale;
mod spy;

pub use crowd::{Crowd, Record};
pub use evidence::{Log, Summary, check};
pub use scale::{Scale, Seeded, scale, seed};
pub use spy::Spy;
