//! `keyroll audit`: the audit log, and proofs about it.

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
    /// List the events of the audit log, one row each, the newest last
    #[command(
        after_help = "Examples:\n  keyroll audit log --secret API_Key --since 30d\n  keyroll audit log --actor ana --outcome denied --follow"
    )]
    Log(log::LogArgs),
    /// Verify the whole log: signatures, hashes, order and completeness. Exit status 6 on a problem
    #[command(
        after_help = "Examples:\n  keyroll audit verify --full\n  keyroll audit verify --bundle demo.log --key \"$(cat demo.vkey)\""
    )]
    Verify(verify::VerifyArgs),
    /// Write a bundle that an auditor can verify without the ledger
    #[command(after_help = "Example:\n  keyroll audit export --out demo.log")]
    Export {
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print the proof that an entry is in the log (c2sp.org/tlog-proof)
    #[command(after_help = "Example:\n  keyroll audit prove 17 --out entry-17.proof")]
    Prove {
        /// Index of the entry
        index: u64,
        /// File to write [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print the signed checkpoint of the log (c2sp.org/tlog-checkpoint)
    #[command(after_help = "Example:\n  keyroll audit checkpoint")]
    Checkpoint,
    /// Print the key that verifies checkpoints and proofs (c2sp.org/signed-note)
    #[command(after_help = "Example:\n  keyroll audit key > demo.vkey")]
    Key,
    /// Trust the ledger again after a recovery that lost entries. keyroll keeps the old checkpoint as
    /// evidence
    #[command(after_help = "Examples:\n  keyroll audit accept --dry-run\n  keyroll audit accept")]
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

/// Writes a file that anybody may read: a log holds no secret.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|error| Failure::file(path, &error))
}
