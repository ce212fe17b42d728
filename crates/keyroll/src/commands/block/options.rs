//! Options of `block run` and `block replay`, and those that choose the Python interpreter.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use keyroll_core::SecretName;
use keyroll_resolver::{Options, ResolveError};

use crate::error::Failure;
use crate::time;

/// The options of a run.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// JSON file with the `document` of a Python block [default: null]
    #[arg(long, value_name = "FILE")]
    pub(super) input: Option<PathBuf>,
    /// Network that is not public and that the block may connect to anyway, such as 10.0.0.0/8; repeat it
    /// for more [default: none]
    #[arg(long, value_name = "CIDR")]
    allow_address: Vec<String>,
    /// Host that the block may connect to without TLS; repeat it for more [default: none]
    #[arg(long, value_name = "HOST")]
    allow_http: Vec<String>,
    /// Secret that may be part of a URL's query, where servers and proxies log it; repeat it for more
    /// [default: none]
    #[arg(long, value_name = "NAME")]
    pub(super) allow_query: Vec<SecretName>,
    /// How long the block may run
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(super) timeout: String,
    #[command(flatten)]
    pub(super) how: RunPython,
    /// Let Python blocks open internet connections
    #[arg(long)]
    pub(super) allow_network: bool,
}

/// How keyroll starts Python, also to analyse code.
#[derive(Debug, Args)]
pub(crate) struct RunPython {
    /// Python interpreter for Python blocks [default: python3 on the PATH]
    #[arg(long, value_name = "PATH")]
    pub(super) python: Option<PathBuf>,
    /// Whether Python blocks need the complete sandbox
    #[arg(long, value_name = "WHETHER", default_value = "required")]
    pub(super) sandbox: Sandbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sandbox {
    /// Do not run the block if a part of the sandbox is missing
    Required,
    /// Run the block without the sandbox, with all your permissions
    Off,
}

impl Sandbox {
    pub(super) const fn is_required(self) -> bool {
        matches!(self, Self::Required)
    }
}

pub(super) fn egress(args: &RunOptions) -> Result<Options, Failure> {
    let unusable = |error: ResolveError| Failure::usage(error.to_string());
    let networks = args
        .allow_address
        .iter()
        .map(|text| text.parse().map_err(unusable));
    let hosts = args
        .allow_http
        .iter()
        .map(|text| text.parse().map_err(unusable));
    Ok(Options {
        allow_address: networks.collect::<Result<_, _>>()?,
        allow_http: hosts.collect::<Result<_, _>>()?,
        timeout: time::duration(&args.timeout)?,
    })
}
