//! Queries are opened and handed to the part that answers, and the answer is signed.

use keyroll_core::{Code, Digest, Identity, Rejection, WorkspaceName, cose, limits};
use keyroll_wire::query::{Query, Question};
use keyroll_wire::reply::{Answer, ReplyBody};

use super::Ledger;
use crate::context::AWAIT_PROJECTION;
use crate::queries::{self, QUERY_BYTES, SignedQuery};
use crate::response::{ProvenHead, Response, sign_reply};

impl Ledger {
    /// Answers a signed query that came for a workspace, or for the ledger as a whole: the bytes
    /// of a signed [`keyroll_wire::reply::Reply`].
    pub async fn query(&self, workspace: Option<&WorkspaceName>, bytes: &[u8]) -> Response {
        if workspace.is_some() || bytes.len() > QUERY_BYTES || !self.is_long(bytes) {
            return self.answer_signed(workspace, bytes).await;
        }
        let answer = self.answer_signed(None, bytes);
        match self.long_requests.join(Digest::of(bytes), answer).await {
            Ok(response) => response,
            Err(rejection) => self.refuse_query(bytes, rejection),
        }
    }

    /// Whether a query of the ledger takes long. Only operators may ask those.
    fn is_long(&self, query: &[u8]) -> bool {
        let Ok(opened) = cose::open::<Query>(query) else {
            return false;
        };
        let long = matches!(
            opened.payload.ask,
            Question::ProjectionDigest(_)
                | Question::ProjectionRebuild(_)
                | Question::AuditStorage(_)
                | Question::RecoverPlan(_)
                | Question::RecoverBegin(_)
                | Question::RecoverFinish(_)
        );
        long && self.context.is_operator(&opened.signer) && opened.verify().is_ok()
    }

    async fn answer_signed(&self, workspace: Option<&WorkspaceName>, bytes: &[u8]) -> Response {
        let mut head = ProvenHead::default();
        let (body, refusal) = match self.answer(workspace, bytes, &mut head).await {
            Ok(answer) => (ReplyBody::Answer(Box::new(answer)), None),
            Err(rejection) => (ReplyBody::Error(rejection.clone()), Some(rejection)),
        };
        let reply = sign_reply(&self.context.key, Digest::of(bytes), body, head);
        if reply.len() as u64 > limits::REPLY_BYTES {
            let message =
                "the answer does not fit one reply: ask for fewer rows, or narrow the filter";
            return self.refuse_query(bytes, Rejection::new(Code::TooLarge, message));
        }
        Response {
            bytes: reply,
            refusal,
            permit: None,
        }
    }

    async fn answer(
        &self,
        workspace: Option<&WorkspaceName>,
        bytes: &[u8],
        head: &mut ProvenHead,
    ) -> Result<Answer, Rejection> {
        let opened = queries::open(bytes)?;
        let progress = &self.context.progress;
        progress.wait_until_current(AWAIT_PROJECTION).await;
        let now = self.context.now();
        let query = SignedQuery::check(opened, &self.context, workspace, now)?;
        let asked = &query.opened.payload;
        let Some(workspace) = workspace else {
            return self.answer_for_ledger(&query, &asked.ask).await;
        };
        if let Question::CommandDryRun(command) = &asked.ask {
            let dry_run = self
                .commands
                .dry_run(workspace, &query.opened, command, head);
            return dry_run.await.map(Answer::CommandDryRun);
        }
        if let Question::AuditExtends(known) = &asked.ask {
            return queries::extends(&self.context, workspace, *known, asked.seen, head).await;
        }
        self.queries.answer(workspace, &query, now, head).await
    }

    async fn answer_for_ledger(
        &self,
        query: &SignedQuery,
        ask: &Question,
    ) -> Result<Answer, Rejection> {
        let identity = query.opened.signer;
        match ask {
            Question::WorkspaceList(list) => {
                let member = queries::member_of_ledger(&self.context, query).await?;
                queries::workspaces_page(&self.context, member, list).map(Answer::WorkspaceList)
            }
            Question::LedgerCredential(asked) => {
                let issued = self.credentials.issue(&self.queries, query, asked).await?;
                Ok(Answer::LedgerCredential(issued))
            }
            Question::Status(_) => {
                let member = queries::member_of_ledger(&self.context, query).await?;
                // A sign-in is no operator, whoever signed in.
                let operator = query.sign_in_key().is_none() && self.context.is_operator(&identity);
                let status = self.status.status(member, operator).await?;
                Ok(Answer::Status(Box::new(status)))
            }
            _ if query.sign_in_key().is_some() => {
                let message = "this is for operators, with their own key: a sign-in is none";
                Err(Rejection::new(Code::Denied, message))
            }
            Question::ProjectionStatus(_) => {
                self.check_operator(identity)?;
                let status = self.rebuilder.status().await?;
                Ok(Answer::ProjectionStatus(status))
            }
            Question::ProjectionDigest(_) => {
                self.check_operator(identity)?;
                self.rebuilder.digest().map(Answer::ProjectionDigest)
            }
            Question::ProjectionRebuild(_) => {
                self.check_operator(identity)?;
                let rebuilt = self.rebuilder.rebuild().await?;
                Ok(Answer::ProjectionRebuild(rebuilt))
            }
            Question::AuditStorage(check) => {
                self.check_operator(identity)?;
                let report = self.storage_check.check(&check.workspace).await?;
                Ok(Answer::AuditStorage(report))
            }
            Question::RecoverPlan(request) => {
                self.check_operator(identity)?;
                self.recovery.plan(request).await.map(Answer::RecoverPlan)
            }
            Question::RecoverBegin(request) => {
                self.check_operator(identity)?;
                self.recovery.begin(request).await.map(Answer::RecoverBegin)
            }
            Question::RecoverFinish(request) => {
                self.check_operator(identity)?;
                let recovered = self.recovery.finish(request).await?;
                Ok(Answer::RecoverFinish(recovered))
            }
            Question::SecretList(_)
            | Question::SecretShow(_)
            | Question::SecretHistory(_)
            | Question::MemberList(_)
            | Question::KeyStatus(_)
            | Question::SignInList(_)
            | Question::InvitationList(_)
            | Question::WorkspaceAt(_)
            | Question::AuditLog(_)
            | Question::AuditCommits(_)
            | Question::AuditProve(_)
            | Question::AuditCheckpoint(_)
            | Question::CommandDryRun(_)
            | Question::AuditExtends(_)
            | Question::Receipt(_) => Err(Rejection::new(
                Code::InvalidField,
                "this is asked of a workspace, not of the ledger",
            )),
        }
    }

    fn check_operator(&self, identity: Identity) -> Result<(), Rejection> {
        if self.context.is_operator(&identity) {
            return Ok(());
        }
        let message = "only operators named in the ledger's configuration may ask this";
        Err(Rejection::new(Code::Denied, message))
    }
}
