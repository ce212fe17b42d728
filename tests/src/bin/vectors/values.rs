//! Values and keys: sealed, wrapped, and on their way through a session.

use keyroll_core::crypto::{
    AnswerKey, Direction, Key, LedgerSession, RootContext, SealContext, SealingSecret,
    SessionContext, WrapContext, open_value, seal_answer, seal_value, unwrap_key, unwrap_root,
    wrap_key, wrap_root,
};
use keyroll_core::ids::Encapsulated;
use keyroll_core::{CommandId, Digest, Epoch, ObjectId, SecretId, Version, cbor};
use serde::Serialize;
use serde_json::{Value, json};

use crate::wire::guest;
use crate::world::{Fixed, PERIOD, World, fixed, member};

/// A purpose and the values that it is bound to, as the associated data of a seal.
fn context<T: Serialize>(purpose: &str, parts: &T) -> String {
    hex::encode(cbor::encode(&(purpose, parts)))
}

fn sealed(world: &World, name: &str, version: u32, value: &[u8]) -> Value {
    let (secret, version) = (SecretId(fixed(name)), Version(version));
    let (data_key, nonce) = (
        Key::new(fixed(&format!("{name} data key"))),
        fixed(&format!("{name} nonce")),
    );
    let seal = SealContext {
        ledger: &world.ledger,
        workspace: &world.workspace,
        secret,
        version,
    };
    let bytes = seal_value(value, &data_key, nonce, &seal).expect("a value of good length");
    let digest = Digest::of(&bytes);
    let opened = open_value(&bytes, &digest, &data_key, &seal).expect("our own seal opens");
    assert_eq!(*opened, value, "byte for byte");
    json!({
        "name": name,
        "secret": secret,
        "version": version,
        "data_key": hex::encode(data_key.bytes()),
        "nonce": hex::encode(nonce),
        "aad": context("keyroll/value/v1", &(world.ledger, &world.workspace, secret, version)),
        "value": hex::encode(value),
        "sealed": hex::encode(&bytes),
        "digest": digest,
    })
}

fn wrapped(world: &World) -> Value {
    let (wrapping, data_key): (Key, Key) = (
        Key::new(fixed("workspace key")),
        Key::new(fixed("data key")),
    );
    let (secret, digest, nonce) = (
        SecretId(fixed("secret")),
        Digest(fixed("digest")),
        fixed("wrap nonce"),
    );
    let (version, epoch) = (Version(300), Epoch(2));
    let context_of = WrapContext {
        ledger: &world.ledger,
        workspace: &world.workspace,
        secret,
        version,
        epoch,
        digest,
    };
    let bytes = wrap_key(&wrapping, &data_key, nonce, &context_of);
    assert!(
        unwrap_key(&wrapping, &bytes, &context_of).is_ok(),
        "our own wrapping opens"
    );
    let parts = (
        world.ledger,
        &world.workspace,
        secret,
        version,
        epoch,
        digest,
    );
    json!({
        "name": "a data key under a workspace key",
        "under": hex::encode(wrapping.bytes()),
        "nonce": hex::encode(nonce),
        "aad": context("keyroll/wrap/v1", &parts),
        "key": hex::encode(data_key.bytes()),
        "wrapped": hex::encode(bytes),
    })
}

fn under_root(name: &str, key: [u8; 32], of: &RootContext<'_>) -> Value {
    let (root, nonce) = (Key::new(fixed("root key")), fixed(name));
    let bytes = wrap_root(&root, &Key::new(key), nonce, of);
    assert!(
        unwrap_root(&root, &bytes, of).is_ok(),
        "our own wrapping opens"
    );
    let aad = match of {
        RootContext::Workspace(ledger, workspace, epoch) => {
            context("keyroll/workspace-key/v1", &(ledger, workspace, epoch))
        }
        RootContext::Sealing(ledger, period) => {
            context("keyroll/sealing-secret/v1", &(ledger, period))
        }
        RootContext::Passphrase(parameters) => context("keyroll/root-key/v1", &(parameters,)),
    };
    json!({
        "name": name,
        "under": hex::encode(root.bytes()),
        "nonce": hex::encode(nonce),
        "aad": aad,
        "key": hex::encode(key),
        "wrapped": hex::encode(bytes),
    })
}

fn places(world: &World) -> Vec<Value> {
    let place = |item: u32| {
        let (actor, command) = (member(&world.alice), CommandId(fixed("command")));
        let digest = Digest(fixed("digest"));
        let place = ObjectId::of(&actor, &command, item, &digest);
        json!({ "actor": actor, "command": command, "item": item, "digest": digest, "place": place })
    };
    [0, 1, 256].map(place).to_vec()
}

fn session(world: &World) -> Value {
    let secret = SealingSecret::new(&Key::new(world.sealing)).expect("a key");
    let actor = member(&world.alice);
    let of = SessionContext {
        ledger: &world.ledger,
        workspace: &world.workspace,
        actor,
    };
    let enc: Encapsulated = world.session.reference.enc;
    let accepted = LedgerSession::accept(&secret, &enc, &of).expect("our own session");
    let command = CommandId(fixed("command of a session"));
    let item = |direction: Direction, label: &str, item: u32| {
        let name = format!("{label} {item}");
        let (data_key, nonce) = (Key::new(fixed(&name)), fixed(&format!("{name} nonce")));
        let sealed = world
            .session
            .keys
            .seal(direction, &command, item, &data_key, nonce);
        assert!(
            accepted.open(direction, &command, item, &sealed).is_ok(),
            "the other end opens it"
        );
        json!({
            "direction": label,
            "command": command,
            "item": item,
            "info_and_aad": context(&format!("keyroll/{label}/v1"), &(command, item)),
            "data_key": hex::encode(data_key.bytes()),
            "nonce": hex::encode(nonce),
            "sealed": hex::encode(sealed),
        })
    };
    json!({
        "sealing_private": hex::encode(world.sealing),
        "sealing_public": secret.public(),
        "period": PERIOD,
        "actor": actor,
        "info": context("keyroll/session/v1", &(world.ledger, &world.workspace, actor)),
        "ephemeral_ikm": hex::encode(fixed::<32>("session")),
        "enc": enc,
        "items": [
            item(Direction::ToLedger, "to-ledger", 0),
            item(Direction::ToLedger, "to-ledger", 1),
            item(Direction::ToClient, "to-client", 0),
            item(Direction::ToClient, "to-client", 300),
        ],
    })
}

/// The sealed answer to a guest's request of `info`.
fn answer() -> Value {
    let key = AnswerKey::generate(&mut Fixed(fixed("answer key")));
    let (request, answer) = (cbor::encode(&guest(Vec::new())), b"an answer".to_vec());
    let digest = Digest::of(&request);
    let mut ephemeral = Fixed(fixed("ephemeral key of an answer"));
    let (enc, sealed) =
        seal_answer(&key.public(), &answer, &digest, &mut ephemeral).expect("a usable key");
    assert_eq!(key.open(&enc, &sealed, &digest).as_ref(), Ok(&answer));
    json!({
        "key_ikm": hex::encode(fixed::<32>("answer key")),
        "key": key.public(),
        "ephemeral_ikm": hex::encode(fixed::<32>("ephemeral key of an answer")),
        "request": hex::encode(&request),
        "info": context("keyroll/answer/v1", &(digest,)),
        "answer": hex::encode(answer),
        "enc": enc,
        "sealed": hex::encode(sealed),
    })
}

/// Sealed bytes that must not open, each being the first sealed value with one change.
fn refused(world: &World) -> Vec<Value> {
    let good = sealed(world, "a short value", 1, b"hunter2");
    let text = |field: &str| good[field].as_str().expect("hex").to_owned();
    let flip = |at: usize| {
        let mut bytes = hex::decode(text("sealed")).expect("hex");
        bytes[at] ^= 1;
        hex::encode(bytes)
    };
    let secret = good["secret"].clone();
    let aad_of = |version: u32| {
        let id: SecretId = serde_json::from_value(secret.clone()).expect("an id");
        context(
            "keyroll/value/v1",
            &(world.ledger, &world.workspace, id, Version(version)),
        )
    };
    let one = |name: &str, sealed: String, data_key: String, aad: String| json!({ "name": name, "sealed": sealed, "data_key": data_key, "aad": aad });
    let (key, aad) = (text("data_key"), text("aad"));
    vec![
        one("another form", flip(0), key.clone(), aad.clone()),
        one("another commitment", flip(1), key.clone(), aad.clone()),
        one("another nonce", flip(33), key.clone(), aad.clone()),
        one("another ciphertext", flip(57), key.clone(), aad.clone()),
        one("another tag", flip(328), key.clone(), aad.clone()),
        one(
            "another data key",
            text("sealed"),
            hex::encode(fixed::<32>("another data key")),
            aad,
        ),
        one("another version", text("sealed"), key, aad_of(2)),
    ]
}

pub(crate) fn document(world: &World) -> Value {
    json!({
        "about": "Sealed values, wrapped keys, places and a session. Each aad is the deterministic encoding of a \
                  context of value.cddl.",
        "ledger": world.ledger,
        "workspace": world.workspace,
        "sealed": [
            sealed(world, "a short value", 1, b"hunter2"),
            sealed(world, "a value that ends like padding", 2, &[0x80, 0x00, 0x80, 0x00]),
            sealed(world, "the longest of its bucket", 70_000, &[0x41; 255]),
            sealed(world, "the shortest of the next", 1, &[0x42; 256]),
        ],
        "refused": refused(world),
        "wrapped": [
            wrapped(world),
            under_root("a workspace key", fixed("workspace key"), &RootContext::Workspace(&world.ledger, &world.workspace, Epoch(1))),
            under_root("a sealing key", world.sealing, &RootContext::Sealing(&world.ledger, PERIOD)),
            under_root("a root key under a passphrase", fixed("a root key"), &RootContext::Passphrase("the first line of the file")),
        ],
        "places": places(world),
        "session": session(world),
        "answer": answer(),
    })
}
