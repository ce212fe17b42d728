//! `config.toml` in the home directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use keyroll_core::{Code, LedgerId};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::private_file;

/// The settings in the file. It may hold a NATS password, so its mode is 0600.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The pinned ledger; any other is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ledger: Option<LedgerId>,
    /// The NATS URL of the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nats_url: Option<String>,
    /// The file of NATS credentials; a relative path starts in the home directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nats_creds: Option<PathBuf>,
    /// The certificate that signs those of the nats-servers; a relative path starts in the home directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nats_ca: Option<PathBuf>,
    /// The default workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workspace: Option<String>,
    /// The identity file; a relative path starts in the home directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<PathBuf>,
}

/// The path of the file.
pub(crate) fn path(home: &Path) -> PathBuf {
    home.join("config.toml")
}

impl Config {
    /// Reads the file of a home directory; a missing file has no settings.
    pub(crate) fn load(home: &Path) -> Result<Self, Failure> {
        let path = path(home);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::file(&path, &error)),
        };
        // The parser's message quotes the line, which may hold a password.
        toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let path = path.display();
            Failure::usage(format!("{path}, line {line}: {}", error.message()))
        })
    }

    /// Writes the file of a home directory, in place of an old one.
    pub(crate) fn store(&self, home: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self)
            .map_err(|error| Failure::local(format!("config.toml cannot be written: {error}")))?;
        private_file::replace(&path(home), text.as_bytes())
    }
}

/// Adds the ledger's id to the file, and leaves the rest as its owner wrote it.
pub(crate) fn pin(home: &Path, ledger: &LedgerId) -> Result<(), Failure> {
    let path = path(home);
    private_file::make_directory(home)?;
    // Several programs may meet the ledger for the first time at once.
    let lock = home.join(".config.lock");
    let _locked =
        keyroll_client::private_files::lock(&lock).map_err(|error| Failure::file(&lock, &error))?;
    match Config::load(home)?.ledger {
        Some(pinned) if pinned == *ledger => return Ok(()),
        Some(pinned) => {
            let message = format!(
                "this home directory belongs to ledger {pinned}, not to {ledger}. Check --nats, or use another --home"
            );
            return Err(Failure::coded(Code::WrongLedger, message));
        }
        None => {}
    }
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::file(&path, &error)),
    };
    private_file::replace(&path, format!("ledger = \"{ledger}\"\n{text}").as_bytes())
}

/// Adds settings to the file that it does not have yet, and leaves the rest as its owner wrote it.
pub(crate) fn add_missing(home: &Path, wanted: &Config) -> Result<(), Failure> {
    let lock = home.join(".config.lock");
    let _locked =
        keyroll_client::private_files::lock(&lock).map_err(|error| Failure::file(&lock, &error))?;
    let known = Config::load(home)?;
    let added = Config {
        ledger: wanted.ledger.filter(|_| known.ledger.is_none()),
        nats_url: wanted.nats_url.clone().filter(|_| known.nats_url.is_none()),
        nats_ca: wanted.nats_ca.clone().filter(|_| known.nats_ca.is_none()),
        workspace: wanted
            .workspace
            .clone()
            .filter(|_| known.workspace.is_none()),
        ..Config::default()
    };
    if added == Config::default() {
        return Ok(());
    }
    let path = path(home);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::file(&path, &error)),
    };
    let added = toml::to_string(&added)
        .map_err(|error| Failure::local(format!("config.toml cannot be written: {error}")))?;
    // In front: tables of the file would take in lines behind them.
    private_file::replace(&path, format!("{added}{text}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_ledger_joins_what_is_there() {
        let home = tempfile::tempdir().expect("a directory");
        assert_eq!(Config::load(home.path()).ok(), Some(Config::default()));
        fs::write(path(home.path()), "# mine\nworkspace = \"demo\"\n").expect("written");
        let ledger = LedgerId([7; 32]);
        pin(home.path(), &ledger).expect("pinned");
        let config = Config::load(home.path()).expect("read");
        assert_eq!(
            (config.ledger, config.workspace.as_deref()),
            (Some(ledger), Some("demo"))
        );
        assert!(
            fs::read_to_string(path(home.path()))
                .expect("read")
                .contains("# mine")
        );
        config.store(home.path()).expect("written");
        assert_eq!(Config::load(home.path()).ok(), Some(config));
    }

    #[test]
    fn settings_are_added_only_where_there_are_none() {
        let home = tempfile::tempdir().expect("a directory");
        let wanted = Config {
            ledger: Some(LedgerId([7; 32])),
            nats_url: Some("nats://a:1".to_owned()),
            workspace: Some("demo".to_owned()),
            ..Config::default()
        };
        add_missing(home.path(), &wanted).expect("written");
        assert_eq!(Config::load(home.path()).ok(), Some(wanted.clone()));
        fs::write(path(home.path()), "# mine\nworkspace = \"own\"\n").expect("written");
        add_missing(home.path(), &wanted).expect("written");
        let config = Config::load(home.path()).expect("read");
        assert_eq!(config.workspace.as_deref(), Some("own"));
        assert_eq!(config.nats_url, wanted.nats_url);
        let text = fs::read_to_string(path(home.path())).expect("read");
        assert!(text.contains("# mine"), "{text}");
    }

    #[test]
    fn errors_name_the_line_and_quote_nothing() {
        let home = tempfile::tempdir().expect("a directory");
        for text in [
            "\nnats_url = hunter2",
            "\nhome = \"hunter2\"",
            "\nledger = \"hunter2\"",
        ] {
            fs::write(path(home.path()), text).expect("written");
            let error = Config::load(home.path()).expect_err("refused");
            assert!(error.message().contains("line 2"), "{}", error.message());
            assert!(!error.message().contains("hunter2"), "{}", error.message());
        }
    }
}
