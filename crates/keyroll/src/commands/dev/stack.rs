//! The parts of a private ledger: nats-server, keys, streams, service, workspace.

use std::path::{Path, PathBuf};

use keyroll_client::{Client, Settings as ClientSettings};
use keyroll_console::{Console, SignInPolicy};
use keyroll_server::dev::{DevError, DevServer, Launcher, find_nats_server};
use keyroll_server::keys::{KeyFiles, create_keys};
use keyroll_server::nats::permissions::OPERATOR_INBOX;
use keyroll_server::nats::{
    ClientUser, Credential, Endpoint, ServerConfig, Users, Workspaces, create_streams,
};
use keyroll_server::service::{self, ServeOptions, Service};
use keyroll_wire::time::now;

use super::home;
use crate::commands::console;
use crate::commands::recover;
use crate::error::Failure;
use crate::identity_file;
use crate::passphrase::PassphraseSource;
use crate::private_file;

/// Everything that runs.
pub(super) struct Stack {
    home: PathBuf,
    client_url: String,
    warnings: Vec<String>,
    service: Service,
    nats: DevServer,
}

impl Stack {
    /// Starts all parts in order, each when the one before is ready.
    pub(super) async fn start(home: &Path, nats_bin: Option<&Path>) -> Result<Self, Failure> {
        let home = home::prepare(home)?;
        let nats_bin = find_nats_server(nats_bin).await.map_err(local)?.path;
        let config = server_config(&home)?;
        let launcher = Launcher::this_program().map_err(local)?;
        let nats = DevServer::start(&nats_bin, Some(&launcher), &config)
            .await
            .map_err(not_started)?;
        match Self::start_service(&home, &config, &nats).await {
            Ok((service, client_url, warnings)) => Ok(Self {
                home,
                client_url,
                warnings,
                service,
                nats,
            }),
            Err(failure) => {
                nats.stop().await;
                Err(failure)
            }
        }
    }

    async fn start_service(
        home: &Path,
        config: &ServerConfig,
        nats: &DevServer,
    ) -> Result<(Service, String, Vec<String>), Failure> {
        if home::is_new(home) {
            make_streams(config, nats).await?;
            create_keys(&home::keys(home), now()).map_err(local)?;
        }
        let keys = KeyFiles::load(&home::keys(home)).map_err(local)?;
        let ledger = keys.ledger();
        let identity = identity_file::load_or_create(
            &home::identity(home),
            PassphraseSource::for_identity(false),
        )?;
        let url = |credential: &Credential| {
            let url = credential.in_url(nats.nats_url());
            url.ok_or_else(|| Failure::local("nats-server reports no address"))
        };
        let [client] = config.users.clients.as_slice() else {
            return Err(Failure::local(
                "the private nats-server must have one client user",
            ));
        };
        let client_url = url(&client.credential)?;
        let options = ServeOptions {
            ledger_url: url(&config.users.service)?,
            client_account_url: url(&config.users.responder)?,
            monitoring: vec![nats.monitoring_url().to_owned()],
            data_dir: home.to_owned(),
            keys,
            operators: vec![identity_file::identity(&identity)],
            allow_unsynced: false,
        };
        let operator = url(&config.users.operator)?;
        private_file::replace(&recover::operator_file(home), operator.as_bytes())?;
        let service = service::start(options).await.map_err(local)?;
        home::write_config(home, &client_url, ledger)?;
        let made = home::ensure_workspace(home, &client_url, identity, ledger).await;
        match made {
            Ok(warning) => Ok((service, client_url, warning.into_iter().collect())),
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
            nats_url: self.client_url.clone(),
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

    /// `nats://user:password@…` for clients.
    pub(super) fn client_url(&self) -> &str {
        &self.client_url
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

/// Makes credentials for this run only, so that no other program can reach this server.
fn server_config(home: &Path) -> Result<ServerConfig, Failure> {
    let user = |name: &str| Credential::generate(name).map_err(local);
    let run = uuid::Uuid::now_v7();
    Ok(ServerConfig {
        server_name: format!("keyroll-dev-{run}"),
        data_dir: home.to_owned(),
        endpoint: Endpoint::Private {
            run_dir: home.join("run"),
        },
        users: Users {
            service: user("service")?,
            operator: user("operator")?,
            responder: user("responder")?,
            clients: vec![ClientUser {
                credential: user("dev")?,
                workspaces: Workspaces::All,
            }],
        },
    })
}

/// Runs before the keys are created: an interrupted start leaves no keys, so the next one starts over.
async fn make_streams(config: &ServerConfig, nats: &DevServer) -> Result<(), Failure> {
    let options = config.users.operator.connect_options(OPERATOR_INBOX);
    let operator = options.connect(nats.nats_url()).await.map_err(local)?;
    create_streams(&operator, 1).await.map_err(local)?;
    Ok(())
}
