//! `serve.toml`, which `keyroll init` writes and `keyroll serve` reads.

use std::fs;
use std::path::{Path, PathBuf};

use keyroll_core::Identity;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::private_file;
use crate::root_key_place::RootKeyPlace;

/// The settings of the service. The file holds passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServeFile {
    /// NATS URL with the user `service`.
    pub(crate) ledger_url: String,
    /// NATS URL with the user `responder`.
    pub(crate) client_account_url: String,
    /// Monitoring addresses.
    pub(crate) monitoring: Vec<String>,
    /// The operators: they may create workspaces and maintain the read model.
    pub(crate) operators: Vec<Identity>,
    /// Place of the root key.
    #[serde(default)]
    pub(crate) root_key: RootKeyPlace,
}

impl ServeFile {
    pub(crate) fn path(home: &Path) -> PathBuf {
        home.join("serve.toml")
    }

    pub(crate) fn store(&self, home: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self)
            .map_err(|error| Failure::local(format!("serve.toml cannot be written: {error}")))?;
        private_file::replace(&Self::path(home), text.as_bytes())
    }

    pub(crate) fn load(home: &Path) -> Result<Self, Failure> {
        let path = Self::path(home);
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::usage(format!(
                "{} does not exist. Set the ledger up with `keyroll init`",
                path.display()
            )),
            _ => Failure::file(&path, &error),
        };
        private_file::check_mode(&path, &fs::metadata(&path).map_err(failed)?)?;
        let text = fs::read_to_string(&path).map_err(failed)?;
        // The parser would quote the line, which may hold a password.
        toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{}: {}", path.display(), error.message())))
    }
}

/// The keys of the ledger in a home.
pub(crate) fn keys(home: &Path) -> PathBuf {
    home.join("keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_writes_serve_reads() {
        let home = tempfile::tempdir().expect("a directory");
        assert!(
            ServeFile::load(home.path())
                .expect_err("missing")
                .message()
                .contains("keyroll init")
        );
        let file = ServeFile {
            ledger_url: "nats://service:x@h".to_owned(),
            client_account_url: "nats://responder:x@h".to_owned(),
            monitoring: vec!["http://h:8222".to_owned()],
            operators: vec![Identity([7; 32])],
            root_key: RootKeyPlace::Passphrase,
        };
        file.store(home.path()).expect("written");
        assert_eq!(ServeFile::load(home.path()).ok(), Some(file));
    }
}
