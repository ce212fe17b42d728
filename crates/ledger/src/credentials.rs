//! NATS credentials for members: who may have which.

use std::sync::Arc;

use keyroll_core::decide::not_a_member;
use keyroll_core::{Code, ConnectionKey, MemberId, Millis, Rejection, WorkspaceName};
use keyroll_wire::query::{CREDENTIAL_WORKSPACES, LedgerCredential};
use keyroll_wire::reply::IssuedCredential;

use crate::context::Context;
use crate::queries::{Claim, Queries, SignedQuery, current_member, member_of_ledger};

/// Makes a NATS user for a connection key that reaches these workspaces, from now on.
pub type CredentialIssuer = Arc<
    dyn Fn(ConnectionKey, &[WorkspaceName], Millis) -> Result<IssuedCredential, Rejection>
        + Send
        + Sync,
>;

/// Decides who gets which credential, and issues it.
pub(crate) struct Credentials {
    context: Arc<Context>,
    issuer: Option<CredentialIssuer>,
}

impl Credentials {
    pub(crate) const fn new(context: Arc<Context>, issuer: Option<CredentialIssuer>) -> Self {
        Self { context, issuer }
    }

    /// Issues a credential to a member, for workspaces of which it is one. An operator may name any: whoever
    /// creates a workspace needs to reach it first. A sign-in is none, and has to be open in some workspace.
    pub(crate) async fn issue(
        &self,
        queries: &Queries,
        query: &SignedQuery,
        asked: &LedgerCredential,
    ) -> Result<IssuedCredential, Rejection> {
        let Some(issuer) = &self.issuer else {
            let message = "this ledger issues no NATS credentials: use a NATS user of your own \
                           (`--nats-creds FILE`), or ask the operator for one";
            return Err(Rejection::new(Code::NotFound, message));
        };
        let count = asked.workspaces.len();
        if count > CREDENTIAL_WORKSPACES {
            let message = format!(
                "{count} workspaces are too many for one NATS user: name at most {CREDENTIAL_WORKSPACES}"
            );
            return Err(Rejection::new(Code::TooLarge, message));
        }
        let mut workspaces = asked.workspaces.clone();
        workspaces.sort_unstable();
        workspaces.dedup();
        let operator =
            query.sign_in_key().is_none() && self.context.is_operator(&query.opened.signer);
        if !operator {
            let member = member_of_ledger(&self.context, query).await?;
            self.check_membership(queries, member, &workspaces).await?;
            self.check_sign_in(query, &workspaces)?;
        }
        issuer(asked.connection, &workspaces, self.context.now())
    }

    async fn check_membership(
        &self,
        queries: &Queries,
        member: MemberId,
        workspaces: &[WorkspaceName],
    ) -> Result<(), Rejection> {
        // Before it is opened in a workspace, a sign-in has to reach it.
        let asker = Claim {
            member,
            sign_in_key: None,
        };
        for workspace in workspaces {
            // The first refusal ends it: a stranger's query reads the log once at most.
            queries.check_member(workspace, &asker).await?;
            let in_force = self.context.with_workspace(workspace, |view| {
                current_member(&self.context, view, &member)
            })?;
            if in_force.is_none() {
                return Err(not_a_member(workspace));
            }
        }
        if workspaces.is_empty() && queries.workspaces(member)?.is_empty() {
            let message = "NATS credentials are for operators and members: this key is a member of no workspace";
            return Err(Rejection::new(Code::Denied, message));
        }
        Ok(())
    }

    /// A sign-in that was closed in a workspace does not reach it.
    fn check_sign_in(
        &self,
        query: &SignedQuery,
        workspaces: &[WorkspaceName],
    ) -> Result<(), Rejection> {
        let Some(key) = query.sign_in_key() else {
            return Ok(());
        };
        for workspace in workspaces {
            let known = self
                .context
                .with_workspace(workspace, |view| view.sign_in(&query.member(), &key))?;
            if known.is_some_and(|known| known.closed.is_some()) {
                let message = format!(
                    "the sign-in was closed in {workspace}: sign in again with `keyroll login`"
                );
                return Err(Rejection::new(Code::Denied, message));
            }
        }
        Ok(())
    }
}
