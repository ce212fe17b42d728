//! Claims that an account, or a key that it named, signs.

use nkeys::KeyPairType;
use serde::{Deserialize, Serialize};

use super::Kind;

/// Subjects that are allowed; all others are refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Subjects {
    #[serde(default)]
    pub allow: Vec<String>,
}

/// The permissions and limits of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    #[serde(rename = "pub")]
    pub publish: Subjects,
    #[serde(rename = "sub")]
    pub subscribe: Subjects,
    /// Subscriptions of one connection; -1 for any number.
    pub subs: i64,
    pub data: i64,
    pub payload: i64,
    /// Whether the JWT alone suffices, without a signature over the server's nonce.
    #[serde(default)]
    pub bearer_token: bool,
    /// Times of day at which a user may connect, and at the end of which the connection ends; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeRange>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub times_location: String,
}

/// A time of the day, `HH:MM:SS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    pub start: String,
    pub end: String,
}

impl Template {
    /// Permissions without limits on number or size.
    pub fn new(publish: Vec<String>, subscribe: Vec<String>) -> Self {
        Self {
            publish: Subjects { allow: publish },
            subscribe: Subjects { allow: subscribe },
            subs: -1,
            data: -1,
            payload: -1,
            bearer_token: false,
            times: Vec::new(),
            times_location: String::new(),
        }
    }
}

/// A user of an account: with permissions of its own, or with those of the scoped key that signed it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct User {
    #[serde(rename = "pub", default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Subjects>,
    #[serde(rename = "sub", default, skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Subjects>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subs: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<i64>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub bearer_token: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeRange>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub times_location: String,
    /// The account, where a key that it named is the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_account: Option<String>,
    /// `KEY:VALUE`, for a template's `{{tag(KEY)}}`. nats-server reads them in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl User {
    /// With permissions of its own. Only the account's own key, or one without a template, may sign it.
    pub fn own(permissions: Template) -> Self {
        Self {
            publish: Some(permissions.publish),
            subscribe: Some(permissions.subscribe),
            subs: Some(permissions.subs),
            data: Some(permissions.data),
            payload: Some(permissions.payload),
            bearer_token: permissions.bearer_token,
            times: permissions.times,
            times_location: permissions.times_location,
            issuer_account: None,
            tags: Vec::new(),
        }
    }

    /// With a template's permissions, which use these tags. A scoped key signs it.
    pub fn scoped(account: &str, tags: Vec<String>) -> Self {
        Self {
            issuer_account: Some(account.to_owned()),
            tags,
            ..Self::default()
        }
    }

    /// With all permissions of its account, and no limits.
    pub fn unrestricted() -> Self {
        Self {
            subs: Some(-1),
            data: Some(-1),
            payload: Some(-1),
            ..Self::default()
        }
    }
}

impl Kind for User {
    const NAME: &'static str = "user";
    const SIGNER: KeyPairType = KeyPairType::Account;
}
