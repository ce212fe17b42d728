//! `keyroll identity`: the key pair that signs.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use keyroll_core::Identity;
use serde_json::json;

use crate::context::Context;
use crate::error::Failure;
use crate::identity_file;

#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Make a key pair; an identity file that is there is never overwritten
    New {
        /// The file to write, instead of the identity of the settings
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Lock the file with a passphrase, from the terminal or the file that
        /// KEYROLL_PASSPHRASE_FILE names
        #[arg(long)]
        passphrase: bool,
    },
    /// Print the public key, then the file it comes from
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
            show(context, identity_file::identity(&key), &path)
        }
        IdentityCommand::Show => {
            let path = of_settings()?;
            show(context, context.signer(&path)?.identity(), &path)
        }
    }
}

fn show(context: &Context, identity: Identity, path: &Path) -> Result<(), Failure> {
    let path = path.display();
    if context.out.json {
        return context
            .out
            .document(&json!({"identity": identity, "file": path.to_string()}));
    }
    context.out.line(&format!("{identity} {path}"))
}
