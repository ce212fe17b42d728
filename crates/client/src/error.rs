//! What a call can come back with instead of a result.

use keyroll_core::{Code, Rejection};

/// Refused by the ledger, or failed on the way or in a check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The ledger works and says no.
    #[error("{}", .0.message)]
    Refused(Rejection),
    /// Something is broken, out of reach or does not verify.
    #[error("{message}")]
    Failed {
        /// What sort of failure.
        code: Code,
        /// The words.
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
    /// Something the ledger sent that does not decode or verify: its failure, not its refusal.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is what `map_err` hands over"
    )]
    pub(crate) fn broken_reply(rejection: Rejection) -> Self {
        let code = match rejection.code {
            Code::UpgradeNeeded => Code::UpgradeNeeded,
            _ => Code::Corrupt,
        };
        let message = format!("the ledger's reply does not check: {}", rejection.message);
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
            format!("what this client remembers of the ledger cannot be read or written: {error}"),
        )
    }
}
