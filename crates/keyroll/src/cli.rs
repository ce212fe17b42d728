//! The shape of the command line. Each subcommand's own arguments stand with the subcommand.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    audit, block, command, completions, config, console, delegation, dev, export, identity, import,
    init, key, member, projection, recover, root_key, run, secret, serve, workspace,
};
use crate::exit_code::HELP;

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

/// Options of every command. The environment is read elsewhere, so that help never shows it:
/// a NATS URL holds a password.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where configuration, identity and the highest checkpoints seen are kept [KEYROLL_HOME;
    /// else $XDG_DATA_HOME/keyroll]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// How to reach the ledger: nats://USER:PASSWORD@HOST:PORT[,HOST:PORT…] [KEYROLL_NATS_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// The workspace [KEYROLL_WORKSPACE]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) workspace: Option<String>,
    /// The identity that signs: Ed25519, PKCS#8 PEM [KEYROLL_IDENTITY; else identity.pem in the
    /// home]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// JSON on stdout, and errors as JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Answer yes to every question
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Ask nothing: what would be asked for is an error
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
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

/// For commands that change something.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DryRun {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

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
