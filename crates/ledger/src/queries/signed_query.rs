//! A query as it came: its size, its signature and its address are checked before anything is read.

use keyroll_core::cose::Unverified;
use keyroll_core::decide::delegations_ended;
use keyroll_core::sign_in;
use keyroll_core::{Code, Identity, MemberId, Millis, Rejection, WorkspaceName, cose, limits};
use keyroll_wire::query::{Query, Question};

use crate::context::Context;

/// Largest query, except for the command of a dry run: a query has names and filters only.
pub(crate) const QUERY_BYTES: usize = 16 * 1024;

/// Largest query for credentials: it names up to 256 workspaces.
pub(crate) const CREDENTIAL_BYTES: usize = 20 * 1024;

/// A query whose signature is verified.
pub(crate) struct SignedQuery {
    pub(crate) opened: Unverified<Query>,
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
    /// Checks that a query is for this ledger and this workspace, is fresh, and names a member only
    /// where a sign-in key signed.
    pub(crate) fn check(
        opened: Unverified<Query>,
        context: &Context,
        workspace: Option<&WorkspaceName>,
        now: Millis,
    ) -> Result<Self, Rejection> {
        check_address(&opened.payload, context, workspace, now)?;
        if opened.payload.delegation.is_some() {
            return Err(delegations_ended());
        }
        sign_in::check_claim(opened.signer, opened.payload.member, false)?;
        Ok(Self { opened })
    }

    /// The member who asks, directly or through a sign-in. Whoever signs with a sign-in key may name
    /// any member: the read model knows whether the key acts for it.
    pub(crate) fn member(&self) -> MemberId {
        let claimed = self.opened.payload.member;
        claimed.unwrap_or_else(|| self.opened.signer.into())
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
