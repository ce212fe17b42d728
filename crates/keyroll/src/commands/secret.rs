//! `keyroll secret`.

mod create;
mod destroy;
mod edit;
mod lifecycle;
mod read;
mod reveal;

use clap::Subcommand;
use keyroll_core::names::HostPattern;
use keyroll_core::{Code, SecretId};
use keyroll_wire::reply::SecretRow;

use crate::context::Context;
use crate::dry_run::Performed;
use crate::error::Failure;
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Create a secret. Its value comes from a prompt, --stdin, --file or --generate
    #[command(
        after_help = "Examples:\n  keyroll secret create API_Key --generate=48\n  printf %s \"$TOKEN\" | keyroll secret create API_Key --stdin --allow-host api.example.com"
    )]
    Create(create::CreateArgs),
    /// Give a secret a new value, as a new version that is current at once
    #[command(
        after_help = "Examples:\n  keyroll secret edit API_Key --file key.txt --trim\n  keyroll secret edit API_Key --generate --if-version 3 --reason \"yearly rotation\""
    )]
    Edit(edit::EditArgs),
    /// Change a secret's description, hosts, restriction or rotation period. The rest stays as it is
    #[command(
        after_help = "Examples:\n  keyroll secret describe API_Key --rotate-every 90d\n  keyroll secret describe API_Key --allow-host *.example.com"
    )]
    Describe(edit::DescribeArgs),
    /// Print a secret's value, byte for byte. The audit log records the reveal before it is released
    #[command(
        after_help = "Examples:\n  keyroll secret reveal API_Key\n  keyroll secret reveal API_Key --version 2 --reason \"incident 7\""
    )]
    Reveal(reveal::RevealArgs),
    /// List secrets, without their values
    #[command(
        after_help = "Examples:\n  keyroll secret list 'stripe_*'\n  keyroll secret list --stale --json"
    )]
    List(read::ListArgs),
    /// Show one secret, without its value
    #[command(
        after_help = "Examples:\n  keyroll secret show API_Key --readers\n  keyroll secret show API_Key --at 2h"
    )]
    Show(read::ShowArgs),
    /// List a secret's versions, newest first
    #[command(after_help = "Example:\n  keyroll secret history API_Key")]
    History {
        /// Name of the secret
        name: String,
    },
    /// Rename a secret
    #[command(after_help = "Example:\n  keyroll secret rename API_Key CRM_API_Key")]
    Rename(lifecycle::RenameArgs),
    /// Make the value of an earlier version current again, as a new version
    #[command(
        after_help = "Example:\n  keyroll secret rollback API_Key --to 2 --reason \"version 3 does not work\""
    )]
    Rollback(edit::RollbackArgs),
    /// Delete a secret. Nobody can reveal it until somebody restores it
    #[command(
        after_help = "Examples:\n  keyroll secret delete API_Key\n  keyroll secret delete API_Key --dry-run"
    )]
    Delete(lifecycle::NamedArgs),
    /// Destroy a secret, or some of its versions, for good. The service erases the values from the vault
    #[command(
        after_help = "Examples:\n  keyroll secret destroy API_Key\n  keyroll secret destroy API_Key --version 2 --version 3"
    )]
    Destroy(destroy::DestroyArgs),
    /// Restore a deleted secret
    #[command(after_help = "Example:\n  keyroll secret restore API_Key")]
    Restore(lifecycle::RestoreArgs),
}

pub(crate) async fn run(context: &Context, command: SecretCommand) -> Result<(), Failure> {
    match command {
        SecretCommand::Create(args) => create::run(context, args).await,
        SecretCommand::Edit(args) => edit::edit(context, args).await,
        SecretCommand::Describe(args) => edit::describe(context, args).await,
        SecretCommand::Reveal(args) => reveal::run(context, args).await,
        SecretCommand::List(args) => read::list(context, args).await,
        SecretCommand::Show(args) => read::show(context, args).await,
        SecretCommand::History { name } => read::history(context, &name).await,
        SecretCommand::Rename(args) => lifecycle::rename(context, args).await,
        SecretCommand::Rollback(args) => edit::rollback(context, args).await,
        SecretCommand::Delete(args) => lifecycle::delete(context, args).await,
        SecretCommand::Destroy(args) => destroy::run(context, args).await,
        SecretCommand::Restore(args) => lifecycle::restore(context, args).await,
    }
}

/// An id that no secret has.
const NO_SECRET: SecretId = SecretId([0; 16]);

/// Looks up the secret that a command acts on. Where the ledger refuses to show it, this sends the command
/// all the same, on an id that no secret has: then the ledger itself refuses, and records the refusal
/// unless it is a dry run.
async fn shown(
    look: impl Future<Output = Result<SecretRow, Failure>>,
    act: impl Future<Output = Result<Performed, Failure>>,
) -> Result<SecretRow, Failure> {
    match look.await {
        Err(failure) if failure.code() == Code::Denied.as_str() => {
            Err(act.await.err().unwrap_or(failure))
        }
        looked => looked,
    }
}

fn hosts(patterns: &[String]) -> Result<Vec<HostPattern>, Failure> {
    patterns.iter().map(|pattern| host(pattern)).collect()
}

/// Parses a host pattern. The resolver must be able to parse it too, otherwise it would never match.
fn host(pattern: &str) -> Result<HostPattern, Failure> {
    if pattern.parse::<keyroll_resolver::HostPattern>().is_err() {
        let message = format!(
            "{pattern:?} is not a host pattern. Write for example api.example.com, *.example.com or \
             https://api.example.com:8443"
        );
        return Err(Failure::coded(Code::InvalidName, message));
    }
    Ok(pattern.parse()?)
}

/// Parses a rotation period, in seconds.
fn period(text: &str) -> Result<u64, Failure> {
    match time::duration(text)?.as_secs() {
        0 => Err(Failure::usage("a rotation period is at least 1s")),
        seconds => Ok(seconds),
    }
}
