//! Queries about a workspace. They are answered on a view that is no older than the tree that the
//! asker has seen.

mod audit;
mod commits;
mod extends;
mod invitations;
mod past;
mod secrets;
mod sign_ins;
mod signed_query;
mod workspaces;

use std::sync::Arc;

use keyroll_core::authorize::may;
use keyroll_core::decide::{denial_message, not_a_member};
use keyroll_core::event::DenialReason;
use keyroll_core::roles::Permission;
use keyroll_core::state::Member;
use keyroll_core::{Code, Identity, MemberId, Millis, Rejection, SecretName, WorkspaceName};
use keyroll_wire::query::Question;
use keyroll_wire::reply::{Answer, CheckpointNote, KeyStatus, WorkspaceRow};

use crate::context::Context;
use crate::erasure::ErasureProgress;
use crate::projection::WorkspaceView;
use crate::proofs;
use crate::response::ProvenHead;

pub(crate) use extends::extends;
pub(crate) use signed_query::{CREDENTIAL_BYTES, QUERY_BYTES, SignedQuery, open};
pub(crate) use workspaces::{current_member, member_of_ledger, workspaces_of, workspaces_page};

/// The member that a query names, and the sign-in key that signed for it.
pub(crate) struct Claim {
    pub(crate) member: MemberId,
    pub(crate) sign_in_key: Option<Identity>,
}

impl Claim {
    /// The claim of a query.
    pub(crate) fn of(query: &SignedQuery) -> Self {
        Self {
            member: query.member(),
            sign_in_key: query.sign_in_key(),
        }
    }

    /// The membership; none for a stranger, and for a key that never signed in as the member here.
    fn membership(&self, view: &WorkspaceView<'_>) -> Result<Option<Member>, Rejection> {
        if let Some(key) = &self.sign_in_key
            && view.sign_in(&self.member, key)?.is_none()
        {
            return Ok(None);
        }
        Ok(view.member(&self.member)?.filter(|member| !member.removed))
    }

    /// Checks that the sign-in is open.
    fn check_open(&self, view: &WorkspaceView<'_>, now: Millis) -> Result<(), Rejection> {
        let Some(key) = &self.sign_in_key else {
            return Ok(());
        };
        let known = view.sign_in(&self.member, key)?;
        if known.is_some_and(|known| known.is_open(now)) {
            return Ok(());
        }
        let message = denial_message("the query", DenialReason::SignIn);
        Err(Rejection::new(Code::Denied, message))
    }
}

/// The member who asks, and when.
struct Asker<'a> {
    id: MemberId,
    member: &'a Member,
    now: Millis,
}

impl Asker<'_> {
    fn may(&self, permission: Permission, names: &[&SecretName]) -> Result<(), Rejection> {
        may(self.member, permission, names, self.now).map_err(|reason| {
            let what = if matches!(permission, Permission::Audit) {
                "read the audit log"
            } else {
                "read this"
            };
            let message = if reason == DenialReason::Role {
                let role = self.member.role.as_str();
                format!("your role ({role}) may not {what}: ask an owner, or a member who may")
            } else {
                denial_message(&format!("you may not {what}"), reason)
            };
            Rejection::new(Code::Denied, message)
        })
    }
}

/// Answers queries about workspaces.
pub(crate) struct Queries {
    context: Arc<Context>,
    erasure: Arc<ErasureProgress>,
}

impl Queries {
    pub(crate) const fn new(context: Arc<Context>, erasure: Arc<ErasureProgress>) -> Self {
        Self { context, erasure }
    }

    /// Answers a query, and notes the tree head that the answer was made on.
    pub(crate) async fn answer(
        &self,
        workspace: &WorkspaceName,
        query: &SignedQuery,
        now: Millis,
        head: &mut ProvenHead,
    ) -> Result<Answer, Rejection> {
        let asked = &query.opened.payload;
        let asker = Claim::of(query);
        self.check_member(workspace, &asker).await?;
        self.context.await_size(workspace, asked.seen).await?;
        let view = self.context.view()?;
        let stranger = || not_a_member(workspace);
        let found = view.workspace(workspace)?.ok_or_else(stranger)?;
        let member = asker.membership(&found)?;
        let member = &member.ok_or_else(stranger)?;
        *head = proofs::head_of(&found, asked.seen)?;
        // A membership that has ended for a command has ended for a query.
        let now = found.row().time_at(now);
        asker.check_open(&found, now)?;
        let asker = Asker {
            id: asker.member,
            member,
            now,
        };
        self.answer_on(&found, &asker, &asked.ask)
    }

    /// Strangers are refused before anything else is checked: neither the size that they claim to
    /// have seen nor whether the workspace exists changes their answer.
    pub(crate) async fn check_member(
        &self,
        workspace: &WorkspaceName,
        asker: &Claim,
    ) -> Result<(), Rejection> {
        if self.is_member(workspace, asker)? {
            return Ok(());
        }
        // Another replica may just have added the member, or opened the sign-in. A known fault is a better answer than
        // that the log cannot be read.
        let reached = self.context.await_head(workspace).await;
        reached.or_else(|why| self.context.health.ledger().and(Err(why)))?;
        if self.is_member(workspace, asker)? {
            return Ok(());
        }
        // The read model of a ledger that is out of service may lack the entry that added the
        // member.
        self.context.health.ledger()?;
        Err(not_a_member(workspace))
    }

    /// The workspaces that somebody is a member of.
    pub(crate) fn workspaces(&self, id: MemberId) -> Result<Vec<WorkspaceRow>, Rejection> {
        workspaces_of(&self.context, id)
    }

    fn is_member(&self, workspace: &WorkspaceName, asker: &Claim) -> Result<bool, Rejection> {
        let view = self.context.view()?;
        let Some(found) = view.workspace(workspace)? else {
            return Ok(false);
        };
        Ok(asker.membership(&found)?.is_some())
    }

    /// The wrapping keys of a workspace, and how far a rotation is.
    fn key_status(&self, view: &WorkspaceView<'_>) -> KeyStatus {
        let (row, progress) = (view.row(), self.erasure.of(&view.head().name));
        KeyStatus {
            done: progress.done,
            epoch: row.epoch,
            total: progress.total,
            ending: row.ending,
            erased: progress.erasing.map(|(done, _)| done),
            problem: progress.problem.filter(|_| row.is_unfinished()),
            retiring: row.retiring,
            to_erase: progress.erasing.map(|(_, total)| total),
        }
    }

    fn answer_on(
        &self,
        view: &WorkspaceView<'_>,
        asker: &Asker<'_>,
        ask: &Question,
    ) -> Result<Answer, Rejection> {
        match ask {
            Question::SecretList(list) => {
                secrets::list(view, asker, list).map(Answer::SecretList)
            }
            Question::SecretShow(named) => secrets::show(view, asker, named)
                .map(|row| Answer::SecretShow(Box::new(row))),
            Question::SecretHistory(history) => {
                secrets::history(view, asker, history).map(Answer::SecretHistory)
            }
            Question::MemberList(list) => {
                past::members(view, asker, list).map(Answer::MemberList)
            }
            Question::WorkspaceAt(point) => {
                past::at(view, asker, *point).map(Answer::WorkspaceAt)
            }
            Question::KeyStatus(_) => {
                asker.may(Permission::Read, &[])?;
                Ok(Answer::KeyStatus(self.key_status(view)))
            }
            Question::SignInList(list) => {
                sign_ins::list(view, asker, list).map(Answer::SignInList)
            }
            Question::InvitationList(list) => {
                invitations::list(view, asker, list).map(Answer::InvitationList)
            }
            Question::AuditLog(filter) => audit::log(view, asker, filter).map(Answer::AuditLog),
            Question::AuditCommits(from) => {
                asker.may(Permission::Audit, &[])?;
                commits::commits(&self.context, view, from.first).map(Answer::AuditCommits)
            }
            Question::AuditProve(which) => {
                asker.may(Permission::Audit, &[])?;
                proofs::receipt(&self.context, view, which.index).map(Answer::AuditProve)
            }
            Question::AuditCheckpoint(_) => {
                asker.may(Permission::Read, &[])?;
                proofs::checkpoint(&self.context, view)
                    .map(|checkpoint| Answer::AuditCheckpoint(CheckpointNote { checkpoint }))
            }
            Question::Receipt(of) => {
                asker.may(Permission::Read, &[])?;
                let index = view
                    .receipt(asker.member.ordinal, &of.command)
                    ?;
                let index = index.ok_or_else(|| {
                    Rejection::new(Code::NotFound, "no such command of yours is in the log")
                })?;
                proofs::receipt(&self.context, view, index).map(Answer::Receipt)
            }
            // The writer answers dry runs.
            Question::CommandDryRun(_)
            | Question::WorkspaceList(_)
            | Question::LedgerCredential(_)
            | Question::Status(_)
            | Question::ProjectionStatus(_)
            | Question::ProjectionDigest(_)
            | Question::ProjectionRebuild(_)
            | Question::AuditStorage(_)
            | Question::RecoverPlan(_)
            | Question::RecoverBegin(_)
            | Question::RecoverFinish(_)
            // Answered before the membership of the asker is checked.
            | Question::AuditExtends(_) => Err(Rejection::new(
                Code::InvalidField,
                "this is asked of the ledger, not of a workspace",
            )),
        }
    }
}

/// The name of an actor, for people. The ledger's own key is `ledger`.
fn actor_name(view: &WorkspaceView<'_>, actor: &MemberId) -> Result<String, Rejection> {
    let member = view.member(actor)?;
    Ok(member.map_or_else(|| "ledger".to_owned(), |member| member.name.to_string()))
}
