//! `serve.toml`, which `keyroll init` writes and `keyroll serve` reads.

use std::fs;
use std::path::{Path, PathBuf};

use keyroll_core::Identity;
use keyroll_nats::Creds;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::private_file;
use crate::root_key_place::RootKeyPlace;

/// Where the home directory of a service keeps its NATS credentials.
pub(crate) const NATS: &str = "nats";

/// The settings of the service. Paths are relative to its home directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServeFile {
    /// URL of the nats-servers.
    pub(crate) nats_url: String,
    /// NATS credentials of the user `service`.
    pub(crate) service_creds: PathBuf,
    /// NATS credentials of the user `responder`.
    pub(crate) responder_creds: PathBuf,
    /// Seed of the scoped key with which the service issues credentials to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clients_seed: Option<PathBuf>,
    /// Seconds that issued credentials last [default: 3600].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credential_seconds: Option<u64>,
    /// NATS credentials of a console beside the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) console_creds: Option<PathBuf>,
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

    /// Whether it names a file of credentials.
    pub(crate) fn names(&self, path: &Path) -> bool {
        let optional = [&self.clients_seed, &self.console_creds];
        let optional = optional.into_iter().flatten();
        [&self.service_creds, &self.responder_creds]
            .into_iter()
            .chain(optional)
            .any(|named| named == path)
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
        // The parser would quote the line, which may hold a password of an earlier version.
        toml::from_str(&text).map_err(|error| {
            let mut words = format!("{}: {}", path.display(), error.message());
            if text.contains("ledger_url") {
                words += ". An earlier version of keyroll wrote it: NATS users now have credentials in files. \
                          docs/operations.md says how to move";
            }
            Failure::usage(words)
        })
    }
}

/// What is left to know from the `serve.toml` of an earlier version, which held passwords in URLs.
#[derive(Debug, Deserialize)]
pub(crate) struct EarlierServeFile {
    #[expect(dead_code, reason = "only earlier files have it")]
    ledger_url: String,
    pub(crate) monitoring: Vec<String>,
    pub(crate) operators: Vec<Identity>,
    #[serde(default)]
    pub(crate) root_key: RootKeyPlace,
}

impl EarlierServeFile {
    /// `None` for a file of this version, or none at all.
    pub(crate) fn load(home: &Path) -> Result<Option<Self>, Failure> {
        let path = ServeFile::path(home);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(toml::from_str(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file(&path, &error)),
        }
    }
}

/// The keys of the ledger in a home.
pub(crate) fn keys(home: &Path) -> PathBuf {
    home.join("keys")
}

/// The most bytes of a seed's file.
const SEED_MAX: u64 = 1024;

/// Reads a seed from a file that only its owner may read.
pub(crate) fn read_seed(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let metadata = fs::metadata(path).map_err(failed)?;
    private_file::check_mode(path, &metadata)?;
    if metadata.len() > SEED_MAX {
        return Err(Failure::usage(format!("{} holds no seed", path.display())));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    Ok(text.trim().to_owned())
}

/// The account of a user, by its public key.
pub(crate) fn account_of(creds: &Creds) -> String {
    let claims = creds.claims();
    let account = claims.nats.issuer_account.as_ref();
    account.unwrap_or(&claims.iss).clone()
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
            nats_url: "nats://h".to_owned(),
            service_creds: "nats/service.creds".into(),
            responder_creds: "nats/responder.creds".into(),
            clients_seed: Some("nats/clients.nk".into()),
            credential_seconds: Some(60),
            console_creds: None,
            monitoring: vec!["http://h:8222".to_owned()],
            operators: vec![Identity([7; 32])],
            root_key: RootKeyPlace::Passphrase,
        };
        file.store(home.path()).expect("written");
        assert_eq!(ServeFile::load(home.path()).ok(), Some(file));
    }
}
