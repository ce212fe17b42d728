//! What stands in the way, in words that say what to do next.

use axum::http::StatusCode;
use keyroll_client::ClientError;
use keyroll_core::Code;
use keyroll_core::names::InvalidName;

use crate::words::sentence;

/// Words when a value is not shown because its reading cannot be put on record.
pub(crate) const NOT_RECORDED: &str = "Not shown: the read could not be recorded.";

/// A request that did not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) words: String,
    /// Whether the log itself is in doubt.
    pub(crate) unverified: bool,
    /// Where to look: words of a link and its address.
    pub(crate) see: Option<(String, String)>,
}

impl Failure {
    fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        words: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            words: words.into(),
            unverified: false,
            see: None,
        }
    }

    /// Something in a form that cannot be used.
    pub(crate) fn field(words: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_field",
            "That cannot be used",
            words,
        )
    }

    pub(crate) fn not_found(words: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", words)
    }

    pub(crate) fn denied(words: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "denied",
            "You may not see this",
            words,
        )
    }

    pub(crate) fn signed_out(words: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "signed_out",
            "You are signed out",
            words,
        )
    }

    /// Nothing is written to a log that does not verify.
    pub(crate) fn writes_off() -> Self {
        let words = "The log does not verify, so nothing is written or shown. Look at the audit \
                     log, and press “Verify now” when the cause is gone.";
        Self {
            unverified: true,
            ..Self::new(StatusCode::CONFLICT, "unverified", "Writes are off", words)
        }
    }

    #[must_use]
    pub(crate) fn see(mut self, words: impl Into<String>, address: impl Into<String>) -> Self {
        self.see = Some((words.into(), address.into()));
        self
    }

    /// The same failure where a value was asked for.
    #[must_use]
    pub(crate) fn of_reveal(mut self) -> Self {
        self.words = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => NOT_RECORDED.to_owned(),
            _ => format!("Not shown: {}", self.words),
        };
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        let (status, title) = describe(code);
        let words = sentence(without_advice(without_action(&message)));
        let words = match code {
            Code::Unreachable => format!(
                "{words} Nothing was changed. This page works again as soon as the ledger answers."
            ),
            Code::Busy => format!("{words} Nothing is lost: try again in a moment."),
            _ => words,
        };
        Self {
            unverified: matches!(code, Code::Rollback | Code::Fork | Code::Corrupt),
            ..Self::new(status, code.as_str(), title, words)
        }
    }
}

/// A refusal without the command that was refused: who pressed the button knows which.
fn without_action(message: &str) -> &str {
    match message.split_once(": ") {
        Some((action, why)) if action.contains('.') && !action.contains(' ') => why,
        _ => message,
    }
}

/// What is said here in words of its own.
fn without_advice(message: &str) -> &str {
    let advice = [": try again shortly", ": try again"];
    let without = advice.iter().find_map(|end| message.strip_suffix(end));
    without.unwrap_or(message)
}

const fn describe(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::Denied => (StatusCode::FORBIDDEN, "You may not do this"),
        Code::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        Code::Deleted => (StatusCode::GONE, "This secret is deleted"),
        Code::Destroyed => (StatusCode::GONE, "This value is destroyed"),
        Code::ValueLost => (StatusCode::GONE, "The value is lost"),
        Code::Conflict => (StatusCode::CONFLICT, "Something changed meanwhile"),
        Code::Busy => (StatusCode::SERVICE_UNAVAILABLE, "The ledger is catching up"),
        Code::Unreachable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The ledger cannot be reached",
        ),
        Code::AuditUnavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The ledger cannot record now",
        ),
        Code::AuditUnknown => (
            StatusCode::SERVICE_UNAVAILABLE,
            "It is not known whether this was recorded",
        ),
        Code::Rollback | Code::Fork | Code::Corrupt => {
            (StatusCode::BAD_GATEWAY, "The log does not verify")
        }
        Code::InvalidName | Code::InvalidField | Code::InvalidValue | Code::TooLarge => {
            (StatusCode::UNPROCESSABLE_ENTITY, "That cannot be used")
        }
        Code::Malformed
        | Code::BadSignature
        | Code::WrongLedger
        | Code::WrongWorkspace
        | Code::Stale
        | Code::UpgradeNeeded
        | Code::SessionExpired
        | Code::Internal => (StatusCode::BAD_GATEWAY, "The ledger refused"),
    }
}

impl From<InvalidName> for Failure {
    fn from(InvalidName(rule): InvalidName) -> Self {
        let mut letters = rule.chars();
        let words: String = letters
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .chain(letters)
            .collect();
        Self {
            code: Code::InvalidName.as_str(),
            ..Self::field(words + ".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unrecorded_read_is_told_in_these_words() {
        for code in [
            Code::AuditUnavailable,
            Code::AuditUnknown,
            Code::Unreachable,
            Code::Busy,
        ] {
            let failure = Failure::from(ClientError::failed(code, "why")).of_reveal();
            assert_eq!(failure.words, "Not shown: the read could not be recorded.");
        }
        let denied = Failure::from(ClientError::failed(Code::Denied, "no")).of_reveal();
        assert_eq!(denied.words, "Not shown: No.");
        let message = "secret.reveal: your role does not allow it (recorded as entry 7)";
        let denied = Failure::from(ClientError::failed(Code::Denied, message)).of_reveal();
        let words = "Not shown: Your role does not allow it (recorded as entry 7).";
        assert_eq!(denied.words, words);
    }

    #[test]
    fn a_ledger_that_is_behind_is_not_told_as_one_that_is_away() {
        let said = |code, message: &str| {
            let failure = Failure::from(ClientError::failed(code, message));
            (failure.title, failure.words)
        };
        let behind = said(
            Code::Busy,
            "the read model is behind the log: try again shortly",
        );
        assert_eq!(behind.0, "The ledger is catching up");
        assert_eq!(
            behind.1,
            "The read model is behind the log. Nothing is lost: try again in a moment."
        );
        let titles = [Code::Busy, Code::Unreachable, Code::AuditUnavailable];
        let titles: std::collections::HashSet<_> =
            titles.map(|code| said(code, "why").0).into_iter().collect();
        assert_eq!(titles.len(), 3);
    }

    #[test]
    fn only_a_log_in_doubt_turns_writes_off() {
        for code in Code::ALL {
            let doubt = matches!(code, Code::Rollback | Code::Fork | Code::Corrupt);
            let failure = Failure::from(ClientError::failed(*code, "why"));
            assert_eq!(failure.unverified, doubt, "{code}");
        }
    }
}
