//! `keyroll identity`: the key pair that signs.

use std::path::PathBuf;

use clap::Subcommand;
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
    },
    /// Print the public key, then the file it comes from
    Show,
}

pub(crate) fn run(context: &Context, command: &IdentityCommand) -> Result<(), Failure> {
    let (key, path) = match command {
        IdentityCommand::New { out: Some(path) } => (identity_file::create(path)?, path.clone()),
        IdentityCommand::New { out: None } => {
            let path = context.settings()?.identity.value;
            (identity_file::create(&path)?, path)
        }
        IdentityCommand::Show => {
            let path = context.settings()?.identity.value;
            (identity_file::load(&path)?, path)
        }
    };
    let (identity, path) = (identity_file::identity(&key), path.display());
    if context.out.json {
        return context
            .out
            .document(&json!({"identity": identity, "file": path.to_string()}));
    }
    context.out.line(&format!("{identity} {path}"))
}
