//! Claims that an operator signs, and the activation by which one account lets another import a subject.

use nkeys::KeyPairType;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::user::Template;

/// No limit, in any field of NATS.
const NO_LIMIT: i64 = -1;

/// An operator, who vouches for accounts. It signs itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The public key of the account that belongs to the server.
    pub system_account: String,
}

impl Kind for Operator {
    const NAME: &'static str = "operator";
    const SIGNER: KeyPairType = KeyPairType::Operator;
}

/// An account: a name space of subjects that others reach through exports alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<Export>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<Import>,
    pub limits: Limits,
    /// Keys beside the account's own that sign its users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_keys: Vec<SigningKey>,
}

impl Kind for Account {
    const NAME: &'static str = "account";
    const SIGNER: KeyPairType = KeyPairType::Operator;
}

/// The limits of an account. A field that is absent is 0 for nats-server: nothing is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub subs: i64,
    pub data: i64,
    pub payload: i64,
    pub imports: i64,
    pub exports: i64,
    pub wildcards: bool,
    pub conn: i64,
    pub leaf: i64,
    /// Whether every user has to sign the server's nonce.
    #[serde(default)]
    pub disallow_bearer: bool,
    #[serde(default)]
    pub mem_storage: i64,
    #[serde(default)]
    pub disk_storage: i64,
    #[serde(default)]
    pub streams: i64,
    #[serde(default)]
    pub consumer: i64,
    #[serde(default)]
    pub max_ack_pending: i64,
}

impl Limits {
    /// No limits, no JetStream, no leaf nodes, no bearer tokens.
    pub const fn plain() -> Self {
        Self {
            subs: NO_LIMIT,
            data: NO_LIMIT,
            payload: NO_LIMIT,
            imports: NO_LIMIT,
            exports: NO_LIMIT,
            wildcards: true,
            conn: NO_LIMIT,
            leaf: 0,
            disallow_bearer: true,
            mem_storage: 0,
            disk_storage: 0,
            streams: 0,
            consumer: 0,
            max_ack_pending: 0,
        }
    }

    /// With JetStream, as much as the server has.
    #[must_use]
    pub const fn with_jetstream(self) -> Self {
        Self {
            mem_storage: NO_LIMIT,
            disk_storage: NO_LIMIT,
            streams: NO_LIMIT,
            consumer: NO_LIMIT,
            max_ack_pending: NO_LIMIT,
            ..self
        }
    }
}

/// A service that an account offers to those that it gave an activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    pub subject: String,
    /// `Singleton`, or `Stream` for a request with several answers: otherwise only the first one passes.
    pub response_type: String,
    /// Whether an import needs an activation.
    pub token_req: bool,
    /// `service`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Export {
    /// A service for accounts with an activation.
    pub fn private(subject: &str, streams_answers: bool) -> Self {
        let response_type = if streams_answers {
            "Stream"
        } else {
            "Singleton"
        };
        Self {
            subject: subject.to_owned(),
            response_type: response_type.to_owned(),
            token_req: true,
            kind: SERVICE.to_owned(),
        }
    }
}

/// Another account's service, under the same subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The exporting account's public key.
    pub account: String,
    pub subject: String,
    /// The subject in the importing account, if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_subject: Option<String>,
    /// The activation.
    pub token: String,
    /// `service`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Import {
    pub fn service(account: &str, subject: &str, activation: String) -> Self {
        Self {
            account: account.to_owned(),
            subject: subject.to_owned(),
            local_subject: None,
            token: activation,
            kind: SERVICE.to_owned(),
        }
    }

    /// The import under another subject.
    #[must_use]
    pub fn under(self, local: &str) -> Self {
        Self {
            local_subject: Some(local.to_owned()),
            ..self
        }
    }
}

const SERVICE: &str = "service";

/// Lets the subject of the claims, an account, import a service of the issuer, another account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    pub subject: String,
    /// `service`.
    pub kind: String,
}

impl Activation {
    pub fn of_service(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            kind: SERVICE.to_owned(),
        }
    }
}

impl Kind for Activation {
    const NAME: &'static str = "activation";
    const SIGNER: KeyPairType = KeyPairType::Account;
}

/// A key that signs users of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SigningKey {
    /// Any users.
    Any(String),
    /// Users by a template only.
    Scoped(ScopedKey),
}

/// A key that signs users by a template. The server refuses those with permissions of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopedKey {
    /// `user_scope`.
    pub kind: String,
    /// The public key.
    pub key: String,
    pub role: String,
    pub template: Template,
}

impl ScopedKey {
    pub fn new(key: &str, role: &str, template: Template) -> Self {
        Self {
            kind: "user_scope".to_owned(),
            key: key.to_owned(),
            role: role.to_owned(),
            template,
        }
    }
}
