//! A command's trip through the ledger.

use std::sync::Arc;

use keyroll_core::crypto::SessionKeys;
use keyroll_core::decide::not_a_member;
use keyroll_core::{
    Blob, Code, Digest, Event, Index, Rejection, Sequence, SignedCommand, TreeSize, Verified,
    WorkspaceName, cbor, limits,
};
use keyroll_wire::reply::{CommandReply, CommandRequest, CommittedCommand, Receipt};

use super::receipts::digests;
use super::release::Room;
use super::{Ledger, Position, Response};
use crate::writer::{self, CommandOutcome, Landed, Submission, unavailable};

/// How often a value is stored again because a new wrapping key came into force meanwhile.
const STORES: usize = 4;

/// What a request says that its answer needs, as far as it was read.
struct Said {
    digest: Digest,
    seen: TreeSize,
    /// Room for the values that its answer releases.
    room: Option<Room>,
}

/// A refusal, and where the workspace was when it was decided.
struct Refused(Rejection, Option<writer::Position>);

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self(rejection, None)
    }
}

fn keeps_changing() -> Rejection {
    Rejection::new(Code::Busy, "the wrapping key keeps changing: try again")
}

/// What is told of a command that is in the log when its proof or its values cannot be given now.
/// Codes that say that nothing happened would be untrue.
fn recorded(index: Index, why: Rejection) -> Rejection {
    match why.code {
        Code::Busy | Code::AuditUnavailable | Code::Unreachable | Code::Internal => {
            let message = format!(
                "entry {index} is written, and cannot be shown yet ({}): send the same bytes again",
                why.message
            );
            Rejection::new(Code::AuditUnknown, message)
        }
        _ => why,
    }
}

impl Ledger {
    /// Carries out a command request that came for a workspace: the bytes of a [`CommandReply`].
    pub async fn command(&self, workspace: &WorkspaceName, request: &[u8]) -> Response {
        let mut said = Said {
            digest: Digest::of(request),
            seen: TreeSize(0),
            room: None,
        };
        match self.carry_out(workspace, request, &mut said).await {
            Ok(done) => Response {
                bytes: cbor::encode(&CommandReply::Committed(done)),
                refusal: None,
                room: said.room,
            },
            Err(Refused(rejection, position)) => {
                match self.proven(workspace, said.seen, position).await {
                    Ok(position) => self.refused(said.digest, rejection, position),
                    Err(instead) => self.refused(said.digest, instead, Position::default()),
                }
            }
        }
    }

    /// Refuses a command request without a look at it.
    pub fn refuse_command(&self, request: &[u8], rejection: Rejection) -> Response {
        let command =
            cbor::decode::<CommandRequest>(request).map(|request| Digest::of(&request.command.0));
        self.refused(
            command.unwrap_or_else(|_| Digest::of(request)),
            rejection,
            Position::default(),
        )
    }

    fn refused(&self, command: Digest, rejection: Rejection, position: Position) -> Response {
        let signed = self.sign_refusal(command, rejection.clone(), position);
        Response {
            bytes: cbor::encode(&CommandReply::Refused(signed.into())),
            refusal: Some(rejection),
            room: None,
        }
    }

    /// Where the workspace was when a refusal was decided, with the proof that it extends what the
    /// caller has seen: so that a log that was rolled back shows in refusals as well.
    pub(super) async fn proven(
        &self,
        workspace: &WorkspaceName,
        seen: TreeSize,
        at: Option<writer::Position>,
    ) -> Result<Position, Rejection> {
        let Some(writer::Position {
            size,
            root,
            consistency,
        }) = at
        else {
            return Ok(Position::default());
        };
        let consistency = match consistency {
            Some(consistency) => digests(&consistency),
            None => self.consistency(workspace, seen, size).await?,
        };
        Ok(Position {
            size,
            root: Digest(root.0),
            consistency,
        })
    }

    async fn carry_out(
        &self,
        workspace: &WorkspaceName,
        request: &[u8],
        said: &mut Said,
    ) -> Result<CommittedCommand, Refused> {
        if request.len() > limits::REQUEST_BYTES {
            let message = format!("a request has at most {} bytes", limits::REQUEST_BYTES);
            return Err(Rejection::new(Code::TooLarge, message).into());
        }
        let request: CommandRequest = cbor::decode(request)?;
        *said = Said {
            digest: Digest::of(&request.command.0),
            seen: request.seen,
            room: None,
        };
        let signed = SignedCommand::decode(&request.command.0)?;
        if signed.command().workspace != *workspace {
            let meant = &signed.command().workspace;
            let message =
                format!("the command is for workspace {meant}, it was sent to {workspace}");
            return Err(Rejection::new(Code::WrongWorkspace, message).into());
        }
        let command = Arc::new(signed.verify()?);
        self.check_workspace(workspace, &command).await?;
        self.shared.health.workspace(workspace)?;
        keyroll_store::failpoint!("command.verified");
        // What is wrong with these is said only after the look for a receipt: a command that was
        // carried out gets the same one however late and however it is sent again.
        let (session, inadmissible) = match self.admit(workspace, &command, &request).await {
            Ok(session) => (session, None),
            Err(rejection) => (None, Some(rejection)),
        };
        match self
            .submit(
                workspace,
                &command,
                &request,
                session.as_ref(),
                inadmissible,
            )
            .await?
        {
            CommandOutcome::Recorded(landed) => {
                let index = landed.index;
                let done = self.done(workspace, &command, said, *landed, session.as_ref());
                Ok(done.await.map_err(|why| recorded(index, why))?)
            }
            CommandOutcome::Known(index) => {
                let known = self.known(workspace, request.seen, index);
                Ok(known.await.map_err(|why| recorded(index, why))?)
            }
            CommandOutcome::Refused(rejection, position) => Err(Refused(rejection, position)),
            CommandOutcome::Store(_) | CommandOutcome::Decided(..) => Err(keeps_changing().into()),
        }
    }

    /// Whether the values are those that the command names, and the session they travel under.
    async fn admit(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
        request: &CommandRequest,
    ) -> Result<Option<SessionKeys>, Rejection> {
        check_values(command, request)?;
        match command.command().action.session() {
            Some(session) => self
                .keyring
                .session(workspace, command.actor(), session, self.now())
                .await
                .map(Some),
            None => Ok(None),
        }
    }

    /// A writer is started only for a workspace that the log has, or for who may make one: names
    /// that anybody can think of must not cost a task each.
    pub(super) async fn check_workspace(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
    ) -> Result<(), Rejection> {
        if self
            .shared
            .progress
            .now(|progress| progress.workspaces.contains_key(workspace))
            || self.shared.operators.contains(&command.signer())
        {
            return Ok(());
        }
        let head = self
            .shared
            .log
            .head(workspace)
            .await
            .map_err(|why| unavailable(why.0))?;
        if head > Sequence(0) {
            return Ok(());
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
        let writer = self.writer(workspace);
        let mut stored = None;
        // Refused or not is decided below, with the log; here it only spares the vault.
        if inadmissible.is_none()
            && let Some(epoch) = self.to_store(&writer, command, request).await
        {
            keyroll_store::failpoint!("vault.before_store");
            self.store(workspace, command, request, session, epoch)
                .await?;
            keyroll_store::failpoint!("vault.stored");
            stored = Some(epoch);
        }
        for _ in 0..STORES {
            let (seen, inadmissible) = (request.seen, inadmissible.clone());
            let submission = Submission {
                command: Arc::clone(command),
                seen,
                stored,
                inadmissible,
                while_retiring: None,
                dry_run: false,
            };
            match writer.submit(submission).await {
                CommandOutcome::Store(epoch) => {
                    self.store(workspace, command, request, session, epoch)
                        .await?;
                    stored = Some(epoch);
                }
                outcome => return Ok(outcome),
            }
        }
        Err(keeps_changing())
    }

    async fn done(
        &self,
        workspace: &WorkspaceName,
        command: &Verified,
        said: &mut Said,
        landed: Landed,
        session: Option<&SessionKeys>,
    ) -> Result<CommittedCommand, Rejection> {
        let released = match (landed.events.first(), session) {
            (Some(Event::SecretRevealed(revealed)), Some(session)) => {
                said.room = Some(self.releases.room_for(landed.places.len()).await?);
                self.release(workspace, command, revealed, &landed.places, session)
                    .await?
            }
            _ => Vec::new(),
        };
        let consistency = match &landed.consistency {
            Some(consistency) => digests(consistency),
            None => self.consistency(workspace, said.seen, landed.size).await?,
        };
        let receipt = Receipt {
            path: digests(&landed.path),
            entry: landed.entry,
            index: landed.index,
            checkpoint: landed.checkpoint.to_string(),
        };
        Ok(CommittedCommand {
            receipt,
            released,
            consistency,
        })
    }
}

/// The values beside a command must be those it names.
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
            return Err(Rejection::new(
                Code::InvalidField,
                "a sealed value is not the one that the command names",
            ));
        }
    }
    Ok(())
}
