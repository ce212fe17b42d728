//! Options that several subcommands share.

use std::path::PathBuf;

use clap::Args;

/// Options of every command. `context` reads the environment, not clap, so that help never shows its
/// values: a NATS URL holds a password.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Directory of the configuration, the identity and the trusted checkpoints [default:
    /// $KEYROLL_HOME, else $XDG_DATA_HOME/keyroll, else ~/.local/share/keyroll]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// NATS URL of the ledger: nats://HOST:PORT[,HOST:PORT…] [default: $KEYROLL_NATS_URL, else
    /// `nats_url` in config.toml, else nats://127.0.0.1:4222]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// File of NATS credentials (.creds) of your own [default: $KEYROLL_NATS_CREDS, else `nats_creds` in
    /// config.toml, else the ledger issues them]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) nats_creds: Option<PathBuf>,
    /// File of the certificate that signs those of the nats-servers (PEM) [default: $KEYROLL_NATS_CA, else
    /// `nats_ca` in config.toml, else those that the machine trusts]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) nats_ca: Option<PathBuf>,
    /// Workspace to use [default: $KEYROLL_WORKSPACE, else `workspace` in config.toml]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) workspace: Option<String>,
    /// File of the key that signs: Ed25519, PKCS#8 PEM [default: $KEYROLL_IDENTITY, else `identity`
    /// in config.toml, else identity.pem in the home directory]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Print JSON on stdout, and notes and errors as JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Answer yes to every question
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Never ask a question: a command that needs an answer fails
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
}

/// For commands that change something.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DryRun {
    /// Show what the command would do, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
