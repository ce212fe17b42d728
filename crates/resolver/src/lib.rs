//! Workflow blocks that use secrets by name, and masking of what they return.
//!
//! A block file refers to secrets as `{{secrets.NAME}}` and holds no value. [`plan()`] checks a block and lists
//! its secrets. [`Plan::destination`] checks where the request would go. Then the caller reveals these
//! secrets, in one audited command, and [`execute()`] sends the request and masks the response.
//! [`execute_python`] runs a Python block in a sandbox. An engine that sends requests itself uses [`prepare()`]
//! and [`Redactor`]:
//!
//! ```
//! use keyroll_resolver::{Block, BlockFile, Redactor, SecretValue, SecretValues, prepare};
//!
//! let file = BlockFile::parse(
//!     br#"{"workflow": "intake", "blocks": [
//!         {"name": "push", "type": "external_api", "method": "POST",
//!          "url": "https://api.crm.example/v1/invoices",
//!          "auth": {"type": "bearer", "token": "{{secrets.CRM_Token}}"}}]}"#,
//! )?;
//! let Block::External(block) = file.block(Some("push"))? else {
//!     unreachable!()
//! };
//! let mut secrets = SecretValues::new();
//! secrets.insert("CRM_Token", SecretValue::new("correct-horse-battery"));
//! let request = prepare(block, &secrets)?;
//! assert_eq!(request.headers[0].name, "authorization");
//! assert_eq!(request.headers[0].value.as_slice(), b"Bearer correct-horse-battery");
//!
//! let redactor = Redactor::new(&[("CRM_Token", b"correct-horse-battery")]);
//! assert_eq!(redactor.redact(b"got correct-horse-battery"), b"got [REDACTED:CRM_Token]");
//! // The same value in Base64, after two other bytes.
//! assert_eq!(redactor.redact(b"eDpjb3JyZWN0LWhvcnNlLWJhdHRlcnk="), b"eD[REDACTED:CRM_Token]");
//! # Ok::<(), keyroll_resolver::ResolveError>(())
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `template` | the grammar of `{{secrets.NAME}}` |
//! | `block`, `block_file` | a block; the file of blocks |
//! | `reference_locations` | which secret a block references where, and where no reference may stand |
//! | `source_map` | the lines and columns of the fields of a block file |
//! | `secret` | revealed values, wiped from memory when dropped |
//! | `prepare` | a request with values in it; `json`, `xml` and `percent` encode them |
//! | `encoded_values` | values as the request encodes them, so that echoes are masked |
//! | `host_pattern` | the hosts that a secret is bound to |
//! | `address` | which network addresses may be connected to |
//! | `http`, `response_body` | one request to checked addresses; its response as text |
//! | `redirect` | the next request, where a block follows redirects |
//! | `plan`, `execute` | an External API block before and after the reveal |
//! | `python` | Python blocks, each in a process and a sandbox of its own |
//! | `redact` | masking of values in every spelling |
//! | `credential_scan`, `credential_patterns` | credentials that are hard-coded in a block file |
//! | `error`, `error_location` | errors with stable codes; their lines and columns in a block file |

mod address;
mod block;
mod block_file;
mod credential_patterns;
mod credential_scan;
mod encoded_values;
mod error;
mod error_location;
mod execute;
mod host_pattern;
mod http;
mod json;
mod percent;
mod plan;
mod prepare;
mod python;
mod redact;
mod redirect;
mod reference_locations;
mod response_body;
mod secret;
mod source_map;
mod template;
mod xml;

pub use address::{AddressKind, Cidr, classify};
pub use block::{Auth, Block, Body, ExternalApi, Fields, Python, Redirects};
pub use block_file::BlockFile;
pub use credential_patterns::{CredentialMatch, find_credentials};
pub use credential_scan::{HardCodedValue, hard_coded_values};
pub use error::{Code, ResolveError};
pub use execute::{RunResult, execute};
pub use host_pattern::{HostPattern, check_hosts};
pub use json::{Json, parse_json};
pub use plan::{Destination, Options, Plan, plan};
pub use prepare::{PreparedHeader, PreparedRequest, prepare};
pub use python::{
    Analysis, Interpreter, PYTHON_CHILD, PythonLauncher, PythonOptions, PythonResult,
    RevealSecrets, analyse_python, exec_python_child, execute_python, probe_sandbox,
};
pub use redact::{RedactStream, Redactor};
pub use reference_locations::{Context, ReferenceLocation, references};
pub use secret::{SecretValue, SecretValues};
pub use template::{Segment, Template};
