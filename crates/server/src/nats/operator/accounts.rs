//! The accounts: what each exports, to whom, and its limits.

use std::collections::BTreeMap;

use keyroll_nats::jwt::{
    self, Account, Activation, Export, Import, JwtError, Limits, ScopedKey, SigningKey, Template,
};

use super::keys::OperatorKeys;
use crate::nats::permissions::{self, GUEST_REQUESTS, Permissions, ServiceExport, guest_arrival};

/// Connections of guests at once. Each needs one for a second or two.
const GUESTS_MAX: i64 = 64;
/// Subscriptions of an issued client: its inbox, and notices.
const CLIENT_SUBSCRIPTIONS: i64 = 20;

/// An account of a ledger's servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountName {
    /// The servers' own.
    Sys,
    /// The streams.
    Ledger,
    /// The service's way to the streams.
    Service,
    /// Requests and answers.
    Clients,
    /// Whoever has no credentials.
    Guests,
    /// A backup's way to log, vault and tokens.
    Backup,
    /// A backup's way to the keys.
    BackupKeys,
    /// The way to purge what is archived.
    Purge,
}

impl AccountName {
    pub const ALL: [Self; 8] = [
        Self::Sys,
        Self::Ledger,
        Self::Service,
        Self::Clients,
        Self::Guests,
        Self::Backup,
        Self::BackupKeys,
        Self::Purge,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sys => "SYS",
            Self::Ledger => "LEDGER",
            Self::Service => "SERVICE",
            Self::Clients => "CLIENTS",
            Self::Guests => "GUESTS",
            Self::Backup => "BACKUP",
            Self::BackupKeys => "BACKUP_KEYS",
            Self::Purge => "PURGE",
        }
    }

    /// What it imports from the streams' account; `None` for accounts that import nothing from there.
    pub fn borrows(self) -> Option<Vec<ServiceExport>> {
        match self {
            Self::Service => Some(permissions::service_exports()),
            Self::Backup => Some(permissions::backup_exports(false)),
            Self::BackupKeys => Some(permissions::backup_exports(true)),
            Self::Purge => Some(permissions::purge_exports()),
            Self::Sys | Self::Ledger | Self::Clients | Self::Guests => None,
        }
    }
}

impl OperatorKeys {
    /// The JWT of an account.
    pub(super) fn account_jwt(&self, name: AccountName) -> Result<String, JwtError> {
        let account = match name {
            AccountName::Ledger => Account {
                exports: ledger_exports(),
                limits: Limits::plain().with_jetstream(),
                ..plain()
            },
            AccountName::Clients => self.clients_account(),
            AccountName::Guests => Account {
                imports: self.guest_imports()?,
                limits: Limits {
                    conn: GUESTS_MAX,
                    disallow_bearer: false,
                    ..Limits::plain()
                },
                ..plain()
            },
            _ => {
                let borrowed = name.borrows().unwrap_or_default();
                let subjects: Vec<&str> = borrowed.iter().map(|one| &*one.subject).collect();
                Account {
                    imports: self.imports(name, AccountName::Ledger, &subjects)?,
                    ..plain()
                }
            }
        };
        let about = (&*self.account(name).public_key(), name.as_str());
        jwt::sign(self.operator(), about, (self.made(), None), account)
    }

    /// The account of requests and answers, with the scoped key that the service has.
    fn clients_account(&self) -> Account {
        let Permissions { publish, subscribe } = permissions::issued_client();
        let template = Template {
            subs: CLIENT_SUBSCRIPTIONS,
            ..Template::new(publish, subscribe)
        };
        let scoped = ScopedKey::new(&self.clients_key().public_key(), "client", template);
        Account {
            exports: GUEST_REQUESTS
                .map(|request| Export::private(&guest_arrival(request), false))
                .to_vec(),
            signing_keys: vec![SigningKey::Scoped(scoped)],
            ..plain()
        }
    }

    /// What guests may ask, under the subjects that everybody uses for it.
    fn guest_imports(&self) -> Result<Vec<Import>, JwtError> {
        let arrivals = GUEST_REQUESTS.map(guest_arrival);
        let arrivals: Vec<&str> = arrivals.iter().map(String::as_str).collect();
        let imports = self.imports(AccountName::Guests, AccountName::Clients, &arrivals)?;
        let named = imports.into_iter().zip(GUEST_REQUESTS);
        Ok(named
            .map(|(import, request)| import.under(request))
            .collect())
    }

    /// Imports, each with the exporting account's activation for this subject and this account alone.
    fn imports(
        &self,
        importer: AccountName,
        exporter: AccountName,
        subjects: &[&str],
    ) -> Result<Vec<Import>, JwtError> {
        let exporter = self.account(exporter);
        let importer = self.account(importer).public_key();
        let import = |subject: &&str| {
            let about = (&*importer, *subject);
            let activation = Activation::of_service(subject);
            let activation = jwt::sign(exporter, about, (self.made(), None), activation)?;
            Ok(Import::service(&exporter.public_key(), subject, activation))
        };
        subjects.iter().map(import).collect()
    }
}

const fn plain() -> Account {
    Account {
        exports: Vec::new(),
        imports: Vec::new(),
        limits: Limits::plain(),
        signing_keys: Vec::new(),
    }
}

/// Everything that any account imports from the streams' account. Without several answers, nats-server
/// forwards only the first.
fn ledger_exports() -> Vec<Export> {
    let borrowed = AccountName::ALL
        .into_iter()
        .filter_map(AccountName::borrows)
        .flatten();
    let exports: BTreeMap<String, Export> = borrowed
        .map(|one| {
            let export = Export::private(&one.subject, one.streams_answers);
            (one.subject, export)
        })
        .collect();
    exports.into_values().collect()
}
