//! Errors of a call.

use keyroll_core::{Code, Rejection};

/// A refusal by the ledger, or a failure on the way or in a check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The ledger works and refused.
    #[error("{}", .0.message)]
    Refused(Rejection),
    /// Something is broken, unreachable or does not verify.
    #[error("{message}")]
    Failed {
        /// The stable code.
        code: Code,
        /// The message.
        message: String,
    },
}

impl ClientError {
    /// A failure.
    pub fn failed(code: Code, message: impl Into<String>) -> Self {
        Self::Failed {
            code,
            message: message.into(),
        }
    }

    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Refused(rejection) => rejection.code,
            Self::Failed { code, .. } => *code,
        }
    }
}

impl ClientError {
    /// A reply that does not decode or verify: a failure of the ledger, not a refusal.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "`map_err` passes it by value"
    )]
    pub(crate) fn broken_reply(rejection: Rejection) -> Self {
        let code = match rejection.code {
            Code::UpgradeNeeded => Code::UpgradeNeeded,
            _ => Code::Corrupt,
        };
        let message = format!("the ledger's reply does not verify: {}", rejection.message);
        Self::Failed { code, message }
    }
}

impl From<Rejection> for ClientError {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

impl From<std::io::Error> for ClientError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(
            Code::Internal,
            format!("the checkpoints and facts of this client cannot be read or written: {error}"),
        )
    }
}
