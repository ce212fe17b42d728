//! The NATS operator of a ledger's servers: its keys, the accounts, and the users that are made with them.
//!
//! Everything is a pure function of the keys and of the time when they were made. So a second run gives the
//! same JWTs, byte for byte.

mod accounts;
mod keys;

use keyroll_nats::jwt::{self, JwtError, Operator, Template, TimeRange, User};
use keyroll_nats::nkeys::KeyPair;
use keyroll_nats::{ClientIssuer, Creds};

pub use self::accounts::AccountName;
pub use self::keys::{OperatorKeys, OperatorKeysError, UserName};
use super::permissions::{self, Permissions};

/// Subscriptions of a guest: one inbox, and room for a second request.
const GUEST_SUBSCRIPTIONS: i64 = 5;

/// A guest's connection lasts between so many minutes and twice as long. Each step is a range in a JWT that the
/// server reads for every guest: steps of a minute double the cost of a guest's connection.
const GUEST_MINUTES: u32 = 5;
const MINUTES: u32 = 24 * 60;

/// What every server of the operator has to know. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    pub operator: String,
    /// The public key of the servers' own account.
    pub system_account: String,
    pub accounts: Vec<TrustedAccount>,
    /// The JWT of whoever connects without credentials.
    pub sentinel: String,
}

/// An account that exists. There are no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedAccount {
    pub name: String,
    pub public_key: String,
    pub jwt: String,
}

/// The credentials of all users that a configuration has.
#[derive(Debug, Clone)]
pub struct Users {
    /// Reads and writes the streams.
    pub service: Creds,
    /// Everything in the streams' account.
    pub operator: Creds,
    /// Answers callers.
    pub responder: Creds,
    /// Reads log, vault and tokens.
    pub backup: Creds,
    /// Reads the keys.
    pub backup_keys: Creds,
    /// Purges what is archived.
    pub purge: Creds,
    /// A console for many people.
    pub console: Creds,
}

impl OperatorKeys {
    /// What the servers have to know.
    ///
    /// # Errors
    /// Never, with keys that were made or read here.
    pub fn trust(&self) -> Result<Trust, JwtError> {
        let system_account = self.account(AccountName::Sys).public_key();
        let operator = self.operator();
        let operator = jwt::sign(
            operator,
            (&operator.public_key(), "keyroll"),
            (self.made(), None),
            Operator {
                system_account: system_account.clone(),
            },
        )?;
        let account = |name: AccountName| {
            Ok(TrustedAccount {
                name: name.as_str().to_owned(),
                public_key: self.account(name).public_key(),
                jwt: self.account_jwt(name)?,
            })
        };
        Ok(Trust {
            operator,
            system_account,
            accounts: AccountName::ALL
                .into_iter()
                .map(account)
                .collect::<Result<_, JwtError>>()?,
            sentinel: self.sentinel()?,
        })
    }

    /// The users.
    ///
    /// # Errors
    /// As [`OperatorKeys::trust`].
    pub fn users(&self) -> Result<Users, JwtError> {
        let user = |name: UserName| {
            let user = match permissions_of(name) {
                None => User::unrestricted(),
                Some(permissions) => User::own(template(permissions)),
            };
            self.sign_user(account_of(name), self.user(name), name.as_str(), None, user)
        };
        Ok(Users {
            service: user(UserName::Service)?,
            operator: user(UserName::Operator)?,
            responder: user(UserName::Responder)?,
            backup: user(UserName::Backup)?,
            backup_keys: user(UserName::BackupKeys)?,
            purge: user(UserName::Purge)?,
            console: user(UserName::Console)?,
        })
    }

    /// The issuer of clients' JWTs, which the service has.
    ///
    /// # Errors
    /// As [`OperatorKeys::trust`].
    pub fn issuer(&self) -> Result<ClientIssuer, JwtError> {
        let account = self.account(AccountName::Clients).public_key();
        ClientIssuer::new(&account, &self.clients_seed()?)
    }

    /// A client of all workspaces, with a key of its own, from `now` for `lifetime` seconds: the owner of a
    /// private ledger.
    ///
    /// # Errors
    /// As [`OperatorKeys::trust`].
    pub fn client_of_all(
        &self,
        (name, key): (&str, &KeyPair),
        (now, lifetime): (u64, u64),
    ) -> Result<Creds, JwtError> {
        let user = User::own(template(permissions::client_of_all(name)));
        let times = Some((now, now.saturating_add(lifetime)));
        self.sign_user(AccountName::Clients, key, name, times, user)
    }

    fn sign_user(
        &self,
        account: AccountName,
        key: &KeyPair,
        name: &str,
        times: Option<(u64, u64)>,
        user: User,
    ) -> Result<Creds, JwtError> {
        let times = match times {
            None => (self.made(), None),
            Some((from, until)) => (from, Some(until)),
        };
        let about = (&*key.public_key(), name);
        let jwt = jwt::sign(self.account(account), about, times, user)?;
        Creds::new(jwt, key.clone())
    }

    /// A guest needs no key: the JWT alone suffices, and the server itself has it.
    fn sentinel(&self) -> Result<String, JwtError> {
        let guest = Template {
            subs: GUEST_SUBSCRIPTIONS,
            payload: i64::try_from(permissions::GUEST_PAYLOAD).unwrap_or(i64::MAX),
            bearer_token: true,
            times: guest_times(),
            times_location: "UTC".to_owned(),
            ..template(permissions::guest())
        };
        let key = self.user(UserName::Guest);
        let about = (&*key.public_key(), "guest");
        let account = self.account(AccountName::Guests);
        jwt::sign(account, about, (self.made(), None), User::own(guest))
    }
}

/// Ranges of the day that overlap. nats-server ends a guest's connection when the first range that holds its
/// beginning ends. The later range stands first, so that is one to two steps later: a JWT that everybody shares
/// cannot say "a minute from now".
fn guest_times() -> Vec<TimeRange> {
    let time = |minute: u32| {
        let minute = minute % MINUTES;
        format!("{:02}:{:02}:00", minute / 60, minute % 60)
    };
    let range = |begin: u32| TimeRange {
        start: time(begin),
        end: time(begin + 2 * GUEST_MINUTES),
    };
    let steps = (0..MINUTES / GUEST_MINUTES).rev();
    steps.map(|step| range(step * GUEST_MINUTES)).collect()
}

const fn account_of(user: UserName) -> AccountName {
    match user {
        UserName::Service => AccountName::Service,
        UserName::Operator => AccountName::Ledger,
        UserName::Responder | UserName::Console => AccountName::Clients,
        UserName::Backup => AccountName::Backup,
        UserName::BackupKeys => AccountName::BackupKeys,
        UserName::Purge => AccountName::Purge,
        UserName::Guest => AccountName::Guests,
    }
}

/// The permissions of a user; `None` for all of its account.
fn permissions_of(user: UserName) -> Option<Permissions> {
    let borrower = |account: AccountName, inbox| {
        let exports = account.borrows().unwrap_or_default();
        permissions::borrower(exports, inbox)
    };
    Some(match user {
        UserName::Operator => return None,
        UserName::Service => borrower(AccountName::Service, permissions::SERVICE_INBOX),
        UserName::Backup => borrower(AccountName::Backup, permissions::BACKUP_INBOX),
        UserName::BackupKeys => borrower(AccountName::BackupKeys, permissions::BACKUP_KEYS_INBOX),
        UserName::Purge => borrower(AccountName::Purge, permissions::PURGE_INBOX),
        UserName::Responder => permissions::responder(),
        UserName::Console => permissions::client_of_all(user.as_str()),
        UserName::Guest => permissions::guest(),
    })
}

fn template(permissions: Permissions) -> Template {
    Template::new(permissions.publish, permissions.subscribe)
}
