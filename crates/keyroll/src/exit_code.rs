//! Exit statuses. Scripts rely on them: one never changes its meaning.

use std::process::ExitCode;

use keyroll_core::Code;
use keyroll_resolver::Code as BlockCode;

/// Why the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    Other = 1,
    /// Usage, bad name, bad value, template syntax, forbidden context, a question without a terminal.
    Usage = 2,
    /// Not found, deleted, destroyed.
    NotFound = 3,
    /// Denied, host or address not allowed.
    Denied = 4,
    /// The name is taken, or another version is current.
    Conflict = 5,
    /// Verification failed, rollback, fork, corrupt; a status with problems.
    Unverified = 6,
    /// The ledger or the log cannot be reached.
    Unreachable = 7,
    /// The audit entry could not be written, or that is unknown. Nothing was released.
    Audit = 8,
    /// Ctrl-C or SIGTERM, with the status of a shell.
    Interrupted = 130,
}

/// The text at the end of `keyroll --help`.
pub(crate) const HELP: &str = "\
Flags without a value are off unless you give them.

Examples:
  keyroll dev
  keyroll secret create API_Key --generate

Exit status:
  0  ok
  1  other
  2  usage, bad name, bad value, template syntax, forbidden context, a question without a terminal
  3  not found, deleted, destroyed
  4  denied, host or address not allowed
  5  conflict: the name is taken, or another version is current
  6  verification failed, rollback, fork, corrupt; `status` with problems
  7  ledger or log unreachable
  8  the audit entry could not be written, or that is unknown: nothing was released";

/// The status of a run: one of [`Exit`], or that of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u8);

impl From<Exit> for Status {
    fn from(exit: Exit) -> Self {
        Self(exit as u8)
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.0)
    }
}

impl Exit {
    /// The status of a code of the ledger or the client.
    pub(crate) const fn of(code: Code) -> Self {
        match code {
            Code::InvalidName | Code::InvalidField | Code::InvalidValue => Self::Usage,
            Code::NotFound | Code::Deleted | Code::Destroyed => Self::NotFound,
            Code::Denied => Self::Denied,
            Code::Conflict => Self::Conflict,
            Code::BadSignature
            | Code::WrongLedger
            | Code::Rollback
            | Code::Fork
            | Code::Corrupt
            | Code::ValueLost => Self::Unverified,
            Code::Busy | Code::Unreachable => Self::Unreachable,
            Code::AuditUnavailable | Code::AuditUnknown => Self::Audit,
            Code::Malformed
            | Code::TooLarge
            | Code::WrongWorkspace
            | Code::Stale
            | Code::UpgradeNeeded
            | Code::SessionExpired
            | Code::Internal => Self::Other,
        }
    }

    /// The status of a code of the block resolver.
    pub(crate) const fn of_block(code: BlockCode) -> Self {
        match code {
            BlockCode::TemplateSyntax
            | BlockCode::ContextForbidden
            | BlockCode::ValueIllegalForContext
            | BlockCode::BlockInvalid => Self::Usage,
            BlockCode::SecretNotFound | BlockCode::SecretDeleted => Self::NotFound,
            BlockCode::Denied
            | BlockCode::HostNotAllowed
            | BlockCode::AddressBlocked
            | BlockCode::RedirectBlocked => Self::Denied,
            BlockCode::AuditUnavailable => Self::Audit,
            BlockCode::SandboxUnavailable
            | BlockCode::Timeout
            | BlockCode::OutputLimit
            | BlockCode::HttpFailed => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_documented_status() {
        let documented = [
            (
                1,
                "malformed too_large wrong_workspace stale upgrade_needed session_expired internal",
            ),
            (2, "invalid_name invalid_field invalid_value"),
            (3, "not_found deleted destroyed"),
            (4, "denied"),
            (5, "conflict"),
            (
                6,
                "bad_signature wrong_ledger rollback fork corrupt value_lost",
            ),
            (7, "busy unreachable"),
            (8, "audit_unavailable audit_unknown"),
        ];
        let mut named = 0;
        for (status, codes) in documented {
            for text in codes.split(' ') {
                let code = Code::ALL.iter().find(|code| code.as_str() == text);
                let code = *code.expect("a known code");
                assert_eq!(Status::from(Exit::of(code)), Status(status), "{code}");
                named += 1;
            }
        }
        assert_eq!(named, Code::ALL.len());
    }

    #[test]
    fn blocks_share_the_table() {
        for (code, status) in [
            (BlockCode::TemplateSyntax, 2),
            (BlockCode::ContextForbidden, 2),
            (BlockCode::SecretDeleted, 3),
            (BlockCode::HostNotAllowed, 4),
            (BlockCode::AddressBlocked, 4),
            (BlockCode::AuditUnavailable, 8),
            (BlockCode::Timeout, 1),
        ] {
            assert_eq!(
                Status::from(Exit::of_block(code)),
                Status(status),
                "{code:?}"
            );
        }
    }
}
