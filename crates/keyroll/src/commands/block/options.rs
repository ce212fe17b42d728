//! Options of `block run` and `block replay`, and those that choose the Python interpreter.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use keyroll_core::SecretName;
use keyroll_resolver::{Options, ResolveError};

use crate::error::Failure;
use crate::time;

/// What an operator allows and chooses.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// A Python block's `document`: a file with JSON
    #[arg(long, value_name = "FILE")]
    pub(super) input: Option<PathBuf>,
    /// A network that may be connected to although it is not public
    #[arg(long, value_name = "CIDR")]
    allow_address: Vec<String>,
    /// A host that may be spoken to without TLS
    #[arg(long, value_name = "HOST")]
    allow_http: Vec<String>,
    /// A secret that may stand in a URL's query, where servers and proxies log it
    #[arg(long, value_name = "NAME")]
    pub(super) allow_query: Vec<SecretName>,
    /// How long the block may take
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(super) timeout: String,
    #[command(flatten)]
    pub(super) how: RunPython,
    /// Let Python blocks open internet connections
    #[arg(long)]
    pub(super) allow_network: bool,
}

/// How Python is started, also where code is only read.
#[derive(Debug, Args)]
pub(crate) struct RunPython {
    /// The Python for Python blocks, where it is not the one on the path
    #[arg(long, value_name = "PATH")]
    pub(super) python: Option<PathBuf>,
    /// Whether Python blocks need the whole sandbox
    #[arg(long, value_name = "WHETHER", default_value = "required")]
    pub(super) sandbox: Sandbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sandbox {
    /// Run nothing where a part of it is missing
    Required,
    /// Run without it: the block may do whatever you may
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
