//! Failures of commands.

use std::io;
use std::path::Path;

use keyroll_client::ClientError;
use keyroll_core::names::InvalidName;
use keyroll_core::{Code, Rejection};
use keyroll_resolver::ResolveError;

use crate::exit_code::Exit;

/// Advice about entries that the ledger has lost.
const LOST: &str = "Ask an operator to restore a backup or to run `keyroll recover`. If the entries are lost \
                    for good and you know why, run `keyroll audit accept`";

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A failure that is reported on stderr, with a stable code.
    Reported {
        code: &'static str,
        exit: Exit,
        message: String,
    },
    /// The reader of our output has closed it. That is not an error.
    Pipe,
}

impl Failure {
    /// The command line, or a file that it names, is not usable.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Reported {
            code: "usage",
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    /// Anything else on this machine.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::Reported {
            code: "failed",
            exit: Exit::Other,
            message: message.into(),
        }
    }

    /// A failure under one of the ledger's codes.
    pub(crate) fn coded(code: Code, message: impl Into<String>) -> Self {
        Self::Reported {
            code: code.as_str(),
            exit: Exit::of(code),
            message: message.into(),
        }
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self::local(format!("{}: {error}", path.display()))
    }

    /// Whether the ledger contradicts what this client has verified before.
    pub(crate) const fn is_unverified(&self) -> bool {
        matches!(
            self,
            Self::Reported {
                exit: Exit::Unverified,
                ..
            }
        )
    }

    /// The closest of the ledger's codes.
    pub(crate) fn ledger_code(&self) -> Code {
        let known = Code::ALL.iter().find(|code| code.as_str() == self.code());
        known.copied().unwrap_or(Code::Internal)
    }

    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Reported { code, .. } => code,
            Self::Pipe => "pipe",
        }
    }

    /// The message.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Reported { message, .. } => message,
            Self::Pipe => "the reader of the output is gone",
        }
    }

    /// The same failure in other words.
    #[must_use]
    pub(crate) fn saying(self, message: String) -> Self {
        match self {
            Self::Reported { code, exit, .. } => Self::Reported {
                code,
                exit,
                message,
            },
            Self::Pipe => Self::Pipe,
        }
    }

    /// The same failure, with the place where it arose in front of its message.
    #[must_use]
    pub(crate) fn within(self, place: &str) -> Self {
        match self {
            Self::Reported {
                code,
                exit,
                message,
            } => Self::Reported {
                code,
                exit,
                message: format!("{place}: {message}"),
            },
            Self::Pipe => Self::Pipe,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = match error.code() {
            Code::Rollback | Code::Fork => format!("{error}. {LOST}"),
            _ => error.to_string(),
        };
        Self::coded(error.code(), message)
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::coded(rejection.code, rejection.message)
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        Self::Reported {
            code: error.code(),
            exit: Exit::of_block(error.kind()),
            message: error.to_string(),
        }
    }
}

impl From<keyroll_server::keys::KeysError> for Failure {
    fn from(error: keyroll_server::keys::KeysError) -> Self {
        Self::local(error.to_string())
    }
}

impl From<InvalidName> for Failure {
    fn from(InvalidName(rule): InvalidName) -> Self {
        Self::coded(Code::InvalidName, rule)
    }
}

/// Standard output failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Pipe;
        }
        Self::local(format!("cannot write the output: {error}"))
    }
}
