//! Commands built by hand, and replies taken apart.

use std::fs;
use std::path::Path;

use async_nats::Message;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use keyroll_client::new_command_id;
use keyroll_core::statement::LedgerKey;
use keyroll_core::{
    Action, Blob, Code, Command, Digest, Identity, LedgerId, Rejection, TreeSize, cbor, cose,
};
use keyroll_wire::reply::{CommittedCommand, ReplyBody, ServiceInfo};
use keyroll_wire::time::now;
use keyroll_wire::{CommandReply, CommandRequest, Reply};

use super::dev::Dev;
use super::nats::Nats;

/// Reads an identity file.
///
/// # Panics
/// When it is not one.
pub fn identity(path: &Path) -> SigningKey {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SigningKey::from_pkcs8_pem(&text).expect("an Ed25519 key")
}

impl Dev {
    /// The key of the owner.
    pub fn owner(&self) -> SigningKey {
        identity(&self.home().data().join("identity.pem"))
    }

    /// The ledger's id, as its clients have pinned it.
    pub fn ledger(&self) -> LedgerId {
        let text = fs::read_to_string(self.home().data().join("config.toml")).expect("config.toml");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("ledger = \""));
        let id = line
            .and_then(|line| line.strip_suffix('"'))
            .expect("a pinned ledger");
        id.parse().expect("a ledger id")
    }

    /// An unsigned command for workspace `demo`, made now.
    pub fn command(&self, action: Action) -> Command {
        Command {
            v: 1,
            at: now(),
            id: new_command_id(),
            action,
            ledger: self.ledger(),
            workspace: "demo".parse().expect("a name"),
            member: None,
            approval: None,
            delegation: None,
        }
    }
}

/// A request that carries these bytes as its signed command.
pub fn request(command: &[u8]) -> Vec<u8> {
    let request = CommandRequest {
        seen: TreeSize(0),
        values: Vec::new(),
        command: Blob(command.to_vec()),
    };
    cbor::encode(&request)
}

/// A signed command, as a request.
pub fn signed(command: &Command, key: &SigningKey) -> Vec<u8> {
    request(&cose::sign(command, key))
}

/// The key that signs for the ledger, by the ledger's statement and under its id.
pub async fn online_key(dev: &Dev, nats: &Nats) -> Identity {
    let reply = nats.request("keyroll.v1._ledger.info", Vec::new()).await;
    let info: ServiceInfo = cbor::decode(&reply.payload).expect("the ledger's keys");
    LedgerKey::open(&info.ledger_key.0, &dev.ledger())
        .expect("a statement under the ledger's id")
        .key
}

/// The receipt and values in a reply.
///
/// # Panics
/// When it is a refusal.
#[track_caller]
pub fn done(reply: &Message) -> CommittedCommand {
    assert_eq!(header(reply), None, "a success has no error header");
    match cbor::decode(&reply.payload).expect("a command's reply") {
        CommandReply::Committed(done) => done,
        CommandReply::Refused(signed) => panic!("refused: {:?}", cose::open::<Reply>(&signed.0)),
    }
}

/// The refusal in a reply: the same code in header and body, and the body signed by `ledger` over
/// `request`'s command.
///
/// # Panics
/// When it is not a refusal.
#[track_caller]
pub fn refusal(reply: &Message, ledger: Identity, about: &[u8]) -> Rejection {
    let signed = match cbor::decode(&reply.payload) {
        Ok(CommandReply::Refused(signed)) => signed.0,
        Ok(CommandReply::Committed(done)) => panic!("carried out as entry {}", done.receipt.index),
        // The refusal of a query has no wrapper.
        Err(_) => reply.payload.to_vec(),
    };
    let opened = cose::open::<Reply>(&signed).expect("a signed reply");
    opened.verify().expect("a good signature");
    assert_eq!(
        opened.signer, ledger,
        "the reply is signed by the ledger's online key"
    );
    assert_eq!(
        opened.payload.request,
        Digest::of(about),
        "the reply names what it answers"
    );
    let ReplyBody::Error(rejection) = opened.payload.body else {
        panic!("an answer instead of a refusal")
    };
    assert_eq!(
        header(reply),
        Some(rejection.code.as_str()),
        "the same code in the header"
    );
    rejection
}

/// The code of the [`refusal`] in a reply.
#[track_caller]
pub fn refused_as(reply: &Message, ledger: Identity, about: &[u8], code: Code) -> Rejection {
    let rejection = refusal(reply, ledger, about);
    assert_eq!(rejection.code, code, "{rejection}");
    rejection
}

fn header(reply: &Message) -> Option<&str> {
    let headers = reply.headers.as_ref()?;
    headers
        .get("Nats-Service-Error")
        .map(async_nats::HeaderValue::as_str)
}
