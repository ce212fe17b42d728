//! A command's trip through the ledger: checked, stored, submitted to its writer, answered.

mod dry_run;
mod release;
mod store;

use std::sync::Arc;

use keyroll_core::crypto::SessionKeys;
use keyroll_core::decide::{no_such_invitation, not_a_member};
use keyroll_core::{
    Action, Blob, Code, Digest, Event, Index, Rejection, Sequence, SignedCommand, TreeSize,
    Verified, WorkspaceName, cbor, limits,
};
use keyroll_store::keyring::Keyring;
use keyroll_wire::reply::{CommandReply, CommandRequest, CommittedCommand, Receipt, ReplyBody};

use crate::context::Context;
use crate::memory::{MemoryBudget, MemoryPermit};
use crate::proofs::{self, digests};
use crate::response::{ProvenHead, Response, sign_reply};
use crate::writer::{CommandOutcome, Committed, Submission, TreeHead, Writers, unavailable};

/// How often values are stored again because a new wrapping key came into force meanwhile.
const STORE_ATTEMPTS: usize = 4;

/// Largest request with an acceptance: a command, its proof and their signatures take half of that.
pub(crate) const ACCEPT_BYTES: usize = 2 * 1_024;

/// Carries commands out.
pub(crate) struct Commands {
    context: Arc<Context>,
    keyring: Arc<Keyring>,
    writers: Arc<Writers>,
    memory: MemoryBudget,
}

/// The parts of a request that its answer needs, as far as they were read.
struct RequestInfo {
    digest: Digest,
    trusted_size: TreeSize,
    /// Memory for the values that the answer releases.
    permit: Option<MemoryPermit>,
}

/// A refusal, and the tree head that it was decided on.
struct RefusedAt(Rejection, Option<TreeHead>);

impl From<Rejection> for RefusedAt {
    fn from(rejection: Rejection) -> Self {
        Self(rejection, None)
    }
}

fn key_keeps_changing() -> Rejection {
    let message = "the wrapping key changed several times meanwhile: try again";
    Rejection::new(Code::Busy, message)
}

/// The refusal for a command that is in the log while its proof or its values cannot be given now.
/// Codes that say that nothing happened would be untrue.
fn committed_but(index: Index, why: Rejection) -> Rejection {
    if !matches!(
        why.code,
        Code::Busy | Code::AuditUnavailable | Code::Unreachable | Code::Internal
    ) {
        return why;
    }
    let message = format!(
        "entry {index} is written, and cannot be shown yet ({}): send the same bytes again",
        why.message
    );
    Rejection::new(Code::AuditUnknown, message)
}

/// Refuses a command request without carrying it out.
pub(crate) fn refuse_command(context: &Context, request: &[u8], rejection: Rejection) -> Response {
    let command = cbor::decode::<CommandRequest>(request);
    let command = command.map_or_else(
        |_| Digest::of(request),
        |request| Digest::of(&request.command.0),
    );
    refused(context, command, rejection, ProvenHead::default())
}

/// The workspace that an acceptance of an invitation names.
pub(crate) fn accepted_workspace(request: &[u8]) -> Result<WorkspaceName, Rejection> {
    if request.len() > ACCEPT_BYTES {
        let message = format!("an acceptance has at most {ACCEPT_BYTES} bytes");
        return Err(Rejection::new(Code::TooLarge, message));
    }
    let request: CommandRequest = cbor::decode(request)?;
    let signed = SignedCommand::decode(&request.command.0)?;
    if let Action::MemberAccept(_) = signed.command().action {
        return Ok(signed.command().workspace.clone());
    }
    let message = "only member.accept is taken on this subject";
    Err(Rejection::new(Code::InvalidField, message))
}

fn refused(context: &Context, command: Digest, rejection: Rejection, head: ProvenHead) -> Response {
    let body = ReplyBody::Error(rejection.clone());
    let signed = sign_reply(&context.key, command, body, head);
    Response {
        bytes: cbor::encode(&CommandReply::Refused(signed.into())),
        refusal: Some(rejection),
        permit: None,
    }
}

/// A command must be sent to the workspace that it names.
fn check_workspace(command: &SignedCommand, workspace: &WorkspaceName) -> Result<(), Rejection> {
    let named = &command.command().workspace;
    if named == workspace {
        return Ok(());
    }
    let message = format!("the command is for workspace {named}, it was sent to {workspace}");
    Err(Rejection::new(Code::WrongWorkspace, message))
}

impl Commands {
    pub(crate) fn new(context: Arc<Context>, keyring: Arc<Keyring>, writers: Arc<Writers>) -> Self {
        Self {
            context,
            keyring,
            writers,
            memory: MemoryBudget::default(),
        }
    }

    /// Carries out a command request that came for a workspace: the bytes of a [`CommandReply`].
    pub(crate) async fn command(&self, workspace: &WorkspaceName, request: &[u8]) -> Response {
        let mut info = RequestInfo {
            digest: Digest::of(request),
            trusted_size: TreeSize(0),
            permit: None,
        };
        let RefusedAt(rejection, head) = match self.carry_out(workspace, request, &mut info).await {
            Ok(done) => {
                return Response {
                    bytes: cbor::encode(&CommandReply::Committed(done)),
                    refusal: None,
                    permit: info.permit,
                };
            }
            Err(refused) => refused,
        };
        let head = proofs::prove_head(&self.context, workspace, info.trusted_size, head).await;
        match head {
            Ok(head) => refused(&self.context, info.digest, rejection, head),
            Err(instead) => refused(&self.context, info.digest, instead, ProvenHead::default()),
        }
    }

    async fn carry_out(
        &self,
        workspace: &WorkspaceName,
        request: &[u8],
        info: &mut RequestInfo,
    ) -> Result<CommittedCommand, RefusedAt> {
        if request.len() > limits::REQUEST_BYTES {
            let message = format!("a request has at most {} bytes", limits::REQUEST_BYTES);
            return Err(Rejection::new(Code::TooLarge, message).into());
        }
        let request: CommandRequest = cbor::decode(request)?;
        *info = RequestInfo {
            digest: Digest::of(&request.command.0),
            trusted_size: request.seen,
            permit: None,
        };
        let signed = SignedCommand::decode(&request.command.0)?;
        check_workspace(&signed, workspace)?;
        let command = Arc::new(signed.verify()?);
        self.check_workspace_exists(workspace, &command).await?;
        self.context.health.workspace(workspace)?;
        keyroll_store::failpoint!("command.verified");
        // A wrong value or session is reported only after the writer has looked for a receipt: a
        // command that was carried out gets the same receipt however late it is sent again.
        let (session, inadmissible) = match self.admit(workspace, &command, &request).await {
            Ok(session) => (session, None),
            Err(rejection) => (None, Some(rejection)),
        };
        let request = &request;
        let submitted = self.submit(workspace, &command, request, session.as_ref(), inadmissible);
        match submitted.await? {
            CommandOutcome::Committed(committed) => {
                let index = committed.index;
                let done = self.done(workspace, &command, info, *committed, session.as_ref());
                Ok(done.await.map_err(|why| committed_but(index, why))?)
            }
            CommandOutcome::Duplicate(index) => {
                let done = proofs::repeated(&self.context, workspace, request.seen, index);
                Ok(done.await.map_err(|why| committed_but(index, why))?)
            }
            CommandOutcome::Refused(rejection, head) => Err(RefusedAt(rejection, head)),
            CommandOutcome::StoreFirst(_) | CommandOutcome::DryRun(..) => {
                Err(key_keeps_changing().into())
            }
        }
    }

    /// Checks that the values are those that the command names, and opens their session.
    async fn admit(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
        request: &CommandRequest,
    ) -> Result<Option<SessionKeys>, Rejection> {
        check_values(command, request)?;
        let Some(session) = command.command().action.session() else {
            return Ok(None);
        };
        let (actor, now) = (command.actor(), self.context.now());
        let session = self.keyring.session(workspace, actor, session, now).await?;
        Ok(Some(session))
    }

    /// A writer is started only for a workspace that the log has, or for an operator, who may
    /// create one: names that anybody can make up must not cost a task each.
    async fn check_workspace_exists(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
    ) -> Result<(), Rejection> {
        let progress = &self.context.progress;
        if progress.read(|progress| progress.workspaces.contains_key(workspace))
            || self.context.is_operator(&command.signer())
        {
            return Ok(());
        }
        let head = self.context.log.head(workspace).await;
        if head.map_err(|why| unavailable(why.0))? > Sequence(0) {
            return Ok(());
        }
        if let Action::MemberAccept(_) = command.command().action {
            return Err(no_such_invitation());
        }
        Err(not_a_member(workspace))
    }

    async fn submit(
        &self,
        workspace: &WorkspaceName,
        command: &Arc<Verified>,
        request: &CommandRequest,
        session: Option<&SessionKeys>,
        inadmissible: Option<Rejection>,
    ) -> Result<CommandOutcome, Rejection> {
        let writer = self.writers.of(&self.context, workspace);
        let mut stored = None;
        // The writer decides, on the log. This precheck only keeps refused values out of the vault.
        if inadmissible.is_none()
            && let Some(epoch) = store::epoch_to_store(&writer, command, request).await
        {
            keyroll_store::failpoint!("vault.before_store");
            self.store(workspace, command, request, session, epoch)
                .await?;
            keyroll_store::failpoint!("vault.stored");
            stored = Some(epoch);
        }
        for _ in 0..STORE_ATTEMPTS {
            let submission = Submission {
                command: Arc::clone(command),
                trusted_size: request.seen,
                stored,
                inadmissible: inadmissible.clone(),
                while_retiring: None,
                dry_run: false,
            };
            let outcome = writer.submit(submission).await;
            let CommandOutcome::StoreFirst(epoch) = outcome else {
                return Ok(outcome);
            };
            self.store(workspace, command, request, session, epoch)
                .await?;
            stored = Some(epoch);
        }
        Err(key_keeps_changing())
    }

    async fn done(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
        info: &mut RequestInfo,
        committed: Committed,
        session: Option<&SessionKeys>,
    ) -> Result<CommittedCommand, Rejection> {
        let mut released = Vec::new();
        if let (Some(Event::SecretRevealed(revealed)), Some(session)) =
            (committed.events.first(), session)
        {
            // After the entry and before the values: the entry counts whether or not they are sent.
            info.permit = Some(self.memory.acquire(committed.locations.len()).await?);
            released = self
                .release(workspace, command, revealed, &committed.locations, session)
                .await?;
        }
        let trusted_size = info.trusted_size;
        let consistency = if let Some(proof) = &committed.consistency {
            digests(proof)
        } else {
            proofs::consistency(&self.context, workspace, trusted_size, committed.size).await?
        };
        let receipt = Receipt {
            path: digests(&committed.path),
            entry: committed.entry,
            index: committed.index,
            checkpoint: committed.checkpoint.to_string(),
        };
        Ok(CommittedCommand {
            receipt,
            released,
            consistency,
        })
    }
}

/// The values beside a command must be those that it names.
fn check_values(command: &Verified, request: &CommandRequest) -> Result<(), Rejection> {
    let named = command.command().action.values();
    if named.len() != request.values.len() {
        let message = format!(
            "the command names {} values, {} came with it",
            named.len(),
            request.values.len()
        );
        return Err(Rejection::new(Code::InvalidField, message));
    }
    for ((_, _, digest, size), value) in named.into_iter().zip(&request.values) {
        let Blob(sealed) = &value.sealed;
        if usize::try_from(size) != Ok(sealed.len()) || Digest::of(sealed) != digest {
            let message = "a sealed value is not the one that the command names";
            return Err(Rejection::new(Code::InvalidField, message));
        }
    }
    Ok(())
}
