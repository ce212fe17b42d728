//! The NATS operator of a private ledger: its keys in the home, its accounts and users.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_nats::creds::seconds;
use keyroll_nats::nkeys::KeyPair;
use keyroll_nats::{ClientIssuer, Creds};
use keyroll_server::nats::permissions::OPERATOR_INBOX;
use keyroll_server::nats::{AccountName, Endpoint, NatsClient, OperatorKeys, ServerConfig, Users};

use super::home;
use crate::commands::recover;
use crate::error::Failure;
use crate::private_file;

/// Seconds that the owner's credentials last, and after which they are renewed.
const LIFETIME: u64 = 3_600;
const RENEWED_AFTER: u64 = 1_200;
/// How often to look at the clock: a machine that slept has lost time that no timer counted.
const LOOK: Duration = Duration::from_secs(10);

/// The parts of a private nats-server that are not a process.
pub(super) struct DevNats {
    home: PathBuf,
    operator_keys: OperatorKeys,
    pub(super) users: Users,
    /// The connection key of the owner.
    owner: KeyPair,
}

impl DevNats {
    /// Those of a home. Its keys are made at the first start, and stay the same: the streams lie in a directory
    /// with the account's key as its name.
    pub(super) fn of(home: &Path) -> Result<Self, Failure> {
        let path = home.join("nats-keys.toml");
        let operator_keys = match fs::read_to_string(&path) {
            Ok(text) => OperatorKeys::parse(&text),
            Err(error) if error.kind() == ErrorKind::NotFound => OperatorKeys::generate(),
            Err(error) => return Err(Failure::file(&path, &error)),
        }
        .map_err(|error| local(error).within(&path.display().to_string()))?;
        // An earlier program may have written the file with fewer keys.
        let text = operator_keys.render().map_err(local)?;
        private_file::replace(&path, text.as_bytes())?;
        Ok(Self {
            home: home.to_owned(),
            users: operator_keys.users().map_err(local)?,
            owner: operator_keys.console_key().clone(),
            operator_keys,
        })
    }

    /// Streams that an earlier program stored for an account named LEDGER go to the account's key.
    pub(super) fn move_streams(&self) -> Result<(), Failure> {
        let streams = self.home.join("jetstream");
        let key = self.operator_keys.account(AccountName::Ledger).public_key();
        let (old, new) = (streams.join("LEDGER"), streams.join(key));
        if !old.is_dir() || new.exists() {
            return Ok(());
        }
        fs::rename(&old, &new).map_err(|error| Failure::file(&old, &error))
    }

    /// The credentials of the owner, and those of the operator for `keyroll recover`.
    pub(super) fn write_files(&self) -> Result<(), Failure> {
        let operator = self.users.operator.render().map_err(local)?;
        private_file::replace(&recover::operator_file(&self.home), operator.as_bytes())?;
        self.renew_owner()
    }

    fn renew_owner(&self) -> Result<(), Failure> {
        let owner: Creds = self
            .operator_keys
            .client_of_all(("dev", &self.owner), (seconds(), LIFETIME))
            .map_err(local)?;
        let text = owner.render().map_err(local)?;
        private_file::replace(&self.home.join(home::CREDS), text.as_bytes())
    }

    /// Renews the owner's credentials, for ever.
    pub(super) async fn renew(self) {
        let mut renewed = seconds();
        loop {
            tokio::time::sleep(LOOK).await;
            if seconds().abs_diff(renewed) < RENEWED_AFTER {
                continue;
            }
            match self.renew_owner() {
                Ok(()) => renewed = seconds(),
                Err(failure) => {
                    let why = failure.message();
                    tracing::warn!(why, "cannot renew the NATS credentials of the owner");
                }
            }
        }
    }

    pub(super) fn issuer(&self) -> Result<ClientIssuer, Failure> {
        self.operator_keys.issuer().map_err(local)
    }

    pub(super) fn config(&self) -> Result<ServerConfig, Failure> {
        let run = uuid::Uuid::now_v7();
        Ok(ServerConfig {
            server_name: format!("keyroll-dev-{run}"),
            data_dir: self.home.clone(),
            endpoint: Endpoint::Private {
                run_dir: self.home.join("run"),
            },
            cluster: None,
            trust: self.operator_keys.trust().map_err(local)?,
        })
    }

    /// A connection as the operator.
    pub(super) async fn operator(&self, nats_url: &str) -> Result<NatsClient, Failure> {
        let options = self.users.operator.connect_options();
        let options = options.custom_inbox_prefix(OPERATOR_INBOX);
        Box::pin(options.connect(nats_url)).await.map_err(local)
    }
}

fn local(error: impl std::fmt::Display) -> Failure {
    Failure::local(error.to_string())
}
