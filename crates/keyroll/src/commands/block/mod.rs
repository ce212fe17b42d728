//! `keyroll block`: blocks of workflows, which use secrets by name.

mod check;
mod run;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use keyroll_resolver::BlockFile;

use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};

/// The resolver takes 1 MiB; one byte more lets it say so.
const FILE_BYTES: u64 = 1024 * 1024 + 1;

#[derive(Debug, Subcommand)]
pub(crate) enum BlockCommand {
    /// Check a block file, and that the secrets it names are there
    Check {
        /// The block file
        file: PathBuf,
        /// Do not ask the ledger about the secrets
        #[arg(long)]
        offline: bool,
    },
    /// Run a block with the secrets it names, revealed in one entry that says so
    Run(run::RunArgs),
}

pub(crate) async fn run(context: &Context, command: BlockCommand) -> Result<Status, Failure> {
    match command {
        BlockCommand::Run(args) => run::run(context, args).await,
        BlockCommand::Check { file, offline } => check::run(context, &file, offline)
            .await
            .map(|()| Exit::Ok.into()),
    }
}

fn read(path: &Path) -> Result<BlockFile, Failure> {
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(BlockFile::parse(&bytes)?)
}
