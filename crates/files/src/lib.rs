//! Files of secrets: dotenv, JSON and YAML, read and written byte for byte.
//!
//! Reading goes on after what is wrong, so that a person sees every bad line at once, and nothing
//! that is said of a file repeats what stands in it: what looks like a name may be a part of a
//! value. Nothing here touches a terminal, a file or a ledger.
//!
//! | module | holds |
//! |---|---|
//! | `format` | which format a file has |
//! | `read` | what was found in a file, and what is wrong with it |
//! | `write` | a file of values |
//! | `preview` | what an import would do |
//! | `dotenv`, `json`, `yaml` | the formats |

mod dotenv;
mod format;
mod json;
mod preview;
mod read;
mod write;
mod yaml;

pub use format::Format;
pub use preview::{Existing, Preview, preview};
pub use read::{Empty, Found, Problem, Read, read};
pub use write::{Unfit, write};
