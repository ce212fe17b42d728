//! The shape of the command line. Each subcommand's own arguments stand with the subcommand.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    accept, audit, block, command, completions, config, console, dev, export, identity, import,
    init, key, login, member, nats, projection, recover, root_key, run, secret, serve, signin,
    status, workspace,
};
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, HELP, Status};
use crate::options::Global;

/// The output of `--version`: also the versions of the rules in the logs that this program reads.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nreads logs of versions 1, 2, 3 and 4"
);

/// An audit-first secret ledger. Every create, edit, reveal and delete of a secret is a signed entry
/// in an append-only log, and keyroll releases a value only after that entry is on disk.
#[derive(Debug, Parser)]
#[command(name = "keyroll", version, long_version = LONG_VERSION, after_help = HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a private ledger on this machine: nats-server, keys, the service and a workspace `demo`
    #[command(
        after_help = "Examples:\n  keyroll dev\n  keyroll dev --ephemeral -- keyroll secret create API_Key --generate"
    )]
    Dev(dev::DevArgs),
    /// Set up a ledger on your own nats-server: create its keys and streams (operators)
    #[command(
        after_help = "Examples:\n  keyroll init --print-nats-config --out nats\n  keyroll init --nats nats://127.0.0.1:4222 --credentials nats --monitoring http://127.0.0.1:8222"
    )]
    Init(Box<init::InitArgs>),
    /// Run the service (operators)
    #[command(
        after_help = "Examples:\n  keyroll --home /var/lib/keyroll serve\n  keyroll serve --metrics 127.0.0.1:9090 --console 127.0.0.1:8443"
    )]
    Serve(serve::ServeArgs),
    /// Create or show your key pair
    #[command(
        subcommand,
        after_help = "Examples:\n  keyroll identity new\n  keyroll identity show"
    )]
    Identity(identity::IdentityCommand),
    /// Join a workspace by an invitation, with a key pair of your own
    #[command(
        after_help = "Examples:\n  keyroll accept keyroll://…\n  keyroll accept - < link.txt"
    )]
    Accept(accept::AcceptArgs),
    /// Sign a command for another NATS client to send, or show a signed form
    #[command(
        subcommand,
        name = "command",
        after_help = "Examples:\n  keyroll command sign workspace.create < /dev/null | nats request keyroll.v1.demo.command\n  keyroll command open < reply.bin"
    )]
    Signed(command::SignedCommand),
    /// Create, list and inspect workspaces
    #[command(
        subcommand,
        after_help = "Examples:\n  keyroll workspace list\n  keyroll workspace create billing"
    )]
    Workspace(workspace::WorkspaceCommand),
    /// Sign in this machine: a fresh key acts for you for a while, and your identity file is used once. `keyroll console
    /// login` signs in a shared console
    #[command(
        after_help = "Examples:\n  keyroll login --identity /media/usb/ana.pem\n  keyroll login --expires 2h"
    )]
    Login(login::LoginArgs),
    /// Close the sign-in of this machine, and delete its key
    #[command(after_help = "Example:\n  keyroll logout")]
    Logout,
    /// List and close sign-ins
    #[command(
        subcommand,
        name = "signin",
        after_help = "Examples:\n  keyroll signin list\n  keyroll signin close --all"
    )]
    SignIn(signin::SignInCommand),
    /// Add, change, remove and list the members of a workspace
    #[command(
        subcommand,
        after_help = "Examples:\n  keyroll member add ana ed25519:KEY --role editor\n  keyroll member list"
    )]
    Member(member::MemberCommand),
    /// Create, edit, reveal and manage secrets
    #[command(
        subcommand,
        after_help = "Examples:\n  keyroll secret create API_Key\n  keyroll secret reveal API_Key"
    )]
    Secret(secret::SecretCommand),
    /// Rotate the workspace's wrapping key
    #[command(subcommand, after_help = "Example:\n  keyroll key rotate")]
    Key(key::KeyCommand),
    /// Run a command with secrets in its environment, and mask their values in its output
    #[command(
        after_help = "Examples:\n  keyroll run -- ./deploy.sh\n  keyroll run --only DB_Password,API_Key -- psql"
    )]
    Run(run::RunArgs),
    /// Create secrets from a dotenv, JSON or YAML file
    #[command(
        after_help = "Examples:\n  keyroll import .env --dry-run\n  keyroll import secrets.json --replace"
    )]
    Import(import::ImportArgs),
    /// Write the values of secrets to a dotenv, JSON or YAML file. The audit log records the reveal
    #[command(
        after_help = "Examples:\n  keyroll export --out secrets.json\n  keyroll export --format dotenv --only API_Key --reason \"local tests\""
    )]
    Export(export::ExportArgs),
    /// Check, save and run blocks of workflows, which use secrets by name
    #[command(
        subcommand,
        after_help = "Examples:\n  keyroll block check invoice.json\n  keyroll block run invoice.json --block push-invoice"
    )]
    Block(block::BlockCommand),
    /// Read, verify and export the audit log
    #[command(
        subcommand,
        after_help = "Examples:\n  keyroll audit log --secret API_Key\n  keyroll audit verify --full"
    )]
    Audit(audit::AuditCommand),
    /// Serve the Settings → Secrets page in a browser
    #[command(
        after_help = "Examples:\n  keyroll console\n  keyroll console login https://keyroll.example.com"
    )]
    Console(console::ConsoleArgs),
    /// Get NATS credentials for other NATS clients
    #[command(
        subcommand,
        after_help = "Example:\n  keyroll nats creds --out app.creds"
    )]
    Nats(nats::NatsCommand),
    /// Inspect or rebuild the read model (operators)
    #[command(
        subcommand,
        after_help = "Examples:\n  keyroll projection status\n  keyroll projection rebuild"
    )]
    Projection(projection::ProjectionCommand),
    /// Move the root key to another place (operators)
    #[command(
        subcommand,
        after_help = "Example:\n  keyroll root-key move passphrase"
    )]
    RootKey(root_key::RootKeyCommand),
    /// Repair a damaged or rolled-back log, after showing the plan (operators)
    #[command(
        after_help = "Examples:\n  keyroll recover --dry-run\n  keyroll recover --operator-creds operator.creds"
    )]
    Recover(recover::RecoverArgs),
    /// Show the service's status. The exit status is 6 while there are problems
    #[command(after_help = "Examples:\n  keyroll status\n  keyroll status --json")]
    Status,
    /// Show the settings
    #[command(subcommand, after_help = "Example:\n  keyroll config show --origin")]
    Config(config::ConfigCommand),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  keyroll completions bash > ~/.local/share/bash-completion/completions/keyroll"
    )]
    Completions(completions::CompletionsArgs),
    /// Print a manual page (roff)
    #[command(
        after_help = "Examples:\n  keyroll man | man -l -\n  keyroll man secret create > keyroll-secret-create.1"
    )]
    Man(completions::ManArgs),
}

impl Command {
    /// Runs the subcommand.
    pub(crate) async fn run(self, context: &Context) -> Result<Status, Failure> {
        let done = match self {
            Self::Dev(args) => return Box::pin(dev::run(context, args)).await,
            Self::Audit(command) => return audit::run(context, command).await,
            Self::Block(command) => return block::run(context, command).await,
            Self::Run(args) => return run::run(context, args).await,
            Self::Import(args) => import::run(context, args).await,
            Self::Export(args) => export::run(context, args).await,
            Self::Init(args) => init::run(context, *args).await,
            Self::Serve(args) => serve::run(context, args).await,
            Self::Accept(args) => accept::run(context, args).await,
            Self::Identity(command) => identity::run(context, &command),
            Self::Signed(command) => command::run(context, command).await,
            Self::Workspace(command) => workspace::run(context, command).await,
            Self::Login(args) => login::login(context, args).await,
            Self::Logout => login::logout(context).await,
            Self::SignIn(command) => signin::run(context, command).await,
            Self::Member(command) => member::run(context, command).await,
            Self::RootKey(command) => root_key::run(context, &command),
            Self::Secret(command) => secret::run(context, command).await,
            Self::Console(args) => console::run(context, args).await,
            Self::Key(command) => key::run(context, command).await,
            Self::Nats(command) => nats::run(context, command).await,
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
    fn the_version_lists_the_logs_that_the_program_reads() {
        let (_, logs) = LONG_VERSION.split_once('\n').expect("two lines");
        let numbers: Vec<u32> = logs
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        let known = keyroll_core::Rules::ALL.map(keyroll_core::Rules::number);
        assert_eq!(numbers, known);
    }

    /// Every command of the tree, the program itself first.
    fn commands() -> Vec<clap::Command> {
        let mut program = Cli::command();
        program.build();
        let (mut all, mut next) = (Vec::new(), vec![program]);
        while let Some(command) = next.pop() {
            let below = command.get_subcommands();
            next.extend(below.filter(|below| below.get_name() != "help").cloned());
            all.push(command);
        }
        all
    }

    #[test]
    fn every_command_explains_itself_its_options_and_their_defaults() {
        for command in commands() {
            let name = command.get_bin_name().unwrap_or("keyroll").to_owned();
            assert!(command.get_about().is_some(), "{name}: no description");
            for option in command.get_arguments().filter(|one| !one.is_hide_set()) {
                let at = format!("{name}: {}", option.get_id());
                let help = option.get_help().unwrap_or_default().to_string();
                assert!(!help.is_empty(), "{at}: no help");
                let has_default = option.is_required_set()
                    || !option.get_default_values().is_empty()
                    || !option.get_action().takes_values()
                    || help.contains("[default: ")
                    || help.contains("required");
                assert!(has_default, "{at}: no default in {help:?}");
            }
        }
    }

    #[test]
    fn every_command_has_examples_that_parse() {
        for command in commands() {
            let name = command.get_bin_name().unwrap_or("keyroll").to_owned();
            let help = command.get_after_help().unwrap_or_default().to_string();
            let (_, examples) = help.split_once("Example").expect(&name);
            let examples = examples.lines().skip(1).take_while(|line| !line.is_empty());
            let examples: Vec<&str> = examples.collect();
            assert!(matches!(examples.len(), 1..=2), "{name}: {examples:?}");
            for example in examples {
                assert!(example.contains(command.get_name()), "{name}: {example}");
                let parts = example.split(['|', '<', '>']).map(str::trim);
                let own = parts.clone().find(|part| part.starts_with("keyroll"));
                let parsed = Cli::try_parse_from(words(own.expect(&name)));
                assert!(parsed.is_ok(), "{example}: {parsed:?}");
            }
        }
    }

    /// The words of a line, as a shell splits them.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quote) = (vec![String::new()], None);
        for c in line.chars() {
            match (c, quote) {
                (c, Some(open)) if c == open => quote = None,
                ('\'' | '"', None) => quote = Some(c),
                (' ', None) => words.push(String::new()),
                (c, _) => words.last_mut().expect("a word").push(c),
            }
        }
        words
    }

    #[test]
    fn global_options_stand_anywhere() {
        let cli = Cli::try_parse_from(["keyroll", "secret", "list", "--json", "-w", "demo"]);
        let global = cli.expect("parsed").global;
        assert!(global.json);
        assert_eq!(global.workspace.as_deref(), Some("demo"));
    }
}
