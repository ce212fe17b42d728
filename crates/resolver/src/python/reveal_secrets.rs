//! Where the values of a run come from.

use std::future::Future;

use crate::error::{Code, ResolveError};
use crate::secret::SecretValue;

/// Supplies the values of a run. Each reveal is audited, and made once per name.
pub trait RevealSecrets: Send {
    /// The hosts to which a secret is bound. It does not reveal the secret.
    fn allowed_hosts(
        &mut self,
        name: &str,
    ) -> impl Future<Output = Result<Vec<String>, ResolveError>> + Send;

    /// Reveals the value.
    fn reveal(
        &mut self,
        name: &str,
    ) -> impl Future<Output = Result<SecretValue, ResolveError>> + Send;
}

/// Refuses every secret, for code that is only parsed.
pub(super) struct NoSecrets;

impl RevealSecrets for NoSecrets {
    async fn allowed_hosts(&mut self, name: &str) -> Result<Vec<String>, ResolveError> {
        self.reveal(name).await.map(|value| value.allowed_hosts)
    }

    async fn reveal(&mut self, name: &str) -> Result<SecretValue, ResolveError> {
        Err(ResolveError::new(Code::Denied, "the code is only parsed, not run").about_secret(name))
    }
}

impl<S: RevealSecrets> RevealSecrets for &mut S {
    async fn allowed_hosts(&mut self, name: &str) -> Result<Vec<String>, ResolveError> {
        (**self).allowed_hosts(name).await
    }

    async fn reveal(&mut self, name: &str) -> Result<SecretValue, ResolveError> {
        (**self).reveal(name).await
    }
}
