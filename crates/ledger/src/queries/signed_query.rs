//! A query as it came: its size, its signature and its address are checked before anything is read.

use keyroll_core::cose::Unverified;
use keyroll_core::sign_in;
use keyroll_core::statement::Delegation;
use keyroll_core::{Code, Identity, MemberId, Millis, Rejection, WorkspaceName, cose, limits};
use keyroll_wire::query::{Query, Question};

use crate::context::Context;

/// Largest query, except for the command of a dry run: a query has names and filters only.
pub(crate) const QUERY_BYTES: usize = 16 * 1024;

/// Largest query for credentials: it names up to 256 workspaces.
pub(crate) const CREDENTIAL_BYTES: usize = 20 * 1024;

/// A query whose signatures are verified.
pub(crate) struct SignedQuery {
    pub(crate) opened: Unverified<Query>,
    pub(crate) delegation: Option<Delegation>,
}

fn check_size(bytes: usize, most: usize) -> Result<(), Rejection> {
    if bytes <= most {
        return Ok(());
    }
    let message = format!("a query has at most {most} bytes");
    Err(Rejection::new(Code::TooLarge, message))
}

/// Opens a query and verifies its signature.
///
/// # Errors
/// When it is too large, malformed or not signed by its signer.
pub(crate) fn open(bytes: &[u8]) -> Result<Unverified<Query>, Rejection> {
    check_size(bytes.len(), QUERY_BYTES + limits::COMMAND_BYTES)?;
    let opened = cose::open::<Query>(bytes)?;
    if matches!(opened.payload.ask, Question::LedgerCredential(_)) {
        check_size(bytes.len(), CREDENTIAL_BYTES)?;
    } else if !matches!(opened.payload.ask, Question::CommandDryRun(_)) {
        check_size(bytes.len(), QUERY_BYTES)?;
    }
    opened.verify()?;
    Ok(opened)
}

impl SignedQuery {
    /// Checks that a query is for this ledger and this workspace, is fresh, and that its
    /// delegation, if any, is for its signer.
    pub(crate) fn check(
        opened: Unverified<Query>,
        context: &Context,
        workspace: Option<&WorkspaceName>,
        now: Millis,
    ) -> Result<Self, Rejection> {
        check_address(&opened.payload, context, workspace, now)?;
        let Query {
            member, delegation, ..
        } = &opened.payload;
        sign_in::check_claim(opened.signer, *member, delegation.is_some())?;
        let delegation = opened.payload.delegation.as_ref();
        let delegation = delegation.map(|bytes| cose::open::<Delegation>(&bytes.0));
        let delegation = delegation.transpose()?;
        if let Some(delegation) = &delegation {
            delegation.verify_for(&opened.signer)?;
        }
        let delegation = delegation.map(|opened| opened.payload);
        Ok(Self { opened, delegation })
    }

    /// The member who asks, directly, through a sign-in or through a delegated key. Whoever signs
    /// with a sign-in key may name any member: the read model knows whether the key acts for it.
    pub(crate) fn member(&self) -> MemberId {
        if let Some(member) = self.opened.payload.member {
            return member;
        }
        let delegation = self.delegation.as_ref();
        let key = delegation.map_or(self.opened.signer, |delegation| delegation.identity);
        key.into()
    }

    /// The key of the sign-in that signed, if one did.
    pub(crate) fn sign_in_key(&self) -> Option<Identity> {
        let claimed = self.opened.payload.member;
        claimed.map(|_| self.opened.signer)
    }
}

fn check_address(
    query: &Query,
    context: &Context,
    workspace: Option<&WorkspaceName>,
    now: Millis,
) -> Result<(), Rejection> {
    if query.ledger != context.ledger {
        let message = format!(
            "the query is for ledger {}, this is {}",
            query.ledger, context.ledger
        );
        return Err(Rejection::new(Code::WrongLedger, message));
    }
    if query.workspace.as_ref() != workspace {
        let message = "the query is for another workspace than it was sent to";
        return Err(Rejection::new(Code::WrongWorkspace, message));
    }
    if query.at.0.abs_diff(now.0) > limits::FRESH_MS {
        let message = "the query's time is more than 60 s from the ledger's: check the clocks";
        return Err(Rejection::new(Code::Stale, message));
    }
    Ok(())
}
