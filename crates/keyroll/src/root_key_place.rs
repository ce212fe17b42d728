//! The places where an operator can store the root key.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use keyroll_core::crypto::Key;
use keyroll_server::keys::{locked_root, plain_root};
use keyroll_server::root_key::{
    CredentialDirectory, LockedFile, PlainFile, RootKeySource, write_locked, write_plain,
};
use serde::{Deserialize, Serialize};

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

impl RootKeyPlace {
    pub(crate) const fn name(self) -> &'static str {
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
