//! The keys of the operator, the accounts and the users, in one file that belongs offline.

use std::collections::BTreeMap;

use keyroll_nats::creds::seconds;
use keyroll_nats::jwt::{JwtError, key_of_seed};
use keyroll_nats::nkeys::{KeyPair, KeyPairType};
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};

use super::accounts::AccountName;
use crate::nats::Credential;

/// The user of a cluster's routes.
const ROUTES: &str = "routes";

/// Why there is no operator.
#[derive(Debug, thiserror::Error)]
pub enum OperatorKeysError {
    /// The text is not what [`OperatorKeys::render`] writes.
    #[error("it does not hold the keys of a NATS operator: {0}")]
    Form(String),
    /// The operating system has no randomness.
    #[error("the system's random source failed: {0}")]
    Random(String),
}

/// A user that a configuration has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserName {
    Service,
    Operator,
    Responder,
    Backup,
    BackupKeys,
    Purge,
    Console,
    Guest,
}

impl UserName {
    pub const ALL: [Self; 8] = [
        Self::Service,
        Self::Operator,
        Self::Responder,
        Self::Backup,
        Self::BackupKeys,
        Self::Purge,
        Self::Console,
        Self::Guest,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Operator => "operator",
            Self::Responder => "responder",
            Self::Backup => "backup",
            Self::BackupKeys => "backup-keys",
            Self::Purge => "purge",
            Self::Console => "console",
            Self::Guest => "guest",
        }
    }
}

/// A NATS operator with its accounts and users. Whoever has it can make users of any account.
#[derive(Clone)]
pub struct OperatorKeys {
    made: u64,
    operator: KeyPair,
    accounts: BTreeMap<AccountName, KeyPair>,
    clients: KeyPair,
    users: BTreeMap<UserName, KeyPair>,
    routes: Credential,
}

/// As it is stored. What a file of an earlier program lacks is made.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Stored {
    made: Option<u64>,
    operator: Option<String>,
    /// The scoped key of account CLIENTS.
    clients_signing: Option<String>,
    routes_password: Option<String>,
    #[serde(default)]
    accounts: BTreeMap<String, String>,
    #[serde(default)]
    users: BTreeMap<String, String>,
}

impl OperatorKeys {
    /// A new operator.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn generate() -> Result<Self, OperatorKeysError> {
        Self::complete(&Stored::default())
    }

    /// The operator of a text that [`OperatorKeys::render`] gave. If an earlier program wrote it, the keys that it
    /// lacks are made: render it again.
    ///
    /// # Errors
    /// When it is another text. Errors do not repeat it.
    pub fn parse(text: &str) -> Result<Self, OperatorKeysError> {
        let stored: Stored = toml::from_str(text)
            .map_err(|error| OperatorKeysError::Form(error.message().to_owned()))?;
        if stored.operator.is_none() || stored.made.is_none() {
            return Err(OperatorKeysError::Form("it has no operator".to_owned()));
        }
        Self::complete(&stored)
    }

    fn complete(stored: &Stored) -> Result<Self, OperatorKeysError> {
        let mut accounts = BTreeMap::new();
        for name in AccountName::ALL {
            let seed = stored.accounts.get(name.as_str());
            accounts.insert(name, key(seed, KeyPairType::Account)?);
        }
        let mut users = BTreeMap::new();
        for name in UserName::ALL {
            let seed = stored.users.get(name.as_str());
            users.insert(name, key(seed, KeyPairType::User)?);
        }
        let routes = match &stored.routes_password {
            Some(password) => Credential::new(ROUTES, password),
            None => Credential::generate(ROUTES),
        };
        Ok(Self {
            made: stored.made.unwrap_or_else(seconds),
            operator: key(stored.operator.as_ref(), KeyPairType::Operator)?,
            accounts,
            clients: key(stored.clients_signing.as_ref(), KeyPairType::Account)?,
            users,
            routes: routes.map_err(|error| OperatorKeysError::Form(error.to_string()))?,
        })
    }

    /// The text of a file of mode 0600.
    ///
    /// # Errors
    /// Never: all keys have seeds.
    pub fn render(&self) -> Result<String, OperatorKeysError> {
        let stored = Stored {
            made: Some(self.made),
            operator: Some(seed(&self.operator)?),
            clients_signing: Some(seed(&self.clients)?),
            routes_password: Some(self.routes.expose_password().to_owned()),
            accounts: seeds(&self.accounts, AccountName::as_str)?,
            users: seeds(&self.users, UserName::as_str)?,
        };
        toml::to_string(&stored).map_err(|error| OperatorKeysError::Form(error.to_string()))
    }

    /// When it was made, in seconds since 1970.
    pub(super) const fn made(&self) -> u64 {
        self.made
    }

    pub(super) const fn operator(&self) -> &KeyPair {
        &self.operator
    }

    /// The key of an account, which signs its users.
    ///
    /// # Panics
    /// Never: there is one for each name.
    pub fn account(&self, name: AccountName) -> &KeyPair {
        &self.accounts[&name]
    }

    pub(super) fn user(&self, name: UserName) -> &KeyPair {
        &self.users[&name]
    }

    pub(super) const fn clients_key(&self) -> &KeyPair {
        &self.clients
    }

    /// The seed of the scoped key of the clients' account, for the service.
    ///
    /// # Errors
    /// Never: the key has a seed.
    pub fn clients_seed(&self) -> Result<String, JwtError> {
        let seed = self.clients.seed();
        seed.map_err(|error| JwtError::Key(error.to_string()))
    }

    /// The key of the user `console`.
    pub fn console_key(&self) -> &KeyPair {
        self.user(UserName::Console)
    }

    /// The user and password of a cluster's routes.
    pub const fn routes(&self) -> &Credential {
        &self.routes
    }

    /// The operator's own key, to sign further accounts.
    pub const fn operator_key(&self) -> &KeyPair {
        &self.operator
    }
}

/// The key of a seed, or a new one.
fn key(stored: Option<&String>, kind: KeyPairType) -> Result<KeyPair, OperatorKeysError> {
    if let Some(seed) = stored {
        return key_of_seed(seed, &kind)
            .map_err(|error| OperatorKeysError::Form(error.to_string()));
    }
    let mut bytes = [0_u8; 32];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| OperatorKeysError::Random(error.to_string()))?;
    KeyPair::new_from_raw(kind, bytes).map_err(|error| OperatorKeysError::Form(error.to_string()))
}

fn seed(key: &KeyPair) -> Result<String, OperatorKeysError> {
    key.seed()
        .map_err(|error| OperatorKeysError::Form(error.to_string()))
}

fn seeds<N: Copy>(
    keys: &BTreeMap<N, KeyPair>,
    name: impl Fn(N) -> &'static str,
) -> Result<BTreeMap<String, String>, OperatorKeysError> {
    let pairs = keys.iter();
    pairs
        .map(|(one, key)| Ok((name(*one).to_owned(), seed(key)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_keys_make_the_same_jwts() {
        let made = OperatorKeys::generate().expect("made");
        let text = made.render().expect("a text");
        let read = OperatorKeys::parse(&text).expect("read");
        assert_eq!(read.render().expect("a text"), text);
        assert_eq!(read.trust(), made.trust());
        let jwt = |operator_keys: &OperatorKeys| {
            let users = operator_keys.users().expect("users");
            [users.service, users.console].map(|creds| creds.jwt().to_owned())
        };
        assert_eq!(jwt(&read), jwt(&made));
    }

    #[test]
    fn keys_that_an_earlier_program_did_not_have_are_made_and_kept() {
        let text = OperatorKeys::generate()
            .expect("made")
            .render()
            .expect("text");
        let lines = text.lines().filter(|line| !line.starts_with("PURGE"));
        let earlier: String = lines.flat_map(|line| [line, "\n"]).collect();
        assert_ne!(earlier, text);
        let read = OperatorKeys::parse(&earlier).expect("read");
        let kept = read.render().expect("a text");
        assert_eq!(
            OperatorKeys::parse(&kept).expect("read").trust(),
            read.trust()
        );
        let wrong = OperatorKeys::parse("made = 1").err().expect("no operator");
        assert!(wrong.to_string().contains("no operator"), "{wrong}");
    }
}
