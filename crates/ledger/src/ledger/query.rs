//! A query's trip: checked, made on a view that is not older than what its asker has seen, and
//! signed.

use keyroll_core::authorize::may;
use keyroll_core::decide::not_a_member;
use keyroll_core::roles::Permission;
use keyroll_core::state::Member;
use keyroll_core::statement::Delegation;
use keyroll_core::{
    Code, Digest, Identity, Millis, Rejection, SecretName, TreeSize, WorkspaceName, cose, limits,
};
use keyroll_merkle::consistency_proof;
use keyroll_wire::query::{Query, Question};
use keyroll_wire::reply::{Answer, CheckpointNote, ReplyBody};

use super::receipts::digests;
use super::{Ledger, Position, REACH, Response};
use crate::projection::{ProjectionError, WorkspaceView};

/// Largest query, but for the command of a dry run: it has names and filters only.
const QUERY_BYTES: usize = 16 * 1024;

/// Who asks, and as what.
pub(super) struct Asker<'a> {
    pub(super) member: &'a Member,
    pub(super) now: Millis,
}

impl Asker<'_> {
    pub(super) fn may(
        &self,
        permission: Permission,
        names: &[&SecretName],
    ) -> Result<(), Rejection> {
        may(self.member, permission, names, self.now).map_err(|reason| {
            let message = format!("you may not ask this: {}", reason.as_str());
            Rejection::new(Code::Denied, message)
        })
    }
}

pub(super) fn broken(error: &ProjectionError) -> Rejection {
    error.rejection()
}

impl Ledger {
    /// Answers a signed query that came for a workspace, or for the ledger as a whole: the bytes
    /// of a signed [`keyroll_wire::Reply`].
    pub async fn query(&self, workspace: Option<&WorkspaceName>, bytes: &[u8]) -> Response {
        if workspace.is_none() && bytes.len() <= QUERY_BYTES && self.is_long(bytes) {
            return self.once(bytes).await;
        }
        self.answer_signed(workspace, bytes).await
    }

    pub(super) async fn answer_signed(
        &self,
        workspace: Option<&WorkspaceName>,
        bytes: &[u8],
    ) -> Response {
        let mut position = Position::default();
        let (body, refusal) = match self.answer(workspace, bytes, &mut position).await {
            Ok(answer) => (ReplyBody::Answer(Box::new(answer)), None),
            Err(rejection) => (ReplyBody::Error(rejection.clone()), Some(rejection)),
        };
        let reply = self.sign_reply(Digest::of(bytes), body, position);
        if reply.len() as u64 > limits::REPLY_BYTES {
            let message =
                "the answer does not fit one reply: ask for fewer rows, or narrow the filter";
            return self.refuse_query(bytes, Rejection::new(Code::TooLarge, message));
        }
        Response {
            bytes: reply,
            refusal,
            room: None,
        }
    }

    async fn answer(
        &self,
        workspace: Option<&WorkspaceName>,
        bytes: &[u8],
        position: &mut Position,
    ) -> Result<Answer, Rejection> {
        check_size(bytes.len(), QUERY_BYTES + limits::COMMAND_BYTES)?;
        let opened = cose::open::<Query>(bytes)?;
        if !matches!(opened.payload.ask, Question::CommandDryRun(_)) {
            check_size(bytes.len(), QUERY_BYTES)?;
        }
        opened.verify()?;
        self.shared.progress.settled(REACH).await;
        let (query, now) = (&opened.payload, self.now());
        self.addressed(query, workspace, now)?;
        let delegation = query
            .delegation
            .as_ref()
            .map(|bytes| cose::open::<Delegation>(&bytes.0))
            .transpose()?;
        if let Some(delegation) = &delegation {
            delegation.verify_for(&opened.signer)?;
        }
        let said = delegation.as_ref().map(|opened| &opened.payload);
        let Some(workspace) = workspace else {
            if said.is_some() {
                return Err(Rejection::new(
                    Code::Denied,
                    "a delegated key speaks for one workspace only",
                ));
            }
            return self.answer_for_ledger(opened.signer, &query.ask).await;
        };
        if let Question::CommandDryRun(of) = &query.ask {
            let dry_run = self.dry_run(workspace, &opened, of, position);
            return dry_run.await.map(Answer::CommandDryRun);
        }
        if let Question::AuditExtends(seen) = &query.ask {
            return self.extends(workspace, *seen, query.seen, position).await;
        }
        let identity = said.map_or(opened.signer, |said| said.identity);
        self.check_member(workspace, &identity).await?;
        self.reach(workspace, query.seen).await?;
        let view = self.projection().view().map_err(|error| broken(&error))?;
        let stranger = || not_a_member(workspace);
        let found = view
            .workspace(workspace)
            .map_err(|error| broken(&error))?
            .ok_or_else(stranger)?;
        let member = found.member(&identity).map_err(|error| broken(&error))?;
        let member = member
            .filter(|member| !member.removed)
            .ok_or_else(stranger)?;
        *position = stands(&found, query.seen)?;
        // What has ended for a command has ended for a question.
        let now = found.row().time_at(now);
        if let Some(said) = said {
            self.delegation_holds(&found, said, now)?;
        }
        self.answer_for_workspace(
            &found,
            &Asker {
                member: &member,
                now,
            },
            &query.ask,
        )
    }

    /// Strangers are told that they are, before anything else is looked at: neither the size that
    /// they claim to have seen nor whether the workspace exists changes what they hear.
    async fn check_member(
        &self,
        workspace: &WorkspaceName,
        identity: &Identity,
    ) -> Result<(), Rejection> {
        if self.is_member(workspace, identity)? {
            return Ok(());
        }
        // Added on another replica a moment ago? What is known to be wrong says more than that the log
        // cannot be asked.
        let reached = self.reach_head(workspace).await;
        reached.or_else(|why| self.shared.health.ledger().and(Err(why)))?;
        if self.is_member(workspace, identity)? {
            return Ok(());
        }
        // Out of service, the read model may not have come to where they were added.
        self.shared.health.ledger()?;
        Err(not_a_member(workspace))
    }

    fn is_member(&self, workspace: &WorkspaceName, identity: &Identity) -> Result<bool, Rejection> {
        let view = self.projection().view().map_err(|error| broken(&error))?;
        let found = view.workspace(workspace).map_err(|error| broken(&error))?;
        let Some(found) = found else { return Ok(false) };
        let member = found.member(identity).map_err(|error| broken(&error))?;
        Ok(member.is_some_and(|member| !member.removed))
    }

    fn delegation_holds(
        &self,
        view: &WorkspaceView<'_>,
        said: &Delegation,
        now: Millis,
    ) -> Result<(), Rejection> {
        if !said.covers(&self.shared.ledger, &view.head().name, now) {
            return Err(Rejection::new(
                Code::Denied,
                "the delegation is over or for another workspace",
            ));
        }
        if view
            .is_revoked(&said.identity, &said.key)
            .map_err(|error| broken(&error))?
        {
            return Err(Rejection::new(Code::Denied, "the delegation was revoked"));
        }
        Ok(())
    }

    fn addressed(
        &self,
        query: &Query,
        workspace: Option<&WorkspaceName>,
        now: Millis,
    ) -> Result<(), Rejection> {
        if query.ledger != self.shared.ledger {
            let message = format!(
                "the query is for ledger {}, this is {}",
                query.ledger, self.shared.ledger
            );
            return Err(Rejection::new(Code::WrongLedger, message));
        }
        if query.workspace.as_ref() != workspace {
            return Err(Rejection::new(
                Code::WrongWorkspace,
                "the query is for another workspace than it was sent to",
            ));
        }
        if query.at.0.abs_diff(now.0) > limits::FRESH_MS {
            let message = "the query's time is more than 60 s from the ledger's: check the clocks";
            return Err(Rejection::new(Code::Stale, message));
        }
        Ok(())
    }

    fn answer_for_workspace(
        &self,
        view: &WorkspaceView<'_>,
        asker: &Asker<'_>,
        ask: &Question,
    ) -> Result<Answer, Rejection> {
        match ask {
            Question::SecretList(list) => {
                super::secrets::list(view, asker, list).map(Answer::SecretList)
            }
            Question::SecretShow(named) => super::secrets::show(view, asker, named)
                .map(|row| Answer::SecretShow(Box::new(row))),
            Question::SecretHistory(history) => {
                super::secrets::history(view, asker, history).map(Answer::SecretHistory)
            }
            Question::MemberList(list) => {
                super::past::members(view, asker, list).map(Answer::MemberList)
            }
            Question::WorkspaceAt(point) => {
                super::past::at(view, asker, *point).map(Answer::WorkspaceAt)
            }
            Question::KeyStatus(_) => {
                asker.may(Permission::Read, &[])?;
                Ok(Answer::KeyStatus(self.key_status(view)))
            }
            Question::AuditLog(filter) => super::audit::log(view, asker, filter).map(Answer::AuditLog),
            Question::AuditCommits(from) => {
                asker.may(Permission::Audit, &[])?;
                self.commits(view, from.first).map(Answer::AuditCommits)
            }
            Question::AuditProve(which) => {
                asker.may(Permission::Audit, &[])?;
                self.receipt(view, which.index).map(Answer::AuditProve)
            }
            Question::AuditCheckpoint(_) => {
                asker.may(Permission::Read, &[])?;
                self.checkpoint(view)
                    .map(|checkpoint| Answer::AuditCheckpoint(CheckpointNote { checkpoint }))
            }
            Question::Receipt(of) => {
                asker.may(Permission::Read, &[])?;
                let index = view
                    .receipt(asker.member.ordinal, &of.command)
                    .map_err(|error| broken(&error))?;
                let index = index.ok_or_else(|| {
                    Rejection::new(Code::NotFound, "no such command of yours is in the log")
                })?;
                self.receipt(view, index).map(Answer::Receipt)
            }
            // Asked of the writer, before there is a view.
            Question::CommandDryRun(_)
            | Question::WorkspaceList(_)
            | Question::Status(_)
            | Question::ProjectionStatus(_)
            | Question::ProjectionDigest(_)
            | Question::ProjectionRebuild(_)
            | Question::AuditStorage(_)
            | Question::RecoverPlan(_)
            | Question::RecoverBegin(_)
            | Question::RecoverFinish(_)
            // Answered before anybody's membership is looked at.
            | Question::AuditExtends(_) => Err(Rejection::new(
                Code::InvalidField,
                "this is asked of the ledger, not of a workspace",
            )),
        }
    }

    async fn answer_for_ledger(
        &self,
        identity: Identity,
        ask: &Question,
    ) -> Result<Answer, Rejection> {
        match ask {
            Question::WorkspaceList(list) => self
                .workspaces_page(identity, list)
                .map(Answer::WorkspaceList),
            Question::Status(_) => self
                .status(identity)
                .await
                .map(|status| Answer::Status(Box::new(status))),
            Question::ProjectionStatus(_) => {
                self.operator(identity)?;
                self.projection_status().await.map(Answer::ProjectionStatus)
            }
            Question::ProjectionDigest(_) => {
                self.operator(identity)?;
                self.projection_digest().map(Answer::ProjectionDigest)
            }
            Question::ProjectionRebuild(_) => {
                self.operator(identity)?;
                self.rebuild().await.map(Answer::ProjectionRebuild)
            }
            Question::AuditStorage(check) => {
                self.operator(identity)?;
                self.check_storage(&check.workspace)
                    .await
                    .map(Answer::AuditStorage)
            }
            Question::RecoverPlan(said) => {
                self.operator(identity)?;
                self.plan_recovery(said).await.map(Answer::RecoverPlan)
            }
            Question::RecoverBegin(said) => {
                self.operator(identity)?;
                self.begin_recovery(said).await.map(Answer::RecoverBegin)
            }
            Question::RecoverFinish(said) => {
                self.operator(identity)?;
                self.finish_recovery(said).await.map(Answer::RecoverFinish)
            }
            Question::SecretList(_)
            | Question::SecretShow(_)
            | Question::SecretHistory(_)
            | Question::MemberList(_)
            | Question::KeyStatus(_)
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

    fn operator(&self, identity: Identity) -> Result<(), Rejection> {
        if self.shared.operators.contains(&identity) {
            return Ok(());
        }
        Err(Rejection::new(
            Code::Denied,
            "only operators named in the ledger's configuration may ask this",
        ))
    }
}

fn check_size(bytes: usize, most: usize) -> Result<(), Rejection> {
    if bytes <= most {
        return Ok(());
    }
    let message = format!("a query has at most {most} bytes");
    Err(Rejection::new(Code::TooLarge, message))
}

/// Where a workspace stands, with the proof that this extends what the asker has seen.
pub(super) fn stands(view: &WorkspaceView<'_>, seen: TreeSize) -> Result<Position, Rejection> {
    let size = view.size();
    let consistency = consistency_proof(view, seen.0, size.0)
        .map_err(|error| Rejection::new(Code::Internal, error.to_string()))?;
    let root = Digest(view.root().map_err(|error| broken(&error))?.0);
    Ok(Position {
        size,
        root,
        consistency: digests(&consistency),
    })
}

/// The name of an actor, for people; the ledger's own key is `ledger`.
pub(super) fn actor_name(view: &WorkspaceView<'_>, actor: &Identity) -> Result<String, Rejection> {
    let member = view.member(actor).map_err(|error| broken(&error))?;
    Ok(member.map_or_else(|| "ledger".to_owned(), |member| member.name.to_string()))
}
