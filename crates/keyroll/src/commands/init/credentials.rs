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
    /// Directory that `--print-nats-config` wrote; in the home of an existing ledger they replace its copies. The
    /// options below name single files instead [default: none]
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

    /// Whether credentials of the service are given.
    pub(super) const fn names_service(&self) -> bool {
        self.credentials.is_some() || self.service_creds.is_some() || self.responder_creds.is_some()
    }

    /// Whether there are credentials for an existing ledger, without those of the operator: these stay offline.
    pub(super) fn is_without_operator(&self) -> bool {
        let operator = self.file(self.operator_creds.as_ref(), OPERATOR);
        let is_there = self.operator_creds.is_some() || operator.is_some_and(|path| path.exists());
        self.names_service() && !is_there
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
    /// The files, relative to the home directory of the service, and their texts.
    pub(super) fn files(&self) -> Result<Vec<(PathBuf, String)>, Failure> {
        let creds = |name: &str, creds: &Creds| {
            let text = creds.render().map_err(unusable)?;
            Ok::<_, Failure>((kept(name), text))
        };
        let mut files = vec![
            creds(SERVICE, &self.service)?,
            creds(RESPONDER, &self.responder)?,
        ];
        if let Some(seed) = &self.clients_seed {
            files.push((kept(CLIENTS_SEED), seed.clone()));
        }
        if let Some(console) = &self.console {
            files.push(creds(CONSOLE, console)?);
        }
        Ok(files)
    }

    /// Copies them into the home directory of the service, so that the others can go offline.
    pub(super) fn keep(&self, home: &Path) -> Result<Kept, Failure> {
        for (path, text) in self.files()? {
            private_file::replace(&home.join(path), text.as_bytes())?;
        }
        Ok(Kept {
            service: kept(SERVICE),
            responder: kept(RESPONDER),
            clients_seed: self.clients_seed.as_ref().map(|_| kept(CLIENTS_SEED)),
            console: self.console.as_ref().map(|_| kept(CONSOLE)),
        })
    }
}

fn kept(name: &str) -> PathBuf {
    Path::new(serve_file::NATS).join(name)
}
