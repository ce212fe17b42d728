//! `keyroll block`: blocks of workflows, which use secrets by name.

mod check;
mod external;
mod ledger;
mod options;
mod past_run;
mod python;
mod replay;
mod run;
mod run_records;
mod save;
mod source;
mod uses;

use std::path::PathBuf;

use clap::Subcommand;

use self::options::RunPython;
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};
use crate::options::DryRun;
use crate::reveals::Selection;

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
