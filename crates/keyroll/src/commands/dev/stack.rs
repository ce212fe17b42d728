//! The parts of a private ledger: nats-server, keys, streams, service, workspace.

use std::path::{Path, PathBuf};

use keyroll_client::{Client, Settings as ClientSettings};
use keyroll_console::{Console, SignInPolicy};
use keyroll_server::dev::{DevError, DevServer, Launcher, find_nats_server};
use keyroll_server::issuing::CredentialLifetime;
use keyroll_server::keys::{KeyFiles, create_keys};
use keyroll_server::nats::{NatsClient, check_streams, create_missing, create_streams};
use keyroll_server::service::{self, ServeOptions, Service};
use keyroll_wire::time::now;

use super::home;
use super::nats::DevNats;
use crate::commands::console;
use crate::error::Failure;
use crate::identity_file;
use crate::passphrase::PassphraseSource;

/// Everything that runs.
pub(super) struct Stack {
    home: PathBuf,
    nats_url: String,
    warnings: Vec<String>,
    service: Service,
    nats: DevServer,
    renewal: tokio::task::JoinHandle<()>,
}

impl Stack {
    /// Starts all parts in order, each when the one before is ready.
    pub(super) async fn start(home: &Path, nats_bin: Option<&Path>) -> Result<Self, Failure> {
        let home = home::prepare(home)?;
        let nats_bin = find_nats_server(nats_bin).await.map_err(local)?.path;
        let dev = DevNats::of(&home)?;
        dev.move_streams()?;
        dev.write_files()?;
        let launcher = Launcher::this_program().map_err(local)?;
        let config = dev.config()?;
        let nats = DevServer::start(&nats_bin, Some(&launcher), &config, &dev.users.operator)
            .await
            .map_err(not_started)?;
        match Self::start_service(&home, &dev, &nats).await {
            Ok((service, warnings)) => Ok(Self {
                home,
                nats_url: nats.nats_url().to_owned(),
                warnings,
                service,
                nats,
                renewal: tokio::spawn(dev.renew()),
            }),
            Err(failure) => {
                nats.stop().await;
                Err(failure)
            }
        }
    }

    async fn start_service(
        home: &Path,
        dev: &DevNats,
        nats: &DevServer,
    ) -> Result<(Service, Vec<String>), Failure> {
        let operator = dev.operator(nats.nats_url()).await?;
        if home::is_new(home) {
            // Before the keys are created: an interrupted start leaves none, so the next one starts over.
            create_streams(&operator, 1).await.map_err(local)?;
            create_keys(&home::keys(home), now()).map_err(local)?;
        } else {
            complete_streams(&operator).await?;
        }
        let keys = KeyFiles::load(&home::keys(home)).map_err(local)?;
        let ledger = keys.ledger();
        let identity = identity_file::load_or_create(
            &home::identity(home),
            PassphraseSource::for_identity(false),
        )?;
        let options = ServeOptions {
            nats_url: nats.nats_url().to_owned(),
            service: dev.users.service.clone(),
            responder: dev.users.responder.clone(),
            issuer: Some(dev.issuer()?),
            credential_lifetime: CredentialLifetime::default(),
            monitoring: vec![nats.monitoring_url().to_owned()],
            data_dir: home.to_owned(),
            keys,
            operators: vec![identity_file::identity(&identity)],
            allow_unsynced: false,
        };
        let service = service::start(options).await.map_err(local)?;
        home::write_config(home, nats.nats_url(), ledger)?;
        let made = home::ensure_workspace(home, nats.nats_url(), identity, ledger).await;
        match made {
            Ok(warning) => Ok((service, warning.into_iter().collect())),
            Err(failure) => {
                service.stop().await;
                Err(failure)
            }
        }
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Starts the console, for the owner and the other members.
    pub(super) async fn console(&self) -> Result<Console, Failure> {
        let config = crate::config::Config::load(&self.home)?;
        let client = Client::connect(ClientSettings {
            nats_url: self.nats_url.clone(),
            nats_creds: Some(self.nats_creds()),
            nats_ca: None,
            identity: identity_file::load(
                &home::identity(&self.home),
                PassphraseSource::for_identity(false),
            )?
            .into(),
            ledger: config.ledger,
            home: Some(self.home.clone()),
        })
        .await?;
        let workspace = config.workspace.and_then(|name| name.parse().ok());
        let sign_in = SignInPolicy::OwnerAndMembers;
        let front = console::ConsoleAddress::at(console::ANY_PORT);
        console::serve(client, workspace, sign_in, front).await
    }

    /// `nats://HOST:PORT` for clients.
    pub(super) fn nats_url(&self) -> &str {
        &self.nats_url
    }

    /// The file with the credentials of the owner.
    pub(super) fn nats_creds(&self) -> PathBuf {
        self.home.join(home::CREDS)
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Waits until a part has ended by itself.
    pub(super) async fn died(&self) -> Failure {
        tokio::select! {
            status = self.nats.ended() => {
                Failure::coded(keyroll_core::Code::Unreachable, format!("nats-server stopped: {status}"))
            }
            () = self.service.stopped() => {
                Failure::coded(keyroll_core::Code::Internal, "the service stopped")
            }
        }
    }

    /// Stops all parts, in reverse order.
    pub(super) async fn stop(self) {
        self.renewal.abort();
        self.service.stop().await;
        self.nats.stop().await;
    }
}

fn local(error: impl std::fmt::Display) -> Failure {
    Failure::local(error.to_string())
}

fn not_started(error: DevError) -> Failure {
    local(error)
}

/// Adds the stream that an earlier program did not make. Other missing streams are damage, which the service
/// reports.
async fn complete_streams(operator: &NatsClient) -> Result<(), Failure> {
    match check_streams(operator).await {
        Err(error) if error.only_tokens_missing() => {
            create_missing(operator).await.map_err(local)?;
            Ok(())
        }
        _ => Ok(()),
    }
}
