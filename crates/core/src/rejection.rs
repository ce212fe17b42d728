//! Refusals. A [`Rejection`] is an answer: the ledger works and refuses. Failures have error types
//! of their own.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Stable codes of all refusals and failures.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// Bytes that are not in the expected canonical form.
    Malformed = "malformed",
    /// Larger than its limit.
    TooLarge = "too_large",
    /// A name, pattern, label or text that breaks its rule.
    InvalidName = "invalid_name",
    /// A well-formed field that makes no sense.
    InvalidField = "invalid_field",
    /// A value that is empty, too long or ends in a newline that the caller did not ask to keep.
    InvalidValue = "invalid_value",
    /// A signature that does not verify.
    BadSignature = "bad_signature",
    /// Signed for another ledger.
    WrongLedger = "wrong_ledger",
    /// Signed for another workspace than the one it was sent to.
    WrongWorkspace = "wrong_workspace",
    /// The command's time is more than 60 s from the ledger's.
    Stale = "stale",
    /// A version of the form that this program does not know.
    UpgradeNeeded = "upgrade_needed",
    /// The sealing key of this session is gone: start a new one.
    SessionExpired = "session_expired",
    /// Not allowed, or not a member.
    Denied = "denied",
    /// No such secret, member, workspace or version.
    NotFound = "not_found",
    /// The secret is deleted.
    Deleted = "deleted",
    /// The value is destroyed.
    Destroyed = "destroyed",
    /// Something changed meanwhile, or the name or id is taken.
    Conflict = "conflict",
    /// Too much at once: try again shortly.
    Busy = "busy",
    /// The log cannot be written: nothing happened and nothing was released.
    AuditUnavailable = "audit_unavailable",
    /// It is not known yet whether the entry was written; nothing was released.
    AuditUnknown = "audit_unknown",
    /// The log is shorter than it was.
    Rollback = "rollback",
    /// The log holds other entries than it did.
    Fork = "fork",
    /// The log does not verify.
    Corrupt = "corrupt",
    /// The sealed value is missing or damaged in the vault.
    ValueLost = "value_lost",
    /// The ledger or the log cannot be reached.
    Unreachable = "unreachable",
    /// A fault of the ledger itself.
    Internal = "internal",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: a stable code, and a message that says what failed, where, and what to do. It never
/// has a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// The stable code.
    pub code: Code,
    /// The message.
    pub message: String,
}

impl Rejection {
    /// A refusal with `code` that says `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
