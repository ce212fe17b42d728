//! Workflow blocks that use secrets by name.
//!
//! A block file refers to secrets as `{{secrets.NAME}}` and never holds a value. Running a block
//! takes four steps, and the one that releases values lies outside this crate:
//!
//! 1. [`plan`] checks the block and names the secrets that it references, and where;
//! 2. [`Plan::check_hosts`] and [`Plan::destination`] refuse a destination *before* anything is
//!    revealed, and look it up;
//! 3. the caller has exactly these names revealed in one audited command;
//! 4. [`execute`] puts the values in, sends the request there and masks what comes back.
//!
//! An engine that sends its requests itself takes the resolved block instead, and masks what
//! comes back:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use keyroll_resolver::{
//!     Block, BlockFile, Options, Redactor, SecretValue, SecretValues, plan, prepare,
//! };
//!
//! let file = BlockFile::parse(
//!     br#"{"workflow": "intake", "blocks": [
//!         {"name": "push", "type": "external_api", "method": "POST",
//!          "url": "https://api.crm.example/v1/invoices",
//!          "auth": {"type": "bearer", "token": "{{secrets.CRM_Token}}"},
//!          "body": {"json": {"id": "{{document.id}}"}}}]}"#,
//! )?;
//! let plan = plan(&file, Some("push"))?;
//! assert_eq!(plan.names().collect::<Vec<_>>(), ["CRM_Token"]);
//!
//! // Before the reveal: may these secrets go there at all?
//! let bound = |host: &str| BTreeMap::from([("CRM_Token".to_owned(), vec![host.to_owned()])]);
//! plan.check_hosts(&bound("*.crm.example"))?;
//! plan.check_target(&Options::default())?;
//! let refused = plan.check_hosts(&bound("api.other.example")).unwrap_err();
//! assert_eq!(refused.code(), "host_not_allowed");
//!
//! // After it: the request, with every value where it belongs.
//! let value = "correct-horse-battery";
//! let mut secrets = SecretValues::new();
//! secrets.insert("CRM_Token", SecretValue::new(value));
//! let Block::External(api) = file.block(Some("push"))? else {
//!     unreachable!()
//! };
//! let request = prepare(api, &secrets)?;
//! assert_eq!(request.headers[0].name, "authorization");
//! assert_eq!(request.headers[0].value.as_slice(), b"Bearer correct-horse-battery");
//! assert!(request.headers[0].sensitive);
//! assert_eq!(request.body.unwrap().as_slice(), br#"{"id":"{{document.id}}"}"#);
//!
//! let redactor = Redactor::new(&[("CRM_Token", value.as_bytes())]);
//! assert_eq!(redactor.redact(b"got correct-horse-battery"), b"got [REDACTED:CRM_Token]");
//! # Ok::<(), keyroll_resolver::ResolveError>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `template` | the grammar of `{{secrets.NAME}}` |
//! | `block` | the block file |
//! | `references` | which secret stands where, and where none may stand |
//! | `locate` | where in a file something stands |
//! | `secret` | revealed values, wiped from memory when dropped |
//! | `prepare` | a request with values in it; `json`, `xml` and `encode` are its contexts |
//! | `hosts` | the hosts that a secret is bound to |
//! | `address` | which network addresses may be connected to |
//! | `http` | one request, to addresses that were checked |
//! | `redirect` | the next request, where a block follows redirects |
//! | `python` | Python blocks, in a process and a sandbox of their own |
//! | `redact` | masking of every spelling of a value |
//! | `run` | the steps above |
//! | `credential_scan`, `credential_patterns` | credentials that are hard-coded in a block |
//! | `error` | what can go wrong, under stable codes |

mod address;
mod block;
mod credential_patterns;
mod credential_scan;
mod encode;
mod error;
mod hosts;
mod http;
mod json;
mod locate;
mod prepare;
mod python;
mod redact;
mod redirect;
mod references;
mod response;
mod run;
mod secret;
mod sent;
mod template;
mod xml;

pub use address::{AddressKind, Cidr, classify};
pub use block::{Auth, Block, BlockFile, Body, ExternalApi, Fields, Python, Redirects};
pub use credential_patterns::{CredentialMatch, find_credentials};
pub use credential_scan::{HardCodedValue, hard_coded_values};
pub use error::{Code, ResolveError};
pub use hosts::{HostPattern, check_hosts};
pub use json::{Json, parse_json};
pub use prepare::{Prepared, PreparedHeader, prepare};
pub use python::{
    Analysis, Interpreter, PYTHON_CHILD, PythonLauncher, PythonOptions, PythonResult,
    RevealSecrets, analyse_python, exec_python_child, execute_python, probe_sandbox,
};
pub use redact::{RedactStream, Redactor};
pub use references::{Context, Site, references};
pub use run::{Destination, Options, Plan, RunResult, execute, plan};
pub use secret::{SecretValue, SecretValues};
pub use template::{Segment, Template};
