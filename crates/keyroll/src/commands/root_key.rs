//! `keyroll root-key`.

use clap::Subcommand;
use keyroll_server::keys::{locked_root, plain_root};
use serde_json::json;

use crate::context::Context;
use crate::error::Failure;
use crate::root_key_place::RootKeyPlace;
use crate::serve_file::{self, ServeFile};

#[derive(Debug, Subcommand)]
pub(crate) enum RootKeyCommand {
    /// Move the root key to another place. The key itself stays the same
    #[command(
        after_help = "Examples:\n  keyroll root-key move passphrase\n  keyroll root-key move credential"
    )]
    Move {
        /// New place of the root key
        #[arg(value_enum)]
        to: RootKeyPlace,
    },
}

fn local(error: impl std::fmt::Display) -> Failure {
    Failure::local(error.to_string())
}

pub(crate) fn run(context: &Context, command: &RootKeyCommand) -> Result<(), Failure> {
    let RootKeyCommand::Move { to } = command;
    let home = context.settings()?.home.value;
    let (mut file, keys) = (ServeFile::load(&home)?, serve_file::keys(&home));
    let from = file.root_key;
    if from == *to {
        let message = format!("the root key is in the place {} already", to.name());
        return Err(Failure::coded(keyroll_core::Code::Conflict, message));
    }
    let key = from.source(context, &keys)?.root_key().map_err(local)?;
    to.keep(context, &keys, &key)?;
    // Read it back before anything changes.
    let written = to.source(context, &keys)?.root_key().map_err(local)?;
    if written.bytes() != key.bytes() {
        return Err(Failure::local(
            "the key read back from the new place differs, so the settings stay as they are",
        ));
    }
    file.root_key = *to;
    file.store(&home)?;
    let old = match from {
        RootKeyPlace::File => plain_root(&keys).display().to_string(),
        RootKeyPlace::Passphrase => locked_root(&keys).display().to_string(),
        RootKeyPlace::Credential => "the credential".to_owned(),
    };
    let words = format!(
        "moved the root key to the place {}. Check that `keyroll serve` starts, then erase {old} and its copies",
        to.name()
    );
    context.out.done(
        &json!({"from": from.name(), "to": to.name(), "old": old}),
        &words,
    )
}
