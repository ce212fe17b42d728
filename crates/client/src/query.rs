//! Queries: signed, sent, and the signed answer verified.

use std::time::Duration;

use keyroll_core::command::Nothing;
use keyroll_core::cose::Unverified;
use keyroll_core::{Code, Digest, Identity, TreeSize, WorkspaceName, cose};
use keyroll_merkle::Hash;

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

/// A verified answer, with the tree head that it was made on.
#[derive(Debug)]
pub struct VerifiedAnswer {
    /// The answer.
    pub answer: Answer,
    /// The size of the workspace's tree.
    pub size: TreeSize,
    /// The root of that tree.
    pub root: Hash,
}

impl Client {
    /// Asks a question about a workspace, or about the ledger as a whole.
    ///
    /// # Errors
    /// The ledger's refusal; [`Code::Rollback`], [`Code::Fork`] or [`Code::Corrupt`] when the
    /// answer contradicts what was verified before; [`Code::Unreachable`].
    pub async fn query(
        &self,
        workspace: Option<&WorkspaceName>,
        question: Question,
    ) -> Result<VerifiedAnswer, ClientError> {
        self.query_until(workspace, question, Deadline::Default)
            .await
    }

    /// Members of a workspace, former ones too, in order of joining, now or at a point in time; and
    /// the tree size of the first page.
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
            // A `next` that does not advance would loop for ever.
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
            // A `next` that does not advance would loop for ever.
            if page.next <= after {
                return Ok(rows);
            }
            after = page.next;
        }
    }

    /// As [`Client::query`], for a query that takes long. It is sent again when a connection breaks
    /// and from time to time: the service joins a repeated query to the work under way.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn query_within(
        &self,
        workspace: Option<&WorkspaceName>,
        question: Question,
        timeout: Duration,
    ) -> Result<VerifiedAnswer, ClientError> {
        self.query_until(workspace, question, Deadline::Within(timeout))
            .await
    }

    async fn query_until(
        &self,
        workspace: Option<&WorkspaceName>,
        question: Question,
        deadline: Deadline,
    ) -> Result<VerifiedAnswer, ClientError> {
        if let Some(workspace) = workspace {
            self.sign_in(workspace).await?;
        }
        let mut answer = self.query_once(workspace, question.clone(), deadline).await;
        if let (Err(error), Some(workspace)) = (&answer, workspace)
            && self.forget_unknown(workspace, error)
        {
            self.sign_in(workspace).await?;
            answer = self.query_once(Some(workspace), question, deadline).await;
        }
        let (Err(refusal @ ClientError::Refused(_)), Some(workspace)) = (&answer, workspace) else {
            return answer;
        };
        let trusted = self.connection.checkpoints.get(workspace)?;
        let refusal = refusal.clone();
        Err(self
            .check_refusal(workspace, trusted.as_ref(), refusal)
            .await)
    }

    pub(crate) async fn query_once(
        &self,
        workspace: Option<&WorkspaceName>,
        question: Question,
        deadline: Deadline,
    ) -> Result<VerifiedAnswer, ClientError> {
        let trusted = workspace
            .map(|workspace| self.connection.checkpoints.get(workspace))
            .transpose()?
            .flatten();
        let query = Query {
            v: QUERY_V,
            at: now(),
            ask: question,
            seen: trusted.as_ref().map_or(TreeSize(0), |trusted| trusted.size),
            ledger: self.connection.ledger,
            workspace: workspace.cloned(),
            member: self.signer().claim(),
            delegation: None,
        };
        let bytes = cose::sign(&query, self.signer().key());
        let subject = workspace.map_or_else(|| subjects::LEDGER_QUERY.to_owned(), subjects::query);
        let request = Digest::of(&bytes);
        // Whoever is refused credentials for a workspace still has to find out whether its log was lost.
        let as_guest = matches!(query.ask, Question::AuditExtends(_))
            && !self.connection.link.is_open_for(workspace);
        let (payload, attempts) = if as_guest {
            (self.connection.link.ask_sealed(bytes).await?.into(), 1)
        } else {
            let Response { message, attempts } = tokio::select! {
                answer = self.request_reply(workspace, (&subject, bytes), deadline) => answer?,
                () = self.no_service(), if matches!(deadline, Deadline::Within(_)) => return Err(service_lost()),
            };
            (message.payload, attempts)
        };
        let reply = self.open_reply(&payload, &request)?.payload;
        if let Some(workspace) = workspace {
            self.check_tree_head(workspace, trusted.as_ref(), &reply)?;
        }
        let answer = match reply.body {
            ReplyBody::Answer(answer) => *answer,
            // The query was fresh when it was first sent.
            ReplyBody::Error(rejection) if rejection.code == Code::Stale && attempts > 1 => {
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

    /// Opens a signed reply, and checks its signer and which request it answers.
    pub(crate) fn open_reply(
        &self,
        bytes: &[u8],
        request: &Digest,
    ) -> Result<Unverified<Reply>, ClientError> {
        check_reply(bytes, request, &self.connection.key.key)
    }

    /// The ledger's checkpoint of a workspace, verified: the note and its contents.
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

    /// The key that signs the replies this client accepts.
    pub fn ledger_signer(&self) -> Identity {
        self.connection.key.key
    }
}

/// Opens a signed reply, and checks that the ledger's online key signed it and which request it answers.
pub(crate) fn check_reply(
    bytes: &[u8],
    request: &Digest,
    online: &Identity,
) -> Result<Unverified<Reply>, ClientError> {
    let corrupt = |why: &str| ClientError::failed(Code::Corrupt, why);
    let opened = cose::open::<Reply>(bytes).map_err(ClientError::broken_reply)?;
    opened.verify().map_err(ClientError::broken_reply)?;
    if opened.signer != *online {
        return Err(corrupt("the reply is not signed by the ledger's key"));
    }
    if opened.payload.request != *request {
        return Err(corrupt("the reply answers another request"));
    }
    Ok(opened)
}

/// The error for a service that restarted meanwhile: it no longer knows the query.
fn service_lost() -> ClientError {
    let words = "the service stopped or became unreachable before it answered: its work may be half \
                 done. Start it, and check `keyroll status`";
    ClientError::failed(Code::Unreachable, words)
}

/// The secrets in an answer about the present; `None` for an answer about the past.
fn present_rows<'a>(question: &Question, answer: &'a Answer) -> Option<&'a [SecretRow]> {
    match (question, answer) {
        (Question::SecretShow(named), Answer::SecretShow(row)) if named.at.is_none() => {
            Some(std::slice::from_ref(row))
        }
        (Question::SecretList(list), Answer::SecretList(page)) if list.at.is_none() => {
            Some(&page.rows)
        }
        _ => None,
    }
}

/// The error for an answer to another question.
pub fn unexpected() -> ClientError {
    ClientError::failed(Code::Corrupt, "the ledger answered another question")
}
