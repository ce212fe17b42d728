//! Where a run's values come from.

use std::future::Future;

use crate::error::{Code, ResolveError};
use crate::secret::SecretValue;

/// Where the values of a run come from: every call is an audited reveal, made once per name.
pub trait RevealSecrets: Send {
    /// The hosts that a secret is bound to, without revealing it.
    fn allowed_hosts(
        &mut self,
        name: &str,
    ) -> impl Future<Output = Result<Vec<String>, ResolveError>> + Send;

    /// The value.
    fn reveal(
        &mut self,
        name: &str,
    ) -> impl Future<Output = Result<SecretValue, ResolveError>> + Send;
}

/// The source of a run that must not ask.
pub(super) struct Nobody;

impl RevealSecrets for Nobody {
    async fn allowed_hosts(&mut self, name: &str) -> Result<Vec<String>, ResolveError> {
        self.reveal(name).await.map(|value| value.allowed_hosts)
    }

    async fn reveal(&mut self, name: &str) -> Result<SecretValue, ResolveError> {
        Err(ResolveError::new(Code::Denied, "the code is not being run").about(name))
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
