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
            .custom_inbox_prefix(INBOX);
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

    pub(super) async fn info(&self) -> Result<ServiceInfo, ClientError> {
        read_info(&sealed(&self.nats, subjects::INFO, Vec::new()).await?)
    }

    pub(super) async fn send(
        &self,
        subject: &str,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, ClientError> {
        sealed(&self.nats, subject, request).await
    }

    pub(super) async fn ask_credential(
        &self,
        asked: &Asked<'_>,
    ) -> Result<IssuedCredential, ClientError> {
        credential(&self.nats, true, asked).await
    }
}

/// The ledger's keys, over a connection of a member.
pub(super) async fn plain_info(live: &Live) -> Result<ServiceInfo, ClientError> {
    for attempt in 1.. {
        match live.request(subjects::INFO, Vec::new()).await {
            Ok(reply) => return read_info(&reply.payload),
            Err(RequestFailed::Forbidden(error)) => return Err(error),
            Err(RequestFailed::Nats(error))
                if error.kind() == RequestErrorKind::NoResponders
                    && attempt < NO_RESPONDERS_ATTEMPTS =>
            {
                tokio::time::sleep(NO_RESPONDERS_PAUSE).await;
            }
            Err(RequestFailed::Nats(error)) => return Err(unreachable(&error)),
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

fn unreachable(error: &async_nats::RequestError) -> ClientError {
    let why = match error.kind() {
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
    nats: &async_nats::Client,
    as_guest: bool,
    asked: &Asked<'_>,
) -> Result<IssuedCredential, ClientError> {
    let end = Instant::now() + CALL_TIMEOUT;
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let error = match credential_once(nats, as_guest, asked).await {
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

async fn credential_once(
    nats: &async_nats::Client,
    as_guest: bool,
    asked: &Asked<'_>,
) -> Result<IssuedCredential, ClientError> {
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
    let reply = if as_guest {
        sealed(nats, subjects::CREDENTIAL, bytes).await?
    } else {
        send(nats, subjects::LEDGER_QUERY, bytes, START)
            .await?
            .payload
            .to_vec()
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

/// Sends a request in its envelope, and opens the answer. A refusal of the envelope itself comes unsealed.
pub(super) async fn sealed(
    nats: &async_nats::Client,
    subject: &str,
    body: Vec<u8>,
) -> Result<Vec<u8>, ClientError> {
    let key = AnswerKey::generate(&mut UnwrapErr(SysRng));
    let request = cbor::encode(&GuestRequest {
        key: key.public(),
        body: Blob(body),
    });
    let digest = Digest::of(&request);
    let reply = send(nats, subject, request, CROWD).await?;
    let Ok(answer) = cbor::decode::<SealedAnswer>(&reply.payload) else {
        return match cose::open::<Reply>(&reply.payload)?.payload.body {
            ReplyBody::Error(rejection) => Err(rejection.into()),
            ReplyBody::Answer(_) => Err(unexpected()),
        };
    };
    let opened = key.open(&answer.enc, &answer.sealed.0, &digest);
    opened.map_err(|error| ClientError::failed(Code::Corrupt, error.to_string()))
}

/// Sends a request that makes no entry: again while there are no responders, and once more without an answer.
async fn send(
    nats: &async_nats::Client,
    subject: &str,
    request: Vec<u8>,
    patience: Duration,
) -> Result<async_nats::Message, ClientError> {
    let begun = Instant::now();
    let mut backoff = Backoff::new(NO_RESPONDERS_PAUSE, LONGEST_PAUSE);
    loop {
        let sent = nats.request(subject.to_owned(), request.clone().into());
        let error = match sent.await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        match error.kind() {
            RequestErrorKind::NoResponders if begun.elapsed() < patience => {
                tokio::time::sleep(backoff.next_pause()).await;
            }
            RequestErrorKind::TimedOut
                if patience == CROWD && begun.elapsed() + REQUEST_TIMEOUT / 2 < CALL_TIMEOUT => {}
            _ => return Err(unreachable(&error)),
        }
    }
}
