//! `keyroll block run`.

use std::path::PathBuf;

use clap::Args;
use keyroll_resolver::{Block, plan};

use super::options::RunOptions;
use super::past_run::PastRun;
use super::source::Source;
use super::{external, python};
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::Status;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Block file
    file: PathBuf,
    /// Name of the block [default: the only block of the file]
    #[arg(long, value_name = "NAME")]
    block: Option<String>,
    #[command(flatten)]
    options: RunOptions,
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
    replay: Option<&PastRun>,
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
