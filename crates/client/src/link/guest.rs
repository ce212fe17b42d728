//! A connection without credentials, and the sealed requests that it may send.

use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{ConnectOptions, RequestErrorKind};
use keyroll_core::crypto::AnswerKey;
use keyroll_core::{
    Backoff, Blob, Code, ConnectionKey, Digest, TreeSize, WorkspaceName, cbor, cose,
};
use keyroll_nats::Addresses;
use keyroll_wire::guest::{GuestRequest, SealedAnswer};
use keyroll_wire::query::{LedgerCredential, QUERY_V, Query, Question};
use keyroll_wire::reply::{Answer, IssuedCredential, Reply, ReplyBody, ServiceInfo};
use keyroll_wire::subjects;
use keyroll_wire::time::now;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::live::{CONNECT_TIMEOUT, Live, RequestFailed};
use crate::ClientError;
use crate::client::{CALL_TIMEOUT, LedgerKeys, REQUEST_TIMEOUT};
use crate::query::{check_reply, unexpected};
use crate::signer::Signer;

/// All guests' inboxes lie below this token.
const INBOX: &str = "_INBOX_guest";
/// How often a request is sent while there are no responders, and the pause between: a service that just
/// started has subscribed, but its nats-server may not have registered that yet.
const NO_RESPONDERS_ATTEMPTS: u32 = 5;
const NO_RESPONDERS_PAUSE: Duration = Duration::from_millis(60);
/// How long there may be no responders: while a service starts, and while so many guests ask that nats-server
/// drops their requests.
const START: Duration = Duration::from_millis(300);
const CROWD: Duration = Duration::from_secs(3);
/// Pauses after which a busy ledger is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A connection of a guest. The server ends it after a minute.
pub(super) struct Guest {
    nats: async_nats::Client,
}

/// A query for credentials.
pub(super) struct Asked<'a> {
    pub(super) keys: &'a LedgerKeys,
    pub(super) signer: &'a Signer,
    pub(super) connection: ConnectionKey,
    pub(super) workspaces: Vec<WorkspaceName>,
}

impl Guest {
    pub(super) async fn connect(addresses: &Addresses) -> Result<Self, ClientError> {
        let options = ConnectOptions::new()
            .name("keyroll guest")
            .request_timeout(Some(REQUEST_TIMEOUT))
            .custom_inbox_prefix(INBOX)
            // Once to each server. A guest that is sent away need not come back.
            .max_reconnects(addresses.hosts().split(',').count());
        let hosts = addresses.hosts();
        let connected = addresses.clone().connect(options, CONNECT_TIMEOUT).await;
        let nats = connected.map_err(|why| {
            let hint = if why.contains("authorization") {
                ". It lets nobody in without a NATS user: add --nats-creds FILE"
            } else {
                ""
            };
            let words = format!("cannot connect to nats-server at {hosts}: {why}{hint}");
            ClientError::failed(Code::Unreachable, words)
        })?;
        Ok(Self { nats })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.nats.connection_state() == State::Connected
    }

    pub(super) async fn info(&self, keys: Option<&LedgerKeys>) -> Result<ServiceInfo, ClientError> {
        let sealed = sealed(Way::Guest(&self.nats), subjects::INFO, Vec::new(), keys);
        read_info(&sealed.await?)
    }

    pub(super) async fn send(
        &self,
        subject: &str,
        request: Vec<u8>,
        keys: Option<&LedgerKeys>,
    ) -> Result<Vec<u8>, ClientError> {
        sealed(Way::Guest(&self.nats), subject, request, keys).await
    }

    pub(super) async fn ask_credential(
        &self,
        asked: &Asked<'_>,
    ) -> Result<IssuedCredential, ClientError> {
        credential(Way::Guest(&self.nats), asked).await
    }
}

/// The way of a request that may be sealed.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// A guest's connection. It sends one request after the other, so its first one subscribes for all.
    Guest(&'a async_nats::Client),
    /// A connection with credentials.
    Member(&'a Live),
}

impl Way<'_> {
    async fn request(
        self,
        subject: &str,
        bytes: Vec<u8>,
    ) -> Result<async_nats::Message, RequestFailed> {
        match self {
            Self::Guest(nats) => {
                let reply = nats.request(subject.to_owned(), bytes.into()).await;
                reply.map_err(|error| RequestFailed::Nats(error.kind()))
            }
            Self::Member(live) => live.request(subject, bytes).await,
        }
    }
}

/// The ledger's keys, over a connection of a member.
pub(super) async fn plain_info(live: &Live) -> Result<ServiceInfo, ClientError> {
    for attempt in 1.. {
        match live.request(subjects::INFO, Vec::new()).await {
            Ok(reply) => return read_info(&reply.payload),
            Err(RequestFailed::Nats(RequestErrorKind::NoResponders))
                if attempt < NO_RESPONDERS_ATTEMPTS =>
            {
                tokio::time::sleep(NO_RESPONDERS_PAUSE).await;
            }
            Err(failed) => return Err(failed.into()),
        }
    }
    Err(no_keys())
}

/// Info, or the signed refusal in its place.
fn read_info(bytes: &[u8]) -> Result<ServiceInfo, ClientError> {
    let info = cbor::decode::<ServiceInfo>(bytes);
    info.map_err(|wrong| match cose::open::<Reply>(bytes) {
        Ok(reply) => match reply.payload.body {
            ReplyBody::Error(rejection) => rejection.into(),
            ReplyBody::Answer(_) => wrong.into(),
        },
        Err(_) => wrong.into(),
    })
}

/// For requests that make no entry: it does not matter whether they arrived.
impl From<RequestFailed> for ClientError {
    fn from(failed: RequestFailed) -> Self {
        match failed {
            RequestFailed::Nats(kind) => unreachable(kind),
            RequestFailed::Forbidden(error) | RequestFailed::Unheard(error) => error,
        }
    }
}

fn unreachable(kind: RequestErrorKind) -> ClientError {
    let why = match kind {
        RequestErrorKind::NoResponders => {
            "no keyroll service answers there: start `keyroll serve` or `keyroll dev`"
        }
        RequestErrorKind::TimedOut => "the keyroll service does not answer",
        RequestErrorKind::Other
        | RequestErrorKind::InvalidSubject
        | RequestErrorKind::MaxPayloadExceeded => "the connection to nats-server broke",
    };
    ClientError::failed(Code::Unreachable, why)
}

pub(super) fn no_keys() -> ClientError {
    ClientError::failed(Code::Internal, "the ledger's keys are not known yet")
}

/// Asks for credentials, again while the ledger is busy. Members ask as for anything else, where no flood of
/// guests delays them.
pub(super) async fn credential(
    way: Way<'_>,
    asked: &Asked<'_>,
) -> Result<IssuedCredential, ClientError> {
    let end = Instant::now() + CALL_TIMEOUT;
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let error = match credential_once(way, asked).await {
            Err(error) if error.code() == Code::Busy => error,
            other => return other,
        };
        let pause = backoff.next_pause();
        if Instant::now() + pause >= end {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
    }
}

async fn credential_once(way: Way<'_>, asked: &Asked<'_>) -> Result<IssuedCredential, ClientError> {
    let query = Query {
        v: QUERY_V,
        at: now(),
        ask: Question::LedgerCredential(LedgerCredential {
            connection: asked.connection,
            workspaces: asked.workspaces.clone(),
        }),
        seen: TreeSize(0),
        ledger: asked.keys.ledger,
        member: asked.signer.claim(),
        workspace: None,
        delegation: None,
    };
    let bytes = cose::sign(&query, asked.signer.key());
    let request = Digest::of(&bytes);
    let reply = match way {
        Way::Guest(_) => sealed(way, subjects::CREDENTIAL, bytes, Some(asked.keys)).await?,
        Way::Member(_) => {
            let reply = send(way, subjects::LEDGER_QUERY, bytes, START).await?;
            reply.payload.to_vec()
        }
    };
    let reply = check_reply(&reply, &request, &asked.keys.online.key)?;
    match reply.payload.body {
        ReplyBody::Answer(answer) => match *answer {
            Answer::LedgerCredential(issued) => Ok(issued),
            _ => Err(unexpected()),
        },
        ReplyBody::Error(rejection) => Err(rejection.into()),
    }
}

/// Sends a request in its envelope, and opens the answer. A refusal of the envelope itself comes unsealed. Once the
/// ledger's `keys` are known it is believed only with their signature: any client can answer a guest in vain.
pub(super) async fn sealed(
    way: Way<'_>,
    subject: &str,
    body: Vec<u8>,
    keys: Option<&LedgerKeys>,
) -> Result<Vec<u8>, ClientError> {
    let key = AnswerKey::generate(&mut UnwrapErr(SysRng));
    let request = cbor::encode(&GuestRequest {
        key: key.public(),
        body: Blob(body),
    });
    let digest = Digest::of(&request);
    let reply = send(way, subject, request, CROWD).await?;
    let Ok(answer) = cbor::decode::<SealedAnswer>(&reply.payload) else {
        return Err(plain_refusal(&reply.payload, &digest, keys));
    };
    let opened = key.open(&answer.enc, &answer.sealed.0, &digest);
    opened.map_err(|error| ClientError::failed(Code::Corrupt, error.to_string()))
}

fn plain_refusal(bytes: &[u8], request: &Digest, keys: Option<&LedgerKeys>) -> ClientError {
    let opened = match keys {
        Some(keys) => check_reply(bytes, request, &keys.online.key),
        None => cose::open::<Reply>(bytes).map_err(ClientError::broken_reply),
    };
    match opened.map(|opened| opened.payload.body) {
        Ok(ReplyBody::Error(rejection)) => rejection.into(),
        Ok(ReplyBody::Answer(_)) => unexpected(),
        Err(error) => error,
    }
}

/// Sends a request that makes no entry: again while there are no responders, and once more without an answer.
async fn send(
    way: Way<'_>,
    subject: &str,
    request: Vec<u8>,
    patience: Duration,
) -> Result<async_nats::Message, ClientError> {
    let begun = Instant::now();
    let mut backoff = Backoff::new(NO_RESPONDERS_PAUSE, LONGEST_PAUSE);
    loop {
        let failed = match way.request(subject, request.clone()).await {
            Ok(reply) => return Ok(reply),
            Err(failed) => failed,
        };
        match failed {
            RequestFailed::Nats(RequestErrorKind::NoResponders) if begun.elapsed() < patience => {
                tokio::time::sleep(backoff.next_pause()).await;
            }
            RequestFailed::Nats(RequestErrorKind::TimedOut)
                if patience == CROWD && begun.elapsed() + REQUEST_TIMEOUT / 2 < CALL_TIMEOUT => {}
            failed => return Err(failed.into()),
        }
    }
}
