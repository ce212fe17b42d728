//! The shape of the command line. Each subcommand's own arguments stand with the subcommand.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    audit, block, command, completions, config, console, delegation, dev, export, identity, import,
    init, key, member, projection, recover, root_key, run, secret, serve, status, workspace,
};
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, HELP, Status};
use crate::options::Global;

/// An audit-first secret ledger: every create, edit, reveal and delete of a secret is a signed
/// entry in an append-only log, and nobody is given a value before that entry is durable.
#[derive(Debug, Parser)]
#[command(name = "keyroll", version, after_help = HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a private ledger on this machine: nats-server, keys, a workspace `demo`, the service
    Dev(dev::DevArgs),
    /// Set up a ledger on your own nats-server: keys and streams (operators)
    Init(init::InitArgs),
    /// Run the service (operators)
    Serve(serve::ServeArgs),
    /// Your key pair
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    /// Signed commands for any NATS client to send
    #[command(subcommand)]
    #[command(name = "command")]
    Signed(command::SignedCommand),
    /// Workspaces
    #[command(subcommand)]
    Workspace(workspace::WorkspaceCommand),
    /// Keys that speak for you for a while
    #[command(subcommand)]
    Delegation(delegation::DelegationCommand),
    /// Who may do what in a workspace
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Secrets
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// The workspace's wrapping key
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Run a command with secrets in its environment and its output masked
    Run(run::RunArgs),
    /// Make secrets from a dotenv, JSON or YAML file
    Import(import::ImportArgs),
    /// Write values to a dotenv, JSON or YAML file; what is revealed is on record
    Export(export::ExportArgs),
    /// Blocks of workflows, which use secrets by name
    #[command(subcommand)]
    Block(block::BlockCommand),
    /// The audit log and its proofs
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The Settings → Secrets page in a browser
    Console(console::ConsoleArgs),
    /// The read model (operators)
    #[command(subcommand)]
    Projection(projection::ProjectionCommand),
    /// Where the root key is kept (operators)
    #[command(subcommand)]
    RootKey(root_key::RootKeyCommand),
    /// Put a damaged or rolled-back log right again, after showing what that means (operators)
    Recover(recover::RecoverArgs),
    /// How the service is
    Status,
    /// Settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a shell's completions
    Completions(completions::CompletionsArgs),
    /// Print a manual page (roff)
    Man(completions::ManArgs),
}

impl Command {
    /// Runs the subcommand.
    pub(crate) async fn run(self, context: &Context) -> Result<Status, Failure> {
        let done = match self {
            Self::Dev(args) => return dev::run(context, args).await,
            Self::Audit(command) => return audit::run(context, command).await,
            Self::Block(command) => return block::run(context, command).await,
            Self::Run(args) => return run::run(context, args).await,
            Self::Import(args) => import::run(context, args).await,
            Self::Export(args) => export::run(context, args).await,
            Self::Init(args) => init::run(context, args).await,
            Self::Serve(args) => serve::run(context, args).await,
            Self::Identity(command) => identity::run(context, &command),
            Self::Signed(command) => command::run(context, command).await,
            Self::Workspace(command) => workspace::run(context, command).await,
            Self::Delegation(command) => delegation::run(context, command).await,
            Self::Member(command) => member::run(context, command).await,
            Self::RootKey(command) => root_key::run(context, &command),
            Self::Secret(command) => secret::run(context, command).await,
            Self::Console(args) => console::run(context, args).await,
            Self::Key(command) => key::run(context, command).await,
            Self::Projection(command) => projection::run(context, command).await,
            Self::Recover(args) => recover::run(context, args).await,
            Self::Status => return status::run(context).await,
            Self::Config(command) => config::run(context, &command),
            Self::Completions(args) => completions::completions(context, Cli::command(), &args),
            Self::Man(args) => completions::man(context, Cli::command(), &args),
        };
        done.map(|()| Exit::Ok.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_anywhere() {
        let cli = Cli::try_parse_from(["keyroll", "secret", "list", "--json", "-w", "demo"]);
        let global = cli.expect("parsed").global;
        assert!(global.json);
        assert_eq!(global.workspace.as_deref(), Some("demo"));
    }
}
