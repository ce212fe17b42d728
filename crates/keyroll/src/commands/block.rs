//! `keyroll block`: blocks of workflows, which use secrets by name.

mod check;
mod external;
mod ledger;
mod python;
mod replay;
mod run;
mod run_records;
mod save;
mod uses;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use keyroll_resolver::{BlockFile, HardCodedValue, Redactor, ResolveError, hard_coded_values};

use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};
use crate::options::DryRun;
use crate::reveals::Selection;

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
        /// Also search for the values of your secrets: they are revealed to this program, on record
        #[arg(long, conflicts_with = "offline")]
        values: bool,
        /// With --values: do not search for the values of these secrets
        #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "values")]
        except: Vec<String>,
        /// With --values: fail when a value cannot be searched for, instead of leaving it out
        #[arg(long, requires = "values")]
        strict: bool,
        #[command(flatten)]
        how: RunPython,
    },
    /// Record which block of the file uses which secret
    Save {
        /// The block file
        file: PathBuf,
        #[command(flatten)]
        how: RunPython,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Forget a saved workflow
    Remove {
        /// The workflow
        workflow: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Run a block with the secrets it names, revealed in one entry that says so
    Run(run::RunArgs),
    /// Run a block once more, with exactly the versions that an earlier run had
    Replay(replay::ReplayArgs),
}

/// How Python is started, also where code is only read.
#[derive(Debug, Args)]
pub(crate) struct RunPython {
    /// The Python for Python blocks, where it is not the one on the path
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Whether Python blocks need the whole sandbox
    #[arg(long, value_name = "WHETHER", default_value = "required")]
    sandbox: Sandbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sandbox {
    /// Run nothing where a part of it is missing
    Required,
    /// Run without it: the block may do whatever you may
    Off,
}

impl Sandbox {
    const fn is_required(self) -> bool {
        matches!(self, Self::Required)
    }
}

pub(crate) async fn run(context: &Context, command: BlockCommand) -> Result<Status, Failure> {
    match command {
        BlockCommand::Run(args) => run::run(context, args).await,
        BlockCommand::Replay(args) => replay::replay(context, args).await,
        BlockCommand::Check {
            file,
            offline,
            values,
            except,
            strict,
            how,
        } => {
            let known = values.then(|| Selection::of_all(except, strict));
            check::run(context, &file, (offline, known), &how)
                .await
                .map(|()| Exit::Ok.into())
        }
        BlockCommand::Save { file, how, dry } => save::save(context, &file, &how, dry)
            .await
            .map(|()| Exit::Ok.into()),
        BlockCommand::Remove { workflow, dry } => save::remove(context, &workflow, dry)
            .await
            .map(|()| Exit::Ok.into()),
    }
}

/// A block file, and what it was read from.
struct Source {
    path: PathBuf,
    bytes: Vec<u8>,
    file: BlockFile,
}

impl Source {
    fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read_limited(path, FILE_BYTES)?;
        let file = BlockFile::parse(&bytes)?;
        let path = path.to_owned();
        Ok(Self { path, bytes, file })
    }

    /// Values that are written into it by hand: well-known forms, and those that are known.
    fn written(&self, known: Option<&Redactor>) -> Vec<HardCodedValue> {
        // It was read as JSON, so it is text.
        hard_coded_values(&String::from_utf8_lossy(&self.bytes), known)
    }

    /// An error about a block, with its line and column of the file.
    fn placed(&self, error: ResolveError) -> ResolveError {
        error.in_file(&self.bytes)
    }
}

fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

fn warn_unmasked(context: &Context, names: &[String]) {
    for name in names {
        context.out.note(&format!(
            "warning: the value of {name} has less than 8 bytes and is not masked"
        ));
    }
}
