//! Fault injection: callers that record the answers they get, and checks of those records against
//! the log.

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
