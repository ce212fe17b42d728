//! Errors, with codes on which scripts can rely.
//!
//! An error names the block, field, secret and host. It never contains a value, the length of a value, or the
//! query of a URL: its words come from this crate or from libraries that saw no value, and after a reveal
//! [`crate::execute()`] masks them.

use std::fmt;

/// The kind of an error. Its spelling ([`Code::as_str`]) is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// `{{ secrets` that is not a valid reference.
    TemplateSyntax,
    /// A referenced secret does not exist, or was not revealed.
    SecretNotFound,
    /// A referenced secret is deleted.
    SecretDeleted,
    /// The ledger refused the reveal.
    Denied,
    /// A secret is bound to other hosts, or plain http to the host is off.
    HostNotAllowed,
    /// A reference stands where none may stand.
    ContextForbidden,
    /// A value is not allowed in the context of its reference.
    ValueIllegalForContext,
    /// The host has an address that is not allowed.
    AddressBlocked,
    /// A redirect that the block does not follow.
    RedirectBlocked,
    /// The reveal could not be recorded, so nothing was released.
    AuditUnavailable,
    /// Python blocks cannot run here.
    SandboxUnavailable,
    /// The block did not end within the time limit.
    Timeout,
    /// The response, output or result is larger than the limit, or values are too large to mask.
    OutputLimit,
    /// The block file is not valid.
    BlockInvalid,
    /// The request failed before the response was complete.
    HttpFailed,
}

impl Code {
    /// The stable spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TemplateSyntax => "template_syntax",
            Self::SecretNotFound => "secret_not_found",
            Self::SecretDeleted => "secret_deleted",
            Self::Denied => "denied",
            Self::HostNotAllowed => "host_not_allowed",
            Self::ContextForbidden => "context_forbidden",
            Self::ValueIllegalForContext => "value_illegal_for_context",
            Self::AddressBlocked => "address_blocked",
            Self::RedirectBlocked => "redirect_blocked",
            Self::AuditUnavailable => "audit_unavailable",
            Self::SandboxUnavailable => "sandbox_unavailable",
            Self::Timeout => "timeout",
            Self::OutputLimit => "output_limit",
            Self::BlockInvalid => "block_invalid",
            Self::HttpFailed => "http_failed",
        }
    }
}

/// An error of the resolver. It is one pointer, to keep results small.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ResolveError(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    code: Code,
    detail: String,
    block: Option<String>,
    field: Option<String>,
    at: Option<LineColumn>,
    file: Option<(usize, usize)>,
    secret: Option<String>,
    host: Option<String>,
}

/// A position in a text: bytes from its start, and line and column from one, the column in characters. A
/// position from the JSON parser has no offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LineColumn {
    offset: Option<usize>,
    line: usize,
    column: usize,
}

impl ResolveError {
    /// An error with a code and a sentence. The sentence must not contain a value.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            block: None,
            field: None,
            at: None,
            file: None,
            secret: None,
            host: None,
        }))
    }

    /// The stable code, for programs.
    pub fn code(&self) -> &'static str {
        self.0.code.as_str()
    }

    /// The code as a type.
    pub fn kind(&self) -> Code {
        self.0.code
    }

    /// The sentence alone. [`fmt::Display`] adds block, field and so on.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The block's name.
    pub fn block(&self) -> Option<&str> {
        self.0.block.as_deref()
    }

    /// The field of the block, such as `headers.X-Api-Key`.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Line and column, from one: in the string of [`ResolveError::field`] if there is one, else in the file.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        self.0.at.map(|at| (at.line, at.column))
    }

    /// Line and column in the block file, from one, if they are known.
    pub fn file_line_column(&self) -> Option<(usize, usize)> {
        let of_file = self.0.field.is_none().then(|| self.line_column()).flatten();
        self.0.file.or(of_file)
    }

    /// Bytes from the start of the string of [`ResolveError::field`].
    pub fn offset(&self) -> Option<usize> {
        self.0.at.and_then(|at| at.offset)
    }

    /// The secret's name.
    pub fn secret(&self) -> Option<&str> {
        self.0.secret.as_deref()
    }

    /// The host, without scheme, path or query.
    pub fn host(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    /// Adds the block's name, unless there is one.
    #[must_use]
    pub fn in_block(mut self, block: &str) -> Self {
        self.0.block.get_or_insert_with(|| block.to_owned());
        self
    }

    /// Adds the field, unless there is one.
    #[must_use]
    pub fn in_field(mut self, field: &str) -> Self {
        self.0.field.get_or_insert_with(|| field.to_owned());
        self
    }

    /// Adds the secret's name, unless there is one.
    #[must_use]
    pub fn about_secret(mut self, secret: &str) -> Self {
        self.0.secret.get_or_insert_with(|| secret.to_owned());
        self
    }

    /// Adds the host, unless there is one.
    #[must_use]
    pub fn at_host(mut self, host: &str) -> Self {
        self.0.host.get_or_insert_with(|| host.to_owned());
        self
    }

    /// Adds the position of byte `offset` of `text`.
    #[must_use]
    pub(crate) fn at_offset(mut self, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.0.at = Some(LineColumn {
            offset: Some(offset),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        });
        self
    }

    /// Adds a line and a column of the file.
    #[must_use]
    pub(crate) fn at_line(mut self, line: usize, column: usize) -> Self {
        self.0.at = Some(LineColumn {
            offset: None,
            line,
            column,
        });
        self
    }

    /// Adds the line and the column in the file, unless there are some.
    #[must_use]
    pub(crate) fn at_file(mut self, line_column: (usize, usize)) -> Self {
        self.0.file.get_or_insert(line_column);
        self
    }

    /// Changes the sentence, the only part that a library may have worded.
    #[must_use]
    pub(crate) fn map_detail(mut self, change: impl FnOnce(&str) -> String) -> Self {
        self.0.detail = change(&self.0.detail);
        self
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        f.write_str(&inner.detail)?;
        let mut separator = " (";
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            f.write_str(std::mem::replace(&mut separator, ", "))?;
            f.write_fmt(text)
        };
        if let Some(secret) = &inner.secret {
            part(f, format_args!("secret {secret}"))?;
        }
        if let Some(block) = &inner.block {
            part(f, format_args!("block {}", block.escape_debug()))?;
        }
        if let Some(field) = &inner.field {
            part(f, format_args!("at {field}"))?;
        }
        if let Some(at) = &inner.at {
            if let Some(offset) = at.offset {
                part(f, format_args!("offset {offset}"))?;
            }
            if inner.file.is_none() {
                part(f, format_args!("line {} column {}", at.line, at.column))?;
            } else if at.line > 1 {
                part(
                    f,
                    format_args!("line {} column {} of it", at.line, at.column),
                )?;
            }
        }
        if let Some((line, column)) = inner.file {
            part(f, format_args!("line {line} column {column} of the file"))?;
        }
        if let Some(host) = &inner.host {
            part(f, format_args!("host {host}"))?;
        }
        f.write_str(if separator == ", " { ")" } else { "" })
    }
}
