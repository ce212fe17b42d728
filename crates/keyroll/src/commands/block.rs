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
    /// Check a block file, and that the secrets it names exist
    #[command(
        after_help = "Examples:\n  keyroll block check invoice.json\n  keyroll block check invoice.json --values --except Country"
    )]
    Check {
        /// Block file
        file: PathBuf,
        /// Check the file only, without the ledger
        #[arg(long)]
        offline: bool,
        /// Also search the file for the values of your secrets. keyroll reveals them for that, and the
        /// audit log records it
        #[arg(long, conflicts_with = "offline")]
        values: bool,
        /// With --values: do not search for the values of these secrets [default: none]
        #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "values")]
        except: Vec<String>,
        /// With --values: fail if keyroll cannot search for a value, instead of leaving it out
        #[arg(long, requires = "values")]
        strict: bool,
        #[command(flatten)]
        how: RunPython,
    },
    /// Save a workflow: record which of its blocks use which secrets
    #[command(after_help = "Example:\n  keyroll block save invoice.json")]
    Save {
        /// Block file
        file: PathBuf,
        #[command(flatten)]
        how: RunPython,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Remove a saved workflow
    #[command(after_help = "Example:\n  keyroll block remove invoice-intake")]
    Remove {
        /// Name of the workflow
        workflow: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Run a block with the secrets that it names, revealed in one entry of the audit log
    #[command(
        after_help = "Examples:\n  keyroll block run invoice.json\n  keyroll block run score.json --block score --input document.json --timeout 2m"
    )]
    Run(run::RunArgs),
    /// Run a block again, with the versions of the secrets that an earlier run had
    #[command(after_help = "Example:\n  keyroll block replay 0192d3c4-0000-7000-8000-000000000000")]
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
