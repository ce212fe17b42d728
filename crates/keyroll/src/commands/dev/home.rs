//! The data directory of `keyroll dev`, which is also the home of its clients.

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use keyroll_client::{Client, Settings as ClientSettings};
use keyroll_core::command::Nothing;
use keyroll_core::{Action, Code, LedgerId, WorkspaceName};

use crate::config::Config;
use crate::error::Failure;
use crate::private_file;

/// The workspace that every private ledger has.
pub(super) const WORKSPACE: &str = "demo";

/// Creates the directory if it does not exist, and returns its absolute path.
pub(super) fn prepare(home: &Path) -> Result<PathBuf, Failure> {
    private_file::make_directory(home)?;
    home.canonicalize()
        .map_err(|error| Failure::file(home, &error))
}

/// Whether the directory never held a ledger. If it has keys or a read model, missing streams are damage,
/// and keyroll never creates them again.
pub(super) fn is_new(home: &Path) -> bool {
    !keys(home).exists() && !home.join("ledger.redb").exists()
}

pub(super) fn keys(home: &Path) -> PathBuf {
    home.join("keys")
}

pub(super) fn identity(home: &Path) -> PathBuf {
    home.join("identity.pem")
}

/// The NATS credentials of the owner, which `keyroll dev` renews while it runs.
pub(super) const CREDS: &str = "nats.creds";

/// Writes the address of the ledger for clients. The port is new at every start.
pub(super) fn write_config(home: &Path, nats_url: &str, ledger: LedgerId) -> Result<(), Failure> {
    // Keep the other settings.
    let config = Config::load(home)?;
    let workspace = config.workspace.or_else(|| Some(WORKSPACE.to_owned()));
    let config = Config {
        ledger: Some(ledger),
        nats_url: Some(nats_url.to_owned()),
        nats_creds: Some(CREDS.into()),
        workspace,
        ..config
    };
    config.store(home)
}

/// Creates the workspace, once. If the ledger refuses, this gives a warning and the ledger stays up: a person
/// has to inspect the damage, and can still read what a later version of the program wrote.
pub(super) async fn ensure_workspace(
    home: &Path,
    nats_url: &str,
    identity: SigningKey,
    ledger: LedgerId,
) -> Result<Option<String>, Failure> {
    let settings = ClientSettings {
        nats_url: nats_url.to_owned(),
        nats_creds: Some(home.join(CREDS)),
        nats_ca: None,
        identity: identity.into(),
        ledger: Some(ledger),
        home: Some(home.to_owned()),
    };
    let client = Client::connect(settings).await?;
    let workspace: WorkspaceName = WORKSPACE.parse()?;
    match client
        .execute(&workspace, Action::WorkspaceCreate(Nothing {}))
        .await
    {
        Ok(_) => Ok(None),
        // This refusal makes no entry, so the command can be sent at every start.
        Err(error) if error.code() == Code::Conflict => Ok(None),
        Err(error) => {
            let later = error.code() == Code::UpgradeNeeded;
            let failure = Failure::from(error);
            if later || failure.is_unverified() {
                Ok(Some(failure.message().to_owned()))
            } else {
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_renews_the_address_and_keeps_the_rest() {
        let home = tempfile::tempdir().expect("a directory");
        let ledger = LedgerId([7; 32]);
        write_config(home.path(), "nats://a", ledger).expect("written");
        let first = Config::load(home.path()).expect("read");
        assert_eq!(first.workspace.as_deref(), Some(WORKSPACE));
        Config {
            workspace: Some("mine".to_owned()),
            ..first
        }
        .store(home.path())
        .expect("written");
        write_config(home.path(), "nats://b", ledger).expect("written");
        let second = Config::load(home.path()).expect("read");
        assert_eq!(second.workspace.as_deref(), Some("mine"));
        assert_eq!(second.nats_url.as_deref(), Some("nats://b"));
    }

    #[test]
    fn keys_or_a_read_model_mean_that_a_ledger_was_here() {
        let home = tempfile::tempdir().expect("a directory");
        assert!(is_new(home.path()));
        std::fs::write(home.path().join("ledger.redb"), "").expect("written");
        assert!(!is_new(home.path()));
    }
}
