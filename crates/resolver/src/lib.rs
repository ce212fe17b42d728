//! Workflow blocks that use secrets by name.
//!
//! A block file refers to secrets as `{{secrets.NAME}}` and never holds a value. Running a block
//! takes four steps, and the one that releases values lies outside this crate:
//!
//! 1. [`plan`] checks the block and names the secrets that it references, and where;
//! 2. [`Plan::check_hosts`] and [`Plan::check_target`] refuse a destination *before* anything is
//!    revealed;
//! 3. the caller has exactly these names revealed in one audited command;
//! 4. [`execute`] puts the values in, sends the request and masks what comes back.
//!
//! | module | holds |
//! |---|---|
//! | `template` | the grammar of `{{secrets.NAME}}` |
//! | `block` | the block file |
//! | `references` | which secret stands where, and where none may stand |
//! | `secret` | revealed values, wiped from memory when dropped |
//! | `prepare` | a request with values in it; `json`, `xml` and `encode` are its contexts |
//! | `hosts` | the hosts that a secret is bound to |
//! | `address` | which network addresses may be connected to |
//! | `http` | one request, to addresses that were checked |
//! | `redirect` | the next request, where a block follows redirects |
//! | `python` | Python blocks, in a process and a sandbox of their own |
//! | `redact`, `forms` | masking of every spelling of a value |
//! | `run` | the steps above |
//! | `shapes` | keys that were written into a block by hand |
//! | `error` | what can go wrong, under stable codes |

mod address;
mod block;
mod encode;
mod error;
mod forms;
mod hosts;
mod http;
mod json;
mod prepare;
mod python;
mod redact;
mod redirect;
mod references;
mod run;
mod secret;
mod shapes;
mod template;
mod xml;

pub use address::{AddressKind, Cidr, classify};
pub use block::{Auth, Block, BlockFile, Body, ExternalApi, Fields, Python, Redirects};
pub use error::{Code, ResolveError};
pub use hosts::{HostPattern, check_hosts};
pub use json::Json;
pub use prepare::{Prepared, PreparedHeader, prepare};
pub use python::{
    Analysis, Interpreter, PYTHON_CHILD, PythonLauncher, PythonOptions, PythonOutcome,
    RevealSecrets, analyse_python, exec_python_child, execute_python, probe_sandbox,
};
pub use redact::{RedactStream, Redactor};
pub use references::{Context, Place, references};
pub use run::{Options, Outcome, Plan, execute, plan};
pub use secret::{SecretValue, SecretValues};
pub use shapes::{KeyShape, key_shapes};
pub use template::{Segment, Template};
