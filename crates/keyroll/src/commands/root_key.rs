//! Where the root key is kept, and `keyroll root-key`, which keeps it elsewhere.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use keyroll_core::crypto::Key;
use keyroll_server::keys::{locked_root, plain_root};
use keyroll_server::root_key::{
    CredentialDirectory, LockedFile, PlainFile, RootKeySource, write_locked, write_plain,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::serve::{self, ServeFile};
use crate::context::Context;
use crate::error::Failure;
use crate::passphrase::PassphraseSource;

/// A place for the root key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RootKeyPlace {
    /// `keys/root.key` in the home, for whoever can read that
    #[default]
    File,
    /// `keyroll-root-key` among systemd's credentials ($`CREDENTIALS_DIRECTORY`)
    Credential,
    /// `keys/root.locked` in the home, under a passphrase from the terminal or from the file that
    /// `KEYROLL_ROOT_PASSPHRASE_FILE` names
    Passphrase,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RootKeyCommand {
    /// Keep the root key elsewhere; what it wraps stays as it is
    Move {
        /// Where to
        #[arg(value_enum)]
        to: RootKeyPlace,
    },
}

impl RootKeyPlace {
    const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Credential => "credential",
            Self::Passphrase => "passphrase",
        }
    }

    /// The place, ready to be read from.
    pub(crate) fn source(
        self,
        context: &Context,
        keys: &Path,
    ) -> Result<Box<dyn RootKeySource>, Failure> {
        Ok(match self {
            Self::File => Box::new(PlainFile(plain_root(keys))),
            Self::Credential => Box::new(CredentialDirectory(credentials()?)),
            Self::Passphrase => {
                let file = locked_root(keys);
                let passphrase = passphrase_source(context).present(&file.display().to_string())?;
                Box::new(LockedFile { file, passphrase })
            }
        })
    }

    /// Puts a key there.
    pub(crate) fn keep(self, context: &Context, keys: &Path, key: &Key) -> Result<(), Failure> {
        match self {
            Self::File => write_plain(&plain_root(keys), key).map_err(local),
            Self::Passphrase => {
                let file = locked_root(keys);
                let words = passphrase_source(context).fresh(&file.display().to_string())?;
                write_locked(&file, key, &words).map_err(local)
            }
            // Only systemd can put it there.
            Self::Credential => {
                let there = self.source(context, keys)?.root_key().map_err(local)?;
                if there.bytes() == key.bytes() {
                    return Ok(());
                }
                Err(Failure::usage(
                    "the credential holds another key than the ledger's root key",
                ))
            }
        }
    }
}

fn local(error: impl std::fmt::Display) -> Failure {
    Failure::local(error.to_string())
}

fn passphrase_source(context: &Context) -> PassphraseSource {
    PassphraseSource {
        variable: "KEYROLL_ROOT_PASSPHRASE_FILE",
        may_ask: context.may_ask(),
    }
}

fn credentials() -> Result<PathBuf, Failure> {
    std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(PathBuf::from)
        .ok_or_else(|| {
            Failure::usage(
                "there are no credentials: $CREDENTIALS_DIRECTORY is not set, run this as a systemd \
                 service with LoadCredentialEncrypted=keyroll-root-key",
            )
        })
}

/// For `init`: a place that a new key can be put into.
pub(crate) fn writable(place: RootKeyPlace) -> Result<(), Failure> {
    if place == RootKeyPlace::Credential {
        return Err(Failure::usage(
            "only systemd puts keys among its credentials: start with a file, and move the key after",
        ));
    }
    Ok(())
}

pub(crate) fn run(context: &Context, command: &RootKeyCommand) -> Result<(), Failure> {
    let RootKeyCommand::Move { to } = command;
    let home = context.settings()?.home.value;
    let (mut file, keys) = (ServeFile::load(&home)?, serve::keys(&home));
    let from = file.root_key;
    if from == *to {
        let message = format!("the root key is kept as {} already", to.name());
        return Err(Failure::coded(keyroll_core::Code::Conflict, message));
    }
    let key = from.source(context, &keys)?.root_key().map_err(local)?;
    to.keep(context, &keys, &key)?;
    // What was written opens, or nothing changes.
    let written = to.source(context, &keys)?.root_key().map_err(local)?;
    if written.bytes() != key.bytes() {
        return Err(Failure::local(
            "the key does not come back from its new place",
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
        "the root key is kept as {} from now on. Try `keyroll serve`, then erase {old}, with its copies",
        to.name()
    );
    context.out.done(
        &json!({"from": from.name(), "to": to.name(), "old": old}),
        &words,
    )
}
