//! The NATS credentials that `keyroll init` is given, always in files.

use std::path::{Path, PathBuf};

use clap::Args;
use keyroll_nats::{ClientIssuer, Creds};

use super::unusable;
use crate::error::Failure;
use crate::private_file;
use crate::serve_file;

/// Files of NATS credentials.
#[derive(Debug, Args)]
pub(super) struct CredentialArgs {
    /// Directory that `--print-nats-config` wrote; the options below name single files instead [default: none]
    #[arg(long, value_name = "DIR")]
    credentials: Option<PathBuf>,
    /// NATS credentials of the user `operator`, who may create streams; they are not kept [default: in DIR]
    #[arg(long, value_name = "FILE")]
    operator_creds: Option<PathBuf>,
    /// NATS credentials of the user `service`, for `keyroll serve` [default: in DIR]
    #[arg(long, value_name = "FILE")]
    service_creds: Option<PathBuf>,
    /// NATS credentials of the user `responder`, for `keyroll serve` [default: in DIR]
    #[arg(long, value_name = "FILE")]
    responder_creds: Option<PathBuf>,
    /// Seed of the scoped key with which the service issues credentials to clients [default: it issues none]
    #[arg(long, value_name = "FILE")]
    clients_seed: Option<PathBuf>,
    /// NATS credentials of the user `console`, for `keyroll serve --console` [default: none]
    #[arg(long, value_name = "FILE")]
    console_creds: Option<PathBuf>,
}

/// All that the service needs, read and checked.
pub(super) struct Given {
    service: Creds,
    responder: Creds,
    clients_seed: Option<String>,
    console: Option<Creds>,
}

/// Where they are kept, relative to the home directory.
pub(super) struct Kept {
    pub(super) service: PathBuf,
    pub(super) responder: PathBuf,
    pub(super) clients_seed: Option<PathBuf>,
    pub(super) console: Option<PathBuf>,
}

impl CredentialArgs {
    fn file(&self, named: Option<&PathBuf>, name: &str) -> Option<PathBuf> {
        let directory = self.credentials.as_ref();
        named
            .cloned()
            .or_else(|| directory.map(|directory| directory.join(name)))
    }

    fn needed(
        &self,
        named: Option<&PathBuf>,
        name: &str,
        option: &str,
    ) -> Result<PathBuf, Failure> {
        self.file(named, name).ok_or_else(|| {
            Failure::usage(format!(
                "no NATS credentials. Add --credentials DIR with what `keyroll init --print-nats-config` wrote, or \
                 {option} FILE"
            ))
        })
    }

    /// The operator's file.
    pub(super) fn operator(&self) -> Result<PathBuf, Failure> {
        let named = self.operator_creds.as_ref();
        self.needed(named, OPERATOR, "--operator-creds")
    }

    /// Reads the files of the service.
    pub(super) fn read(&self) -> Result<Given, Failure> {
        let creds = |path: &Path| Creds::load(path).map_err(unusable);
        let service = self.needed(self.service_creds.as_ref(), SERVICE, "--service-creds")?;
        let responder = self.needed(
            self.responder_creds.as_ref(),
            RESPONDER,
            "--responder-creds",
        )?;
        let (service, responder) = (creds(&service)?, creds(&responder)?);
        let seed = self.file(self.clients_seed.as_ref(), CLIENTS_SEED);
        let clients_seed = seed.map(|path| serve_file::read_seed(&path)).transpose()?;
        if let Some(seed) = &clients_seed {
            let account = serve_file::account_of(&responder);
            ClientIssuer::new(&account, seed)
                .map_err(|error| unusable(error).within("--clients-seed"))?;
        }
        let console = self.file(self.console_creds.as_ref(), CONSOLE);
        Ok(Given {
            service,
            responder,
            clients_seed,
            console: console.map(|path| creds(&path)).transpose()?,
        })
    }
}

const OPERATOR: &str = "operator.creds";
const SERVICE: &str = "service.creds";
const RESPONDER: &str = "responder.creds";
const CONSOLE: &str = "console.creds";
const CLIENTS_SEED: &str = "clients.nk";

impl Given {
    /// Copies them into the home directory of the service, so that the others can go offline.
    pub(super) fn keep(&self, home: &Path) -> Result<Kept, Failure> {
        let keep = |name: &str, text: &str| {
            let path = Path::new(serve_file::NATS).join(name);
            private_file::replace(&home.join(&path), text.as_bytes())?;
            Ok::<_, Failure>(path)
        };
        let creds = |name: &str, creds: &Creds| keep(name, &creds.render().map_err(unusable)?);
        let seed = self.clients_seed.as_deref();
        let console = self.console.as_ref();
        Ok(Kept {
            service: creds(SERVICE, &self.service)?,
            responder: creds(RESPONDER, &self.responder)?,
            clients_seed: seed.map(|seed| keep(CLIENTS_SEED, seed)).transpose()?,
            console: console.map(|console| creds(CONSOLE, console)).transpose()?,
        })
    }
}
