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

/// A place where the root key is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RootKeyPlace {
    /// File `keys/root.key` in the home directory; anybody who can read it has the key
    #[default]
    File,
    /// Credential `keyroll-root-key` of systemd ($`CREDENTIALS_DIRECTORY`)
    Credential,
    /// File `keys/root.locked` in the home directory, encrypted with a passphrase. keyroll asks for it at
    /// the terminal, or reads the file that `KEYROLL_ROOT_PASSPHRASE_FILE` names
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

    /// The source that reads the key from this place.
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

    /// Stores a key in this place.
    pub(crate) fn keep(self, context: &Context, keys: &Path, key: &Key) -> Result<(), Failure> {
        match self {
            Self::File => write_plain(&plain_root(keys), key).map_err(local),
            Self::Passphrase => {
                let file = locked_root(keys);
                let words = passphrase_source(context).fresh(&file.display().to_string())?;
                write_locked(&file, key, &words).map_err(local)
            }
            // Only systemd can write its credentials.
            Self::Credential => {
                let there = self.source(context, keys)?.root_key().map_err(local)?;
                if there.bytes() == key.bytes() {
                    return Ok(());
                }
                Err(Failure::usage(
                    "the credential holds another key than the ledger's root key. Encrypt keys/root.key into it first",
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
                "$CREDENTIALS_DIRECTORY is not set, so there are no credentials. Run this as a systemd \
                 service with LoadCredentialEncrypted=keyroll-root-key",
            )
        })
}

/// For `init`: checks that a new key can be stored in a place.
pub(crate) fn writable(place: RootKeyPlace) -> Result<(), Failure> {
    if place == RootKeyPlace::Credential {
        return Err(Failure::usage(
            "keyroll cannot write systemd credentials. Use --root-key file now, and `keyroll root-key move \
             credential` later",
        ));
    }
    Ok(())
}
