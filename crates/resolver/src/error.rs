//! What can go wrong, under codes that scripts rely on.
//!
//! An error says which block, place, secret and host it is about. It never carries a value, a
//! value's length or a URL's query: details are written here or by libraries that saw no value,
//! and [`crate::execute`] masks what it returns once values are in play.

use std::fmt;

use crate::redact::Redactor;

/// The kind of an error. Its spelling ([`Code::as_str`]) is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// `{{ secrets` that is no reference.
    TemplateSyntax,
    /// A referenced secret does not exist, or its value was not handed over.
    SecretNotFound,
    /// A referenced secret is deleted.
    SecretDeleted,
    /// The ledger refused the reveal.
    Denied,
    /// A secret is bound to other hosts, or the host needs https.
    HostNotAllowed,
    /// A reference stands where no secret may stand.
    ContextForbidden,
    /// A value cannot be written where it is referenced.
    ValueIllegalForContext,
    /// The host has an address that must not be connected to.
    AddressBlocked,
    /// A redirect leads where the block does not follow.
    RedirectBlocked,
    /// The reveal could not be recorded, so nothing was released.
    AuditUnavailable,
    /// Python blocks cannot be run here.
    SandboxUnavailable,
    /// The block took too long.
    Timeout,
    /// More bytes than the limit came back, or values are too large to be masked.
    OutputLimit,
    /// The block file is not well-formed, or a block says something that makes no request.
    BlockInvalid,
    /// The request failed before a complete response was there.
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

/// An error of the resolver. Small: the parts live behind one pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ResolveError(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    code: Code,
    detail: String,
    block: Option<String>,
    place: Option<String>,
    at: Option<LineColumn>,
    file: Option<(usize, usize)>,
    secret: Option<String>,
    host: Option<String>,
}

/// Where in a text: bytes from its start, then line and column counted from one, the column in
/// characters. A position found by the JSON parser has no offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LineColumn {
    offset: Option<usize>,
    line: usize,
    column: usize,
}

impl ResolveError {
    /// An error with a code and a sentence for people. The sentence must not contain a value.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            block: None,
            place: None,
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

    /// The sentence alone, without the parts that [`fmt::Display`] adds.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The block's name.
    pub fn block(&self) -> Option<&str> {
        self.0.block.as_deref()
    }

    /// The place in the block, such as `headers.X-Api-Key`.
    pub fn place(&self) -> Option<&str> {
        self.0.place.as_deref()
    }

    /// Line and column, counted from one: of the string at [`ResolveError::place`] where there is
    /// one, else of the file.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        self.0.at.map(|at| (at.line, at.column))
    }

    /// Line and column of the block file, counted from one, where they are known.
    pub fn file_line_column(&self) -> Option<(usize, usize)> {
        let of_file = self.0.place.is_none().then(|| self.line_column()).flatten();
        self.0.file.or(of_file)
    }

    /// Bytes from the start of the string at [`ResolveError::place`].
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

    /// Adds the place, unless there is one.
    #[must_use]
    pub fn in_place(mut self, place: &str) -> Self {
        self.0.place.get_or_insert_with(|| place.to_owned());
        self
    }

    /// Adds the secret's name, unless there is one.
    #[must_use]
    pub fn about(mut self, secret: &str) -> Self {
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

    /// Adds a line and a column of the file to a place in it.
    #[must_use]
    pub(crate) fn at_file(mut self, line_column: (usize, usize)) -> Self {
        self.0.file.get_or_insert(line_column);
        self
    }

    /// The same error with every known value masked in the one part that a library may have
    /// worded.
    #[must_use]
    pub(crate) fn masked(mut self, redactor: &Redactor) -> Self {
        self.0.detail =
            String::from_utf8_lossy(&redactor.redact(self.0.detail.as_bytes())).into_owned();
        self
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &self.0;
        f.write_str(&parts.detail)?;
        let mut separator = " (";
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            f.write_str(std::mem::replace(&mut separator, ", "))?;
            f.write_fmt(text)
        };
        if let Some(secret) = &parts.secret {
            part(f, format_args!("secret {secret}"))?;
        }
        if let Some(block) = &parts.block {
            part(f, format_args!("block {}", block.escape_debug()))?;
        }
        if let Some(place) = &parts.place {
            part(f, format_args!("at {place}"))?;
        }
        if let Some(at) = &parts.at {
            if let Some(offset) = at.offset {
                part(f, format_args!("offset {offset}"))?;
            }
            if parts.file.is_none() {
                part(f, format_args!("line {} column {}", at.line, at.column))?;
            } else if at.line > 1 {
                part(
                    f,
                    format_args!("line {} column {} of it", at.line, at.column),
                )?;
            }
        }
        if let Some((line, column)) = parts.file {
            part(f, format_args!("line {line} column {column} of the file"))?;
        }
        if let Some(host) = &parts.host {
            part(f, format_args!("host {host}"))?;
        }
        f.write_str(if separator == ", " { ")" } else { "" })
    }
}
