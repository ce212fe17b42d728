//! The revealed values of a run.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use crate::error::{Code, ResolveError};

/// A revealed value and the rules that came with it. It is wiped from memory when dropped, and never printed.
pub struct SecretValue {
    /// The value.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Host patterns to which the secret is bound. Empty: any host.
    pub allowed_hosts: Vec<String>,
    /// Whether the value may stand in a URL's query, where servers and proxies log it.
    pub allow_query: bool,
}

impl SecretValue {
    /// A value for any host, not allowed in a query.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: Zeroizing::new(bytes.into()),
            allowed_hosts: Vec::new(),
            allow_query: false,
        }
    }

    /// The value as text, which JSON and XML need.
    pub(crate) fn text(&self) -> Result<&str, ResolveError> {
        std::str::from_utf8(&self.bytes).map_err(|_| {
            ResolveError::new(Code::ValueIllegalForContext, "the value is not UTF-8 text")
        })
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValue")
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allow_query", &self.allow_query)
            .finish_non_exhaustive()
    }
}

/// The values of one run, by name.
#[derive(Debug, Default)]
pub struct SecretValues(BTreeMap<String, SecretValue>);

impl SecretValues {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value, replacing one of the same name.
    pub fn insert(&mut self, name: impl Into<String>, value: SecretValue) {
        self.0.insert(name.into(), value);
    }

    /// The value of a name.
    ///
    /// # Errors
    ///
    /// `secret_not_found` if the caller did not reveal it.
    pub fn get(&self, name: &str) -> Result<&SecretValue, ResolveError> {
        self.0.get(name).ok_or_else(|| {
            ResolveError::new(
                Code::SecretNotFound,
                "the secret was not revealed for this run",
            )
            .about_secret(name)
        })
    }

    /// Names and values in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl FromIterator<(String, SecretValue)> for SecretValues {
    fn from_iter<I: IntoIterator<Item = (String, SecretValue)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}
