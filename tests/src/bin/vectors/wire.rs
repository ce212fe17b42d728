//! NATS bodies around commands, messages of the vault and key streams, and a bundle.

use keyroll_audit::bundle::{Header, write_commit, write_header};
use keyroll_core::crypto::{
    AnswerKey, Direction, Key, RootContext, SealingSecret, WrapContext, seal_answer, wrap_key,
    wrap_root,
};
use keyroll_core::{Blob, Digest, Epoch, Index, Millis, Recorded, TreeSize, cbor, cose};
use keyroll_wire::guest::{GuestRequest, SealedAnswer};
use keyroll_wire::reply::{
    CommandReply, CommandRequest, CommittedCommand, ReleasedValue, SealedValue, ServiceInfo,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::answers::{digests, receipt};
use crate::log::Log;
use crate::queries::{credential_query, refusal, second_create};
use crate::world::{Fixed, PERIOD, START, World, fixed};
use crate::{actions, forms, tree};

#[derive(Serialize)]
struct VaultMessage {
    key: Blob,
    sealed: Blob,
}

#[derive(Serialize)]
struct WorkspaceKeyMessage {
    wrapped: Blob,
}

#[derive(Serialize)]
struct SealingKeyMessage {
    public: Digest,
    wrapped: Blob,
}

fn request(world: &World) -> CommandRequest {
    let command = world.command(4, actions::create(world));
    let sealed = world.seal("STRIPE_KEY", 1, actions::VALUE);
    let data_key = Key::new(sealed.data_key);
    let key = world.session.keys.seal(
        Direction::ToLedger,
        &command.id,
        0,
        &data_key,
        fixed("to ledger nonce"),
    );
    CommandRequest {
        seen: TreeSize(3),
        values: vec![SealedValue {
            key: key.into(),
            sealed: sealed.bytes.into(),
        }],
        command: cose::sign(&command, &world.alice).into(),
    }
}

/// The reply to alice's reveal of the third version.
fn done(world: &World, log: &Log) -> CommandReply {
    let (index, entry) = log.reveal();
    let id = Recorded::decode_strict(Index(index), entry)
        .expect("our own entry")
        .command
        .command()
        .id;
    let sealed = world.seal("STRIPE_KEY", 3, actions::VALUE);
    let data_key = Key::new(sealed.data_key);
    let key = world.session.keys.seal(
        Direction::ToClient,
        &id,
        0,
        &data_key,
        fixed("to client nonce"),
    );
    let released = ReleasedValue {
        key: key.into(),
        name: "STRIPE_KEY".parse().expect("a name"),
        sealed: sealed.bytes.into(),
        version: sealed.version,
    };
    CommandReply::Committed(CommittedCommand {
        receipt: receipt(world, log, index),
        released: vec![released],
        consistency: digests(&tree::consistency_hashes(log, 7, log.entries.len())),
    })
}

pub(crate) fn guest(body: Vec<u8>) -> GuestRequest {
    let key = AnswerKey::generate(&mut Fixed(fixed("answer key")));
    GuestRequest {
        key: key.public(),
        body: body.into(),
    }
}

/// The answer that `values.json` shows too.
fn sealed_answer() -> SealedAnswer {
    let request = guest(Vec::new());
    let digest = Digest::of(&cbor::encode(&request));
    let mut ephemeral = Fixed(fixed("ephemeral key of an answer"));
    let (enc, sealed) =
        seal_answer(&request.key, b"an answer", &digest, &mut ephemeral).expect("a usable key");
    SealedAnswer {
        enc,
        sealed: sealed.into(),
    }
}

fn vault_message(world: &World, workspace_key: &Key) -> VaultMessage {
    let sealed = world.seal("STRIPE_KEY", 1, actions::VALUE);
    let context = WrapContext {
        ledger: &world.ledger,
        workspace: &world.workspace,
        secret: sealed.id,
        version: sealed.version,
        epoch: Epoch(1),
        digest: sealed.digest(),
    };
    let key = wrap_key(
        workspace_key,
        &Key::new(sealed.data_key),
        fixed("wrap nonce"),
        &context,
    );
    VaultMessage {
        key: key.into(),
        sealed: sealed.bytes.into(),
    }
}

pub(crate) fn bundle_header(world: &World, log: &Log) -> Header {
    Header {
        ledger: world.ledger,
        workspace: world.workspace.clone(),
        checkpoint: tree::note(world, log, log.entries.len()),
        ledger_key: world.ledger_statement().into(),
    }
}

pub(crate) fn bundle(header: &Header, commits: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_header(&mut bytes, header).expect("written");
    for commit in commits {
        write_commit(&mut bytes, commit).expect("written");
    }
    bytes
}

pub(crate) fn document(world: &World, log: &Log) -> Value {
    let (root, workspace_key) = (
        Key::new(fixed("root key")),
        Key::new(fixed("workspace key")),
    );
    let context = RootContext::Workspace(&world.ledger, &world.workspace, Epoch(1));
    let wrapped = wrap_root(
        &root,
        &workspace_key,
        fixed("workspace key nonce"),
        &context,
    );
    let of_workspace = WorkspaceKeyMessage {
        wrapped: wrapped.into(),
    };
    let (secret, context) = (
        Key::new(world.sealing),
        RootContext::Sealing(&world.ledger, PERIOD),
    );
    let wrapped = wrap_root(&root, &secret, fixed("sealing secret nonce"), &context);
    let public = SealingSecret::new(&secret).expect("a key").public();
    let sealing = SealingKeyMessage {
        public,
        wrapped: wrapped.into(),
    };
    let info = ServiceInfo {
        now: Millis(START + 60_000),
        ledger_key: world.ledger_statement().into(),
        sealing_key: world.sealing_statement().into(),
    };
    let refused = CommandReply::Refused(refusal(world, log, &second_create(world)).into());
    let bare = CommandRequest {
        seen: TreeSize(0),
        values: Vec::new(),
        command: second_create(world).into(),
    };
    json!({
        "about": "Bodies on NATS around the signed forms, what the vault and key streams hold, and a bundle.",
        "seen": 7,
        "forms": [
            forms::plain("request: secret.create", "command-request", &request(world)),
            forms::plain("request without values", "command-request", &bare),
            forms::plain("reply: done, with a released value", "command-reply", &done(world, log)),
            forms::plain("reply: refused", "command-reply", &refused),
            forms::plain("info", "info", &info),
            forms::plain("guest request: info", "guest-request", &guest(Vec::new())),
            forms::plain("guest request: ledger.credential", "guest-request", &guest(credential_query(world))),
            forms::plain("sealed answer", "sealed-answer", &sealed_answer()),
            forms::plain("vault message", "vault-message", &vault_message(world, &workspace_key)),
            forms::plain("workspace key message", "workspace-key-message", &of_workspace),
            forms::plain("sealing key message", "sealing-key-message", &sealing),
        ],
        "root_key": hex::encode(root.bytes()),
        "workspace_key": hex::encode(workspace_key.bytes()),
        "bundle": hex::encode(bundle(&bundle_header(world, log), &log.commits)),
    })
}
