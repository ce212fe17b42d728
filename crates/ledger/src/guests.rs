//! Requests by guests: each answer is sealed to a key that came with its request.

use keyroll_core::crypto::seal_answer;
use keyroll_core::{Code, Digest, Rejection, cbor, cose};
use keyroll_wire::guest::{GuestRequest, SealedAnswer};
use keyroll_wire::{Query, Question};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::ledger::Ledger;
use crate::queries::CREDENTIAL_BYTES;
use crate::response::Response;

/// The largest request of a guest: a query for credentials in its envelope.
const REQUEST_BYTES: usize = CREDENTIAL_BYTES + 256;

/// A subject that guests may send requests to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestSubject {
    /// The ledger's keys.
    Info,
    /// NATS credentials.
    Credential,
    /// Acceptances of invitations.
    Accept,
}

impl Ledger {
    /// Answers a request in its envelope. The answer is sealed; only a request without a usable key gets
    /// a plain refusal.
    pub async fn guest(&self, subject: GuestSubject, bytes: &[u8]) -> Response {
        self.answer_guest(subject, bytes)
            .await
            .unwrap_or_else(|rejection| self.refuse_query(bytes, rejection))
    }

    async fn answer_guest(
        &self,
        subject: GuestSubject,
        bytes: &[u8],
    ) -> Result<Response, Rejection> {
        if bytes.len() > REQUEST_BYTES {
            let message = format!("a request of a guest has at most {REQUEST_BYTES} bytes");
            return Err(Rejection::new(Code::TooLarge, message));
        }
        let request: GuestRequest = cbor::decode(bytes)?;
        let response = match subject {
            GuestSubject::Info => self.info().await,
            GuestSubject::Credential => self.credential(&request.body.0).await,
            GuestSubject::Accept => self.accept(&request.body.0).await,
        };
        let request_digest = Digest::of(bytes);
        let (enc, sealed) = seal_answer(
            &request.key,
            &response.bytes,
            &request_digest,
            &mut UnwrapErr(SysRng),
        )
        .map_err(|error| Rejection::new(Code::Malformed, error.to_string()))?;
        let answer = SealedAnswer {
            enc,
            sealed: sealed.into(),
        };
        Ok(Response {
            bytes: cbor::encode(&answer),
            ..response
        })
    }

    /// Answers a query for credentials. Guests reach that subject, so no other query is answered there but
    /// `audit.extends`: a ledger that lost its log refuses credentials to all its members, and they find that
    /// out by the root that they know.
    async fn credential(&self, query: &[u8]) -> Response {
        match cose::open::<Query>(query).map(|opened| opened.payload) {
            Ok(asked) if matches!(asked.ask, Question::AuditExtends(_)) => {
                self.query(asked.workspace.as_ref(), query).await
            }
            Ok(asked) if !matches!(asked.ask, Question::LedgerCredential(_)) => {
                let message = "only ledger.credential and audit.extends are asked on this subject";
                self.refuse_query(query, Rejection::new(Code::InvalidField, message))
            }
            // Bytes that are no query are refused there.
            _ => self.query(None, query).await,
        }
    }
}
