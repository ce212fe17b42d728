//! Failures as people see them: what failed, why, and what to do next.

use axum::http::StatusCode;
use keyroll_client::ClientError;
use keyroll_core::Code;
use keyroll_core::names::InvalidName;

use crate::format::sentence;

/// The message when a value is not shown because the read could not be recorded.
pub(crate) const NOT_RECORDED: &str = "Not shown: the read could not be recorded.";

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) message: String,
    /// Whether the log does not verify.
    pub(crate) unverified: bool,
    /// The text and address of a link to look at.
    pub(crate) link: Option<(String, String)>,
}

impl Failure {
    fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            message: message.into(),
            unverified: false,
            link: None,
        }
    }

    /// A field of a form that cannot be used.
    pub(crate) fn field(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_field",
            "That cannot be used",
            message,
        )
    }

    /// A form that did not come from a page of the console.
    pub(crate) fn damaged_form() -> Self {
        Self::field("The form is damaged: open it again.")
    }

    pub(crate) fn too_large_form() -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Self::field(
                "The form holds too much. Values have 64 KiB at most; import larger files with `keyroll import`.",
            )
        }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", message)
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "denied",
            "You may not see this",
            message,
        )
    }

    pub(crate) fn signed_out(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "signed_out",
            "You are signed out",
            message,
        )
    }

    /// The log does not verify, so nothing is written.
    pub(crate) fn writes_off() -> Self {
        let message = "The log does not verify, so nothing is written or shown. Look at the audit \
                     log, and press “Verify now” when the cause is gone.";
        Self {
            unverified: true,
            ..Self::new(
                StatusCode::CONFLICT,
                "unverified",
                "Writes are off",
                message,
            )
        }
    }

    #[must_use]
    pub(crate) fn with_link(mut self, text: impl Into<String>, address: impl Into<String>) -> Self {
        self.link = Some((text.into(), address.into()));
        self
    }

    /// The same failure of a reveal.
    #[must_use]
    pub(crate) fn of_reveal(mut self) -> Self {
        self.message = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => NOT_RECORDED.to_owned(),
            _ => format!("Not shown: {}", self.message),
        };
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (code, text) = (error.code(), error.to_string());
        let (status, title) = describe(code);
        let message = sentence(without_advice(without_action(&text)));
        let message = match code {
            Code::Unreachable => format!(
                "{message} Nothing was changed. This page works again as soon as the ledger answers."
            ),
            Code::Busy => format!("{message} Nothing is lost: try again in a moment."),
            _ => message,
        };
        Self {
            unverified: matches!(code, Code::Rollback | Code::Fork | Code::Corrupt),
            ..Self::new(status, code.as_str(), title, message)
        }
    }
}

/// A refusal without the name of the refused command: the person just pressed its button.
fn without_action(message: &str) -> &str {
    match message.split_once(": ") {
        Some((action, why)) if action.contains('.') && !action.contains(' ') => why,
        _ => message,
    }
}

/// A message without advice that the page gives in its own words.
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
        let message: String = letters
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .chain(letters)
            .collect();
        Self {
            code: Code::InvalidName.as_str(),
            ..Self::field(message + ".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unrecorded_read_has_a_fixed_message() {
        for code in [
            Code::AuditUnavailable,
            Code::AuditUnknown,
            Code::Unreachable,
            Code::Busy,
        ] {
            let failure = Failure::from(ClientError::failed(code, "why")).of_reveal();
            assert_eq!(
                failure.message,
                "Not shown: the read could not be recorded."
            );
        }
        let denied = Failure::from(ClientError::failed(Code::Denied, "no")).of_reveal();
        assert_eq!(denied.message, "Not shown: No.");
        let message = "secret.reveal: your role does not allow it (recorded as entry 7)";
        let denied = Failure::from(ClientError::failed(Code::Denied, message)).of_reveal();
        let message = "Not shown: Your role does not allow it (recorded as entry 7).";
        assert_eq!(denied.message, message);
    }

    #[test]
    fn a_busy_ledger_and_an_unreachable_one_have_different_messages() {
        let shown = |code, message: &str| {
            let failure = Failure::from(ClientError::failed(code, message));
            (failure.title, failure.message)
        };
        let behind = shown(
            Code::Busy,
            "the read model is behind the log: try again shortly",
        );
        assert_eq!(behind.0, "The ledger is catching up");
        assert_eq!(
            behind.1,
            "The read model is behind the log. Nothing is lost: try again in a moment."
        );
        let titles = [Code::Busy, Code::Unreachable, Code::AuditUnavailable];
        let titles: std::collections::HashSet<_> = titles
            .map(|code| shown(code, "why").0)
            .into_iter()
            .collect();
        assert_eq!(titles.len(), 3);
    }

    #[test]
    fn only_errors_about_the_log_turn_writes_off() {
        for code in Code::ALL {
            let log_error = matches!(code, Code::Rollback | Code::Fork | Code::Corrupt);
            let failure = Failure::from(ClientError::failed(*code, "why"));
            assert_eq!(failure.unverified, log_error, "{code}");
        }
    }
}
