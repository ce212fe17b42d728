//! Queries: signed, sent, and the signed answer checked.

use std::time::{Duration, Instant};

use async_nats::RequestErrorKind;
use async_nats::connection::State;
use futures::StreamExt as _;
use keyroll_core::command::Nothing;
use keyroll_core::cose::Unverified;
use keyroll_core::{Code, Digest, Identity, TreeSize, WorkspaceName, cose};
use keyroll_merkle::{Hash, verify_consistency};

use crate::checkpoints::TrustedCheckpoint;
use crate::request::{Deadline, Response};
use crate::{Client, ClientError};
use keyroll_wire::query::{
    MemberList, PAGE_ROWS, PointInTime, QUERY_V, Query, Question, WorkspaceList,
};
use keyroll_wire::reply::{
    Answer, CheckpointNote, MemberRow, Reply, ReplyBody, SecretRow, WorkspaceRow,
};
use keyroll_wire::subjects;
use keyroll_wire::time::now;

/// How often to look whether there still is a service, while one takes its time.
const LOOK: Duration = Duration::from_secs(3);
/// For how long there may be none: it, or its nats-server, may be back in a moment, and the answer
/// was only on its way.
const GONE: Duration = Duration::from_secs(10);

/// How long to listen for services.
const DISCOVERY: Duration = Duration::from_secs(1);

/// An answer, and what it was made on.
#[derive(Debug)]
pub struct VerifiedAnswer {
    /// The answer.
    pub answer: Answer,
    /// The size of the workspace it was made on.
    pub size: TreeSize,
    /// The root over that.
    pub root: Hash,
}

impl Client {
    /// Asks about a workspace, or about the ledger when there is none.
    ///
    /// # Errors
    /// The ledger's refusal; [`Code::Rollback`], [`Code::Fork`] or [`Code::Corrupt`] when the
    /// answer does not stand to what was seen before; [`Code::Unreachable`].
    pub async fn query(
        &self,
        workspace: Option<&WorkspaceName>,
        ask: Question,
    ) -> Result<VerifiedAnswer, ClientError> {
        self.query_until(workspace, ask, Deadline::Default).await
    }

    /// Members of a workspace, former ones too, in order of joining, as they are or were; and the
    /// size that the first of them was read at.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn members(
        &self,
        workspace: &WorkspaceName,
        at: Option<PointInTime>,
    ) -> Result<(Vec<MemberRow>, TreeSize), ClientError> {
        let (mut rows, mut after, mut size) = (Vec::new(), None, None);
        loop {
            let limit = PAGE_ROWS;
            let list = Question::MemberList(MemberList { at, after, limit });
            let answered = self.query(Some(workspace), list).await?;
            let size = *size.get_or_insert(answered.size);
            let Answer::MemberList(page) = answered.answer else {
                return Err(unexpected());
            };
            rows.extend(page.rows);
            // A page that does not lead on is the last, whatever it says.
            if page.next <= after {
                return Ok((rows, size));
            }
            after = page.next;
        }
    }

    /// The workspaces that this identity is a member of, by name.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn workspaces(&self) -> Result<Vec<WorkspaceRow>, ClientError> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let list = WorkspaceList {
                after: after.clone(),
            };
            let answered = self.query(None, Question::WorkspaceList(list)).await?;
            let Answer::WorkspaceList(page) = answered.answer else {
                return Err(unexpected());
            };
            rows.extend(page.rows);
            // A page that does not lead on is the last, whatever it says.
            if page.next <= after {
                return Ok(rows);
            }
            after = page.next;
        }
    }

    /// As [`Client::query`], for what takes its time. Asked again when a connection breaks, and now and
    /// then: the service joins it to what is in work.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn query_within(
        &self,
        workspace: Option<&WorkspaceName>,
        ask: Question,
        patience: Duration,
    ) -> Result<VerifiedAnswer, ClientError> {
        let patience = Deadline::Within(patience);
        self.query_until(workspace, ask, patience).await
    }

    async fn query_until(
        &self,
        workspace: Option<&WorkspaceName>,
        ask: Question,
        patience: Deadline,
    ) -> Result<VerifiedAnswer, ClientError> {
        let asked = self.query_once(workspace, ask, patience).await;
        let (Err(refusal @ ClientError::Refused(_)), Some(workspace)) = (&asked, workspace) else {
            return asked;
        };
        let seen = self.connection.checkpoints.get(workspace)?;
        Err(self
            .check_refusal(workspace, seen.as_ref(), refusal.clone())
            .await)
    }

    pub(super) async fn query_once(
        &self,
        workspace: Option<&WorkspaceName>,
        ask: Question,
        patience: Deadline,
    ) -> Result<VerifiedAnswer, ClientError> {
        let seen = workspace
            .map(|workspace| self.connection.checkpoints.get(workspace))
            .transpose()?
            .flatten();
        let query = Query {
            v: QUERY_V,
            at: now(),
            ask,
            seen: seen.as_ref().map_or(TreeSize(0), |seen| seen.size),
            ledger: self.connection.ledger,
            workspace: workspace.cloned(),
            delegation: self.signer().statement(),
        };
        let bytes = cose::sign(&query, self.signer().key());
        let subject = workspace.map_or_else(|| subjects::LEDGER_QUERY.to_owned(), subjects::query);
        let request = Digest::of(&bytes);
        let Response { message, asked } = tokio::select! {
            answer = self.request_reply(&subject, bytes, patience) => answer?,
            () = self.no_service(), if matches!(patience, Deadline::Within(_)) => return Err(service_lost()),
        };
        let reply = self.open_reply(&message.payload, &request)?.payload;
        if let Some(workspace) = workspace {
            self.check_tree_head(workspace, seen.as_ref(), &reply)?;
        }
        let answer = match reply.body {
            ReplyBody::Answer(answer) => *answer,
            // Its time was right when it was first asked.
            ReplyBody::Error(rejection) if rejection.code == Code::Stale && asked > 1 => {
                return Err(service_lost());
            }
            ReplyBody::Error(rejection) => return Err(rejection.into()),
        };
        if let Some(workspace) = workspace
            && let Some(rows) = present_rows(&query.ask, &answer)
        {
            let secrets = self.connection.checkpoints.secrets();
            secrets.check_rows(workspace, reply.size, rows)?;
        }
        Ok(VerifiedAnswer {
            answer,
            size: reply.size,
            root: Hash(reply.root.0),
        })
    }

    /// How many services answer in a moment, whichever ledger's they are.
    ///
    /// # Errors
    /// [`Code::Unreachable`].
    pub async fn services(&self) -> Result<usize, ClientError> {
        let unreachable = |why: String| ClientError::failed(Code::Unreachable, why);
        let nats = &self.connection.nats;
        let inbox = nats.new_inbox();
        let answers = nats.subscribe(inbox.clone()).await;
        let mut answers = answers.map_err(|error| unreachable(error.to_string()))?;
        let ping = subjects::SERVICES.to_owned();
        let asked = nats.publish_with_reply(ping, inbox, Vec::new().into());
        asked
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let mut count = 0;
        let end = tokio::time::Instant::now() + DISCOVERY;
        while let Ok(Some(answer)) = tokio::time::timeout_at(end, answers.next()).await {
            // A server says with a status that nobody is there.
            count += usize::from(answer.status.is_none());
        }
        Ok(count)
    }

    /// Resolves when there has been no service for a while. One that is too busy to say anything is
    /// there.
    async fn no_service(&self) {
        let mut there = Instant::now();
        while there.elapsed() < GONE {
            tokio::time::sleep(LOOK).await;
            let nats = &self.connection.nats;
            if nats.connection_state() != State::Connected {
                continue;
            }
            let info = nats.request(subjects::INFO, Vec::new().into()).await;
            if !info.is_err_and(|error| error.kind() == RequestErrorKind::NoResponders) {
                there = Instant::now();
            }
        }
    }

    /// Opens a signed reply and checks who signed it and what it answers.
    pub(super) fn open_reply(
        &self,
        bytes: &[u8],
        request: &Digest,
    ) -> Result<Unverified<Reply>, ClientError> {
        let corrupt = |why: &str| ClientError::failed(Code::Corrupt, why);
        let opened = cose::open::<Reply>(bytes).map_err(ClientError::broken_reply)?;
        opened.verify().map_err(ClientError::broken_reply)?;
        if opened.signer != self.connection.key.key {
            return Err(corrupt("the reply is not signed by the ledger's key"));
        }
        if opened.payload.request != *request {
            return Err(corrupt("the reply answers another request"));
        }
        Ok(opened)
    }

    /// Holds a reply's size and root against the highest seen before it was asked for.
    pub(super) fn check_tree_head(
        &self,
        workspace: &WorkspaceName,
        seen: Option<&TrustedCheckpoint>,
        reply: &Reply,
    ) -> Result<(), ClientError> {
        if let ReplyBody::Error(rejection) = &reply.body
            && reply.size == TreeSize(0)
        {
            // Most refusals need no look at the tree; these say what is in it.
            let of_the_tree = matches!(
                rejection.code,
                Code::NotFound | Code::Deleted | Code::Destroyed | Code::Conflict
            );
            if seen.is_none() || !of_the_tree {
                return Ok(());
            }
        }
        // A workspace that is not there yet, when its making is tried: nothing to remember.
        if seen.is_none()
            && matches!(&reply.body, ReplyBody::Answer(_))
            && reply.size == TreeSize(0)
        {
            return Ok(());
        }
        let root = Hash(reply.root.0);
        self.trust(
            workspace,
            seen,
            (reply.size, root),
            &reply.consistency,
            None,
        )
    }

    /// Believes a size and root if they extend what was seen, and remembers them.
    pub(super) fn trust(
        &self,
        workspace: &WorkspaceName,
        seen: Option<&TrustedCheckpoint>,
        (size, root): (TreeSize, Hash),
        consistency: &[Digest],
        note: Option<&str>,
    ) -> Result<(), ClientError> {
        if let Some(seen) = seen {
            if size < seen.size {
                let message = format!(
                    "the ledger shows {size} entries of {workspace}, {} were seen before: the log was rolled back",
                    seen.size
                );
                return Err(ClientError::failed(Code::Rollback, message));
            }
            let proof: Vec<Hash> = consistency.iter().map(|hash| Hash(hash.0)).collect();
            verify_consistency(seen.size.0, &seen.root, size.0, &root, &proof).map_err(|error| {
                let message = format!(
                    "the ledger's {size} entries of {workspace} do not extend the {} seen before ({error}): the log was forked",
                    seen.size
                );
                ClientError::failed(Code::Fork, message)
            })?;
        }
        let fresh = TrustedCheckpoint {
            size,
            root,
            note: note.map(str::to_owned),
        };
        let raised = self.connection.checkpoints.raise(workspace, fresh);
        if raised.map_err(|error| self.not_kept(&error))? {
            return Ok(());
        }
        let message = format!(
            "another root was seen for the same {size} entries of {workspace}: the log was forked"
        );
        Err(ClientError::failed(Code::Fork, message))
    }

    /// The one failure of this machine's own among those of a check.
    fn not_kept(&self, error: &std::io::Error) -> ClientError {
        let place = self.connection.checkpoints.directory();
        let place = place.map_or_else(String::new, |place| format!(" in {}", place.display()));
        let message = format!(
            "the checkpoint could not be kept{place}: {error}; make room there, or make it writable"
        );
        ClientError::failed(Code::Internal, message)
    }

    /// The ledger's checkpoint of a workspace, verified: the note and what it says.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn checkpoint(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<(String, keyroll_merkle::Checkpoint), ClientError> {
        let answered = self
            .query(Some(workspace), Question::AuditCheckpoint(Nothing {}))
            .await?;
        let Answer::AuditCheckpoint(CheckpointNote { checkpoint: note }) = answered.answer else {
            return Err(unexpected());
        };
        let checkpoint = self.open_checkpoint(workspace, &note)?;
        if checkpoint.size != answered.size.0 || checkpoint.root != answered.root {
            return Err(ClientError::failed(
                Code::Corrupt,
                "the checkpoint differs from the reply around it",
            ));
        }
        Ok((note, checkpoint))
    }

    /// Who signed the replies this client believes.
    pub fn ledger_signer(&self) -> Identity {
        self.connection.key.key
    }
}

/// A service that was started anew meanwhile does not know of the request any more.
fn service_lost() -> ClientError {
    let words = "the service has ended, or cannot be reached any more, and did not answer: \
                 what it was doing may be half done. Start it, and look at `keyroll status`";
    ClientError::failed(Code::Unreachable, words)
}

/// Secrets as an answer shows them, unless it was asked how they were in the past.
fn present_rows<'a>(ask: &Question, answer: &'a Answer) -> Option<&'a [SecretRow]> {
    match (ask, answer) {
        (Question::SecretShow(named), Answer::SecretShow(row)) if named.at.is_none() => {
            Some(std::slice::from_ref(row))
        }
        (Question::SecretList(list), Answer::SecretList(page)) if list.at.is_none() => {
            Some(&page.rows)
        }
        _ => None,
    }
}

/// An answer to another question than the one asked.
pub fn unexpected() -> ClientError {
    ClientError::failed(
        Code::Corrupt,
        "the ledger answered another question than the one asked",
    )
}
