//! `keyroll block run`.

use std::path::PathBuf;

use clap::Args;
use keyroll_core::SecretName;
use keyroll_resolver::{Block, Options, ResolveError, plan};

use super::replay::Replay;
use super::{RunPython, Source, external, python};
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::Status;
use crate::time;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The block file
    file: PathBuf,
    /// The block, where the file has several
    #[arg(long, value_name = "NAME")]
    block: Option<String>,
    #[command(flatten)]
    options: RunOptions,
}

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

pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<Status, Failure> {
    let source = Source::read(&args.file)?;
    start(
        context,
        (&source, args.block.as_deref()),
        &args.options,
        None,
    )
    .await
}

pub(super) async fn start(
    context: &Context,
    (source, block): (&Source, Option<&str>),
    options: &RunOptions,
    replay: Option<&Replay>,
) -> Result<Status, Failure> {
    match source.file.block(block)? {
        Block::Python(block) => python::run(context, (source, block), options, replay).await,
        Block::External(_) => {
            if options.input.is_some() {
                return Err(Failure::usage("--input is for Python blocks"));
            }
            let plan = plan(&source.file, block).map_err(|error| source.placed(error))?;
            external::run(context, (source, &plan), options, replay).await
        }
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
