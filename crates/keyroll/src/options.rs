//! Options that several subcommands share.

use std::path::PathBuf;

use clap::Args;

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

/// For commands that change something.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DryRun {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
