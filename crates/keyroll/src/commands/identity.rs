//! `keyroll identity`: the key pair that signs.

use keyroll_core::MemberId;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use crate::context::{Context, signing_file};
use crate::error::Failure;
use crate::identity_file;

#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Create a key pair. An existing identity file is never overwritten
    #[command(
        after_help = "Examples:\n  keyroll identity new\n  keyroll identity new --passphrase --out ana.pem"
    )]
    New {
        /// File to write [default: the identity of the settings]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Encrypt the file with a passphrase. keyroll asks for it at the terminal, or reads the file that
        /// $KEYROLL_PASSPHRASE_FILE names
        #[arg(long)]
        passphrase: bool,
    },
    /// Print your public key and the file that holds the key pair
    #[command(
        after_help = "Examples:\n  keyroll identity show\n  keyroll --identity ana.pem identity show"
    )]
    Show,
}

pub(crate) fn run(context: &Context, command: &IdentityCommand) -> Result<(), Failure> {
    let of_settings = || context.settings().map(|settings| settings.identity.value);
    match command {
        IdentityCommand::New { out, passphrase } => {
            let path = out.clone().map_or_else(of_settings, Ok)?;
            let passphrase = passphrase
                .then(|| {
                    context
                        .passphrase_source()
                        .fresh(&path.display().to_string())
                })
                .transpose()?;
            let words = passphrase.as_ref().map(|words| words.as_str());
            let key = identity_file::create(&path, words)?;
            show(context, identity_file::identity(&key).into(), &path)
        }
        IdentityCommand::Show => {
            let path = signing_file(&context.settings()?);
            show(context, context.signer(&path)?.member(), &path)
        }
    }
}

fn show(context: &Context, identity: MemberId, path: &Path) -> Result<(), Failure> {
    let path = path.display();
    if context.out.json {
        return context
            .out
            .document(&json!({"identity": identity, "file": path.to_string()}));
    }
    context.out.line(&format!("{identity} {path}"))
}
