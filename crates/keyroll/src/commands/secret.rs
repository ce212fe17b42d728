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
use crate::dry_run::CommandOutcome;
use crate::error::Failure;
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Make a secret; its value comes from a prompt, --stdin, --file or --generate
    Create(create::CreateArgs),
    /// Give a secret a new value, which is current at once
    Edit(edit::EditArgs),
    /// Change what is said of a secret; what is not named stays
    Describe(edit::DescribeArgs),
    /// Print a value, byte for byte; the entry that says so is durable before
    Reveal(reveal::RevealArgs),
    /// Secrets; never their values
    List(read::ListArgs),
    /// One secret; never its value
    Show(read::ShowArgs),
    /// A secret's versions, newest first
    History {
        /// The secret
        name: String,
    },
    /// Give a secret another name
    Rename(lifecycle::RenameArgs),
    /// Give a secret the value of an earlier version, as a new version
    Rollback(edit::RollbackArgs),
    /// Hide a secret: it cannot be revealed until it is restored
    Delete(lifecycle::NamedArgs),
    /// End values for good: no copy is left in the vault
    Destroy(destroy::DestroyArgs),
    /// Bring a deleted secret back
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

/// What is to be acted on, as the ledger shows it. Where it shows the caller nothing, the act is sent
/// all the same, on an id that no secret has: the refusal is then the ledger's own, and on record
/// unless it is a dry run.
async fn shown(
    look: impl Future<Output = Result<SecretRow, Failure>>,
    act: impl Future<Output = Result<CommandOutcome, Failure>>,
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

/// A host pattern that the resolver can read too: else it would match nothing, forever.
fn host(pattern: &str) -> Result<HostPattern, Failure> {
    if pattern.parse::<keyroll_resolver::HostPattern>().is_err() {
        let message = format!(
            "{pattern:?} is no host: write api.example.com or *.example.com, with scheme and port if wanted"
        );
        return Err(Failure::coded(Code::InvalidName, message));
    }
    Ok(pattern.parse()?)
}

/// A period after which a new value is due, in seconds.
fn period(text: &str) -> Result<u64, Failure> {
    match time::duration(text)?.as_secs() {
        0 => Err(Failure::usage("a rotation period has at least a second")),
        seconds => Ok(seconds),
    }
}
