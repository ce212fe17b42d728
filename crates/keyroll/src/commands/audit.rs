//! `keyroll audit`: the log, and proofs about it.

mod accept;
mod commits;
mod export;
mod log;
mod proofs;
mod verify;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};
use crate::options::DryRun;

pub(crate) use self::log::of_run;
pub(crate) use self::verify::verify_ledger as verify;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Who did what, one row per event, the newest last
    Log(log::LogArgs),
    /// Check the whole log: signatures, hashes, order, and that nothing is missing
    Verify(verify::VerifyArgs),
    /// Write a file that an auditor can verify without the ledger
    Export {
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print the proof that an entry is in the log (c2sp.org/tlog-proof)
    Prove {
        /// The entry
        index: u64,
        /// A file to write instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print the signed checkpoint of the log (c2sp.org/tlog-checkpoint)
    Checkpoint,
    /// Print the key that checks checkpoints and proofs (c2sp.org/signed-note)
    Key,
    /// Go on after an honest recovery that lost entries; what was seen before is kept as evidence
    Accept {
        #[command(flatten)]
        dry: DryRun,
    },
}

pub(crate) async fn run(context: &Context, command: AuditCommand) -> Result<Status, Failure> {
    let done = match command {
        AuditCommand::Verify(args) => return verify::run(context, args).await,
        AuditCommand::Log(args) => log::run(context, args).await,
        AuditCommand::Export { out } => export::run(context, &out).await,
        AuditCommand::Prove { index, out } => proofs::prove(context, index, out.as_deref()).await,
        AuditCommand::Checkpoint => proofs::checkpoint(context).await,
        AuditCommand::Key => proofs::key(context).await,
        AuditCommand::Accept { dry } => accept::run(context, dry).await,
    };
    done.map(|()| Exit::Ok.into())
}

/// Writes a file that anybody may read: there is no secret in a log.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|error| Failure::file(path, &error))
}
