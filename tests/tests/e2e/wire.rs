//! The service as any NATS client meets it: good requests, bad bytes, hostile reply subjects.

use async_nats::Message;
use futures::StreamExt as _;
use keyroll_api::client::now;
use keyroll_api::query::MemberList;
use keyroll_api::reply::Done;
use keyroll_api::{Ask, CommandRequest, Query};
use keyroll_core::command::{
    KeyErase, MemberRecord, Nothing, Purpose, RevealItem, SecretRef, SecretReveal,
};
use keyroll_core::{
    Action, Blob, Code, Command, Epoch, Identity, LedgerId, Millis, SecretId, TreeSize, cbor, cose,
};
use keyroll_tests::harness::nats::next;
use keyroll_tests::harness::raw::{self, done, refusal, refused_as};
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Dev, Nats};
use serde_json::{Value, json};

const COMMAND: &str = "keyroll.v1.demo.command";
const QUERY: &str = "keyroll.v1.demo.query";

/// The id of a secret, and a command that deletes it.
fn deletion(dev: &Dev, name: &str) -> Action {
    let shown = dev
        .keyroll(["secret", "show", name, "--json"])
        .run()
        .code(0)
        .json();
    let id: SecretId = shown["id"].as_str().expect("an id").parse().expect("an id");
    Action::SecretDelete(SecretRef {
        id,
        name: name.parse().expect("a name"),
    })
}

fn query(dev: &Dev) -> Query {
    Query {
        v: 1,
        at: now(),
        ask: Ask::MemberList(MemberList {
            limit: 100,
            ..MemberList::default()
        }),
        seen: TreeSize(0),
        ledger: dev.ledger(),
        workspace: Some("demo".parse().expect("a name")),
        delegation: None,
    }
}

/// Bytes that are no form at all, or not the one encoding of one.
fn malformed(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut flipped = good.to_vec();
    flipped[0] ^= 0x20;
    let deep = |open: u8, depth: usize| [vec![open; depth], vec![0x00]].concat();
    let deep_map: Vec<u8> = [0xa1, 0x61, b'a']
        .repeat(200_000)
        .into_iter()
        .chain([0])
        .collect();
    vec![
        ("nothing", vec![]),
        ("text", b"delete everything".to_vec()),
        ("zeros", vec![0; 1_000]),
        ("break", vec![0xff]),
        ("cut", good[..good.len() - 1].to_vec()),
        ("more", [good, &[0]].concat()),
        ("another first byte", flipped),
        ("deep arrays", deep(0x81, 500_000)),
        ("deep tags", deep(0xc1, 500_000)),
        ("deep maps", deep_map),
        ("deep, open", deep(0x9f, 500_000)),
        ("a tag in front", [&[0xd8, 0x2a], good].concat()),
        (
            "an array of 2^64",
            vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        (
            "bytes of 2^63",
            vec![0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        ("a float", vec![0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]),
        ("null", vec![0xf6]),
        ("an empty map", vec![0xa0]),
        ("text that is not UTF-8", vec![0xa1, 0x62, 0xff, 0xfe, 0x00]),
    ]
}

/// The same request in other encodings of CBOR: none is the one.
fn not_canonical(dev: &Dev, command: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| ciborium::Value::Text(text.to_owned());
    let encode = |pairs: Vec<(ciborium::Value, ciborium::Value)>| {
        let mut bytes = Vec::new();
        ciborium::into_writer(&ciborium::Value::Map(pairs), &mut bytes).expect("encoded");
        bytes
    };
    let field = |name: &str, value: ciborium::Value| (text(name), value);
    let signed = || field("command", ciborium::Value::Bytes(command.to_vec()));
    let seen = || field("seen", 0.into());
    let values = || field("values", ciborium::Value::Array(vec![]));
    let good = encode(vec![seen(), values(), signed()]);
    assert_eq!(
        good,
        raw::request(command),
        "the canonical form of {}",
        dev.ledger()
    );
    let long_zero = {
        let at = good
            .windows(5)
            .position(|part| part == b"\x64seen")
            .expect("seen")
            + 5;
        [&good[..at], &[0x18, 0x00], &good[at + 1..]].concat()
    };
    let open_map = [&[0xbf], &good[1..], &[0xff]].concat();
    vec![
        (
            "fields in another order",
            encode(vec![signed(), seen(), values()]),
        ),
        (
            "a field twice",
            encode(vec![seen(), seen(), values(), signed()]),
        ),
        (
            "a field too many",
            encode(vec![
                seen(),
                values(),
                signed(),
                field("comment", text("hello")),
            ]),
        ),
        ("a field missing", encode(vec![seen(), values()])),
        ("a default left out", encode(vec![signed()])),
        ("a number too long", long_zero),
        ("an open map", open_map),
        (
            "text for bytes",
            encode(vec![seen(), values(), field("command", text("x"))]),
        ),
        (
            "a negative size",
            encode(vec![field("seen", (-1).into()), values(), signed()]),
        ),
    ]
}

async fn ask(nats: &Nats, subject: &str, payload: &[u8]) -> Message {
    nats.request(subject, payload).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bytes_are_refused_and_the_service_goes_on() {
    let dev = Dev::start();
    dev.create("A", "value");
    let before = dev.audit();
    let nats = dev.nats().await;
    let ledger = raw::online_key(&dev, &nats).await;
    let command = cose::sign(&dev.command(deletion(&dev, "A")), &dev.owner());
    let good = raw::request(&command);
    for (what, bytes) in malformed(&good)
        .into_iter()
        .chain(not_canonical(&dev, &command))
    {
        // A request that cannot be read is named by its own bytes.
        let rejection = refused_as(
            &ask(&nats, COMMAND, &bytes).await,
            ledger,
            &bytes,
            Code::Malformed,
        );
        assert!(
            rejection.message.len() < 500 && !rejection.message.is_empty(),
            "{what}: {rejection}"
        );
    }
    for (_, bytes) in malformed(&command) {
        let carried = raw::request(&bytes);
        let rejection = refusal(&ask(&nats, COMMAND, &carried).await, ledger, &bytes);
        assert!(
            matches!(rejection.code, Code::Malformed | Code::TooLarge),
            "{rejection}"
        );
    }
    let asked = cose::sign(&query(&dev), &dev.owner());
    for (_, bytes) in malformed(&asked) {
        let rejection = refusal(&ask(&nats, QUERY, &bytes).await, ledger, &bytes);
        assert!(
            matches!(rejection.code, Code::Malformed | Code::TooLarge),
            "{rejection}"
        );
    }
    // One form is not taken for another.
    let bytes = raw::request(&asked);
    refused_as(
        &ask(&nats, COMMAND, &bytes).await,
        ledger,
        &asked,
        Code::Malformed,
    );
    refused_as(
        &ask(&nats, QUERY, &command).await,
        ledger,
        &command,
        Code::Malformed,
    );
    assert_eq!(dev.audit(), before);
    // Nothing was wrong with the request itself.
    done(&ask(&nats, COMMAND, &good).await);
    dev.verifies();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_bit_of_a_signed_command_is_refused() {
    let dev = Dev::start();
    dev.create("A", "value");
    let before = dev.audit();
    let nats = dev.nats().await;
    let ledger = raw::online_key(&dev, &nats).await;
    let command = cose::sign(&dev.command(deletion(&dev, "A")), &dev.owner());
    let asked = |at: usize| {
        let mut flipped = command.clone();
        flipped[at] ^= 1 << (at % 8);
        let nats = &nats;
        async move { (nats.request(COMMAND, raw::request(&flipped)).await, flipped) }
    };
    let replies: Vec<_> = futures::stream::iter((0..command.len()).map(asked))
        .buffered(64)
        .collect()
        .await;
    for (reply, flipped) in replies {
        let rejection = refusal(&reply, ledger, &flipped);
        let expected = [
            Code::Malformed,
            Code::BadSignature,
            Code::InvalidName,
            Code::WrongWorkspace,
            Code::UpgradeNeeded,
        ];
        assert!(expected.contains(&rejection.code), "{rejection}");
    }
    assert_eq!(dev.audit(), before);
    done(&ask(&nats, COMMAND, &raw::request(&command)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_requests_are_refused() {
    let dev = Dev::start();
    let nats = dev.nats().await;
    let ledger = raw::online_key(&dev, &nats).await;
    let limit = keyroll_core::limits::REQUEST_BYTES;
    for size in [limit + 1, 1024 * 1024] {
        let bytes = vec![0x5a; size];
        refused_as(
            &ask(&nats, COMMAND, &bytes).await,
            ledger,
            &bytes,
            Code::TooLarge,
        );
        refused_as(
            &ask(&nats, QUERY, &bytes).await,
            ledger,
            &bytes,
            Code::TooLarge,
        );
    }
    let long = vec![0xd2; keyroll_core::limits::COMMAND_BYTES + 1];
    refused_as(
        &ask(&nats, COMMAND, &raw::request(&long)).await,
        ledger,
        &long,
        Code::TooLarge,
    );
    dev.create("A", "value");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn commands_for_others_old_ones_and_forged_ones_are_refused() {
    let dev = Dev::start();
    dev.create("A", "value");
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    let before = dev.audit();
    let nats = dev.nats().await;
    let ledger = raw::online_key(&dev, &nats).await;
    let owner = dev.owner();
    let stranger = raw::identity(&dev.person("stranger").home.join("identity.pem"));
    let good = dev.command(deletion(&dev, "A"));
    let refused = async |command: &Command, subject: &str, code: Code| {
        let bytes = cose::sign(command, &owner);
        refused_as(
            &ask(&nats, subject, &raw::request(&bytes)).await,
            ledger,
            &bytes,
            code,
        )
    };
    let wrong = Command {
        ledger: LedgerId([7; 32]),
        ..good.clone()
    };
    refused(&wrong, COMMAND, Code::WrongLedger).await;
    refused(&good, "keyroll.v1.other.command", Code::WrongWorkspace).await;
    refused(&good, "keyroll.v1.Bad_name.command", Code::InvalidName).await;
    refused(&good, "keyroll.v1._ledger.command", Code::InvalidName).await;
    let nowhere = Command {
        workspace: "nowhere".parse().unwrap(),
        ..good.clone()
    };
    refused(&nowhere, "keyroll.v1.nowhere.command", Code::NotFound).await;
    for apart in [61_500_i64, 3_600_000, -61_500, -3_600_000] {
        let at = Millis(now().0.checked_add_signed(apart).expect("a time"));
        refused(&Command { at, ..good.clone() }, COMMAND, Code::Stale).await;
    }
    for at in [Millis(0), Millis(u64::MAX)] {
        refused(&Command { at, ..good.clone() }, COMMAND, Code::Stale).await;
    }
    refused(
        &Command {
            v: 2,
            ..good.clone()
        },
        COMMAND,
        Code::UpgradeNeeded,
    )
    .await;
    let with_delegation = Command {
        delegation: Some(Blob(b"none".to_vec())),
        ..good.clone()
    };
    refused(&with_delegation, COMMAND, Code::Malformed).await;
    // What is the ledger's own to do, an owner may not.
    let own = Action::KeyErase(KeyErase { epoch: Epoch(1) });
    assert_eq!(refusal_of(&dev, &nats, ledger, own).await, None);

    // Signed by a stranger, in the stranger's name and in the owner's.
    let bytes = cose::sign(&good, &stranger);
    refused_as(
        &ask(&nats, COMMAND, &raw::request(&bytes)).await,
        ledger,
        &bytes,
        Code::Denied,
    );
    let mut forged = bytes.clone();
    let (theirs, ours) = (
        stranger.verifying_key().to_bytes(),
        owner.verifying_key().to_bytes(),
    );
    let at = forged
        .windows(32)
        .position(|part| part == theirs)
        .expect("the key id");
    forged[at..at + 32].copy_from_slice(&ours);
    refused_as(
        &ask(&nats, COMMAND, &raw::request(&forged)).await,
        ledger,
        &forged,
        Code::BadSignature,
    );

    // A value nobody named, and a size nobody can have seen.
    let bytes = cose::sign(&good, &owner);
    let value = keyroll_api::reply::SealedValue {
        key: Blob(vec![1; 72]),
        sealed: Blob(vec![2; 329]),
    };
    let request = CommandRequest {
        seen: TreeSize(0),
        values: vec![value],
        command: Blob(bytes.clone()),
    };
    refused_as(
        &ask(&nats, COMMAND, &cbor::encode(&request)).await,
        ledger,
        &bytes,
        Code::InvalidField,
    );
    for seen in [before.len() as u64 + 10, u64::MAX] {
        let request = CommandRequest {
            seen: TreeSize(seen),
            values: vec![],
            command: Blob(bytes.clone()),
        };
        refused_as(
            &ask(&nats, COMMAND, &cbor::encode(&request)).await,
            ledger,
            &bytes,
            Code::Rollback,
        );
    }
    let denied = dev.audit().len() - before.len();
    assert_eq!(
        denied,
        dev.audit()
            .iter()
            .filter(|row| row["type"] == "access.denied")
            .count()
    );
    done(&ask(&nats, COMMAND, &raw::request(&bytes)).await);
    dev.verifies();
}

/// The code of a refusal, or none when it became an entry (which then says that it was denied).
async fn refusal_of(dev: &Dev, nats: &Nats, ledger: Identity, action: Action) -> Option<Code> {
    let bytes = cose::sign(&dev.command(action), &dev.owner());
    let reply = ask(nats, COMMAND, &raw::request(&bytes)).await;
    if reply
        .headers
        .as_ref()
        .is_some_and(|headers| headers.get("Nats-Service-Error").is_some())
    {
        return Some(refusal(&reply, ledger, &bytes).code);
    }
    let entry: keyroll_core::Entry = cbor::decode(&done(&reply).receipt.entry.0).expect("an entry");
    assert!(
        matches!(entry.events[0], keyroll_core::Event::AccessDenied(_)),
        "{:?}",
        entry.events
    );
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_takes_effect_once_however_often_it_is_sent() {
    let dev = Dev::start();
    dev.create("A", "value");
    let nats = dev.nats().await;
    let ledger = raw::online_key(&dev, &nats).await;
    let command = dev.command(deletion(&dev, "A"));
    let bytes = cose::sign(&command, &dev.owner());
    let request = raw::request(&bytes);
    let send = |_| ask(&nats, COMMAND, &request);
    let replies: Vec<Message> = futures::future::join_all((0..20).map(send)).await;
    let receipts: Vec<Done> = replies.iter().map(done).collect();
    assert!(
        receipts
            .iter()
            .all(|done| done.receipt.index == receipts[0].receipt.index)
    );
    assert!(
        receipts
            .iter()
            .all(|done| done.receipt.entry == receipts[0].receipt.entry)
    );
    assert_eq!(dev.audit().len(), 3);

    // Also much later, when everything around has changed, and after a restart.
    dev.keyroll(["secret", "restore", "A"]).run().code(0);
    assert_eq!(
        done(&send(0).await).receipt.entry,
        receipts[0].receipt.entry
    );
    let home = dev.stop();
    let dev = Dev::start_in(home);
    let nats = dev.nats().await;
    assert_eq!(
        done(&ask(&nats, COMMAND, &request).await).receipt.entry,
        receipts[0].receipt.entry
    );
    assert_eq!(dev.audit().len(), 4);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("value");

    // The same id with other bytes is a conflict; somebody else's id is nobody's business.
    let other = Command {
        at: Millis(command.at.0 + 1),
        ..command.clone()
    };
    let bytes = cose::sign(&other, &dev.owner());
    refused_as(
        &ask(&nats, COMMAND, &raw::request(&bytes)).await,
        ledger,
        &bytes,
        Code::Conflict,
    );
    let bob = dev.member("bob", "editor", "*");
    let key = raw::identity(&bob.home.join("identity.pem"));
    let theirs = cose::sign(
        &Command {
            at: now(),
            ..command
        },
        &key,
    );
    let entry = done(&ask(&nats, COMMAND, &raw::request(&theirs)).await).receipt;
    assert_eq!(entry.index.0, dev.audit().len() as u64 - 1);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(3)
        .error_code("deleted");
    dev.verifies();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_reveal_brings_the_receipt_and_no_value() {
    let dev = Dev::start();
    dev.create("A", "value");
    let nats = dev.nats().await;
    let action = reveal_of(&dev, "A").await;
    let request = raw::signed(&dev.command(action), &dev.owner());
    let first = done(&ask(&nats, COMMAND, &request).await);
    assert_eq!(first.released.len(), 1);
    let again = done(&ask(&nats, COMMAND, &request).await);
    assert_eq!(
        (again.released.len(), again.receipt.entry),
        (0, first.receipt.entry)
    );
    assert_eq!(dev.audit().len(), 3);
}

/// A reveal under a session that only its maker could read the answer of.
async fn reveal_of(dev: &Dev, name: &str) -> Action {
    let identity = dev.owner();
    let settings = keyroll_api::Settings {
        nats_url: dev.nats_url().to_owned(),
        identity: identity.into(),
        ledger: Some(dev.ledger()),
        home: None,
    };
    let client = keyroll_api::Client::connect(settings)
        .await
        .expect("connected");
    let session = client
        .session(&"demo".parse().expect("a name"))
        .expect("a session");
    let item = RevealItem {
        id: None,
        name: name.parse().expect("a name"),
        version: None,
    };
    let reveal = SecretReveal {
        names: vec![item],
        reason: None,
        purpose: Purpose::View(Nothing {}),
        session: session.reference,
    };
    Action::SecretReveal(reveal)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_command_works_from_any_client() {
    let dev = Dev::start();
    dev.create("A", "value");
    let shown = dev
        .keyroll(["secret", "show", "A", "--json"])
        .run()
        .code(0)
        .json();
    let fields = json!({"id": shown["id"], "name": "A"}).to_string();
    let sign = |action: &str| {
        dev.keyroll(["command", "sign", action])
            .stdin(&fields)
            .run()
            .code(0)
            .quiet()
    };
    let nats = dev.nats().await;
    let delete = sign("secret.delete");
    let receipt = done(&ask(&nats, COMMAND, delete.bytes()).await).receipt;
    assert_eq!(receipt.index.0, 2);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(3)
        .error_code("deleted");

    // Without a reply subject it is carried out all the same.
    let restore = sign("secret.restore");
    nats.client
        .publish(COMMAND, restore.bytes().to_vec().into())
        .await
        .expect("published");
    until("the entry of a command that nobody waits for", || {
        (dev.audit().last()?["type"] == "secret.restored").then_some(())
    });
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("value");

    // What was signed can be looked at, and says whose it is.
    let opened = dev
        .keyroll(["command", "open", "--json"])
        .stdin(delete.bytes())
        .run()
        .code(0)
        .json();
    assert_eq!(opened["command"]["signature"], "valid", "{opened}");
    assert_eq!(
        opened["command"]["payload"]["action"]["secret.delete"]["name"], "A",
        "{opened}"
    );
    let mut broken = delete.bytes().to_vec();
    *broken.last_mut().expect("bytes") ^= 1;
    let opened = dev
        .keyroll(["command", "open", "--json"])
        .stdin(&broken)
        .run()
        .code(0)
        .json();
    assert_eq!(opened["command"]["signature"], "INVALID", "{opened}");
    dev.keyroll(["command", "open"])
        .stdin("nonsense")
        .run()
        .code(1)
        .error_code("malformed");
    dev.keyroll(["command", "sign", "secret.steal"])
        .stdin("{}")
        .run()
        .code(2)
        .error_code("usage");
    dev.keyroll(["command", "sign", "secret.delete"])
        .stdin("{\"id\":")
        .run()
        .code(2)
        .error_code("usage");
    let create = dev
        .keyroll(["command", "sign", "secret.delete"])
        .stdin("{\"id\": \"x\", \"name\": \"a b\"}")
        .run();
    create.code(2).error_code("usage").lacks("a b");
    dev.verifies();
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn hostile_reply_subjects_reach_nothing() {
    let dev = Dev::start();
    dev.create("A", "value");
    let nats = dev.nats().await;
    let operator = dev.nats_as("operator").await;
    let mut everything = operator.subscribe(">").await;
    let command = |_| raw::signed(&dev.command(Action::MemberAdd(some_member())), &dev.owner());
    let subjects = [
        "$JS.API.STREAM.DELETE.KEYROLL_VAULT",
        "$JS.API.STREAM.PURGE.KEYROLL_VAULT",
        "$JS.API.STREAM.UPDATE.KEYROLL_LOG",
        "keyroll.log.demo",
        "keyroll.vault.demo.aa.1",
        "keyroll.keys.demo.2",
        "keyroll.v1.demo.command",
        "keyroll.events.demo.secret.created",
        "$SYS.REQ.SERVER.PING",
        "_INBOX_service.x",
        "_INBOX_client",
        "_INBOX_client.dev",
    ];
    for (number, subject) in subjects.iter().enumerate() {
        let asked = raw::signed(
            &dev.command(Action::WorkspaceCreate(Nothing {})),
            &dev.owner(),
        );
        for payload in [asked, command(number), b"garbage".to_vec()] {
            // The client's user may not even ask with some of them: then nothing arrives at all.
            let sent =
                nats.client
                    .publish_with_reply(COMMAND, (*subject).to_owned(), payload.into());
            sent.await.expect("sent");
        }
        let asked = cose::sign(&query(&dev), &dev.owner());
        let sent = nats
            .client
            .publish_with_reply(QUERY, (*subject).to_owned(), asked.into());
        sent.await.expect("sent");
        let sent = nats
            .client
            .publish_with_reply("$SRV.PING", (*subject).to_owned(), "".into());
        sent.await.expect("sent");
    }
    // Requests are taken in order: when this one is answered, so are those before it.
    done(
        &ask(
            &nats,
            COMMAND,
            &raw::signed(&dev.command(deletion(&dev, "A")), &dev.owner()),
        )
        .await,
    );
    dev.keyroll(["secret", "restore", "A"]).run().code(0);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("value");
    dev.verifies();
    let rows: Vec<Value> = dev.audit();
    assert!(
        rows.iter().all(|row| row["type"] != "member.added"),
        "a request with such a reply was carried out"
    );
    // In the streams' account nothing was heard but the ledger's own work.
    operator.settled().await;
    let mut heard = Vec::new();
    while let Some(Some(message)) = futures::FutureExt::now_or_never(everything.next()) {
        let delivered = message
            .reply
            .is_some_and(|reply| reply.starts_with("$JS.ACK."));
        // A consumer is sent messages under the subject they were published on.
        if !delivered {
            heard.push(message.subject.to_string());
        }
    }
    assert!(
        heard.iter().any(|subject| subject == "keyroll.log.demo"),
        "{heard:?}"
    );
    for subject in &heard {
        let harmless = [
            "keyroll.log.demo",
            "_INBOX_",
            "_R_.",
            "$JS.API.STREAM.MSG.GET.",
            "$JS.API.DIRECT.GET.",
            "$JS.ACK.",
        ];
        let more = [
            "$JS.API.STREAM.INFO.",
            "$JS.API.CONSUMER.",
            "$JS.API.INFO",
            "$JS.EVENT.ADVISORY.",
        ];
        let known = harmless
            .iter()
            .chain(&more)
            .any(|start| subject.starts_with(start));
        assert!(
            known && !subject.contains("DELETE.KEYROLL_VAULT"),
            "{heard:?}"
        );
    }
    let log_messages = heard
        .iter()
        .filter(|subject| *subject == "keyroll.log.demo")
        .count();
    assert_eq!(
        log_messages,
        rows.len() - 2,
        "one message in the log for each entry since, and no other"
    );
}

fn some_member() -> MemberRecord {
    MemberRecord {
        name: "intruder".parse().expect("a name"),
        role: keyroll_core::authorize::Role::Owner,
        member: Identity([9; 32]),
        expires: None,
        secrets: vec![keyroll_core::Glob::any()],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_introduces_itself() {
    let dev = Dev::start();
    let nats = dev.nats().await;
    let ask = async |subject: &str| -> Value {
        serde_json::from_slice(&nats.request(subject, Vec::new()).await.payload).expect("JSON")
    };
    for subject in ["$SRV.PING", "$SRV.PING.keyroll"] {
        let ping = ask(subject).await;
        assert_eq!(
            (&ping["type"], &ping["name"]),
            (&json!("io.nats.micro.v1.ping_response"), &json!("keyroll"))
        );
    }
    let info = ask("$SRV.INFO.keyroll").await;
    assert_eq!(info["type"], "io.nats.micro.v1.info_response");
    let endpoints = info["endpoints"].as_array().expect("endpoints").iter();
    let mut endpoints: Vec<_> = endpoints
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["subject"].as_str().unwrap(),
            )
        })
        .collect();
    endpoints.sort_unstable();
    assert_eq!(
        endpoints,
        [
            ("command", "keyroll.v1.*.command"),
            ("info", "keyroll.v1._ledger.info"),
            ("query", "keyroll.v1.*.query")
        ]
    );
    dev.create("A", "value");
    dev.keyroll(["secret", "reveal", "None_such"]).run().code(3);
    let stats = ask("$SRV.STATS.keyroll").await;
    let command = stats["endpoints"]
        .as_array()
        .expect("endpoints")
        .iter()
        .find(|one| one["name"] == "command");
    assert!(
        command.expect("the endpoint")["num_requests"].as_u64() >= Some(2),
        "{stats}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_have_an_index_and_a_type_and_nothing_else() {
    let dev = Dev::start();
    let nats = dev.nats().await;
    let mut notices = nats.subscribe("keyroll.events.>").await;
    dev.create("A", "value");
    dev.keyroll(["secret", "edit", "A", "--stdin"])
        .stdin("two")
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "A"]).run().code(0);
    dev.keyroll(["secret", "delete", "A", "--yes"])
        .run()
        .code(0);
    for (index, kind) in [
        (1, "secret.created"),
        (2, "secret.edited"),
        (3, "secret.revealed"),
        (4, "secret.deleted"),
    ] {
        let notice = next(&mut notices).await;
        assert_eq!(
            notice.subject.as_str(),
            format!("keyroll.events.demo.{kind}")
        );
        let body: Value = serde_json::from_slice(&notice.payload).expect("JSON");
        assert_eq!(body, json!({"index": index, "type": kind}));
        assert!(notice.reply.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_reads_neither_log_nor_vault_nor_others_mail() {
    let dev = Dev::start();
    let mut nats = dev.nats().await;
    for subject in [
        "keyroll.log.>",
        "keyroll.vault.>",
        "keyroll.keys.>",
        "keyroll.v1.>",
        "_INBOX_client.>",
        "$JS.>",
        ">",
    ] {
        let _subscriber = nats.client.subscribe(subject).await.expect("sent");
        nats.refused(&format!("subscription to \"{subject}\""))
            .await;
    }
    for subject in [
        "keyroll.log.demo",
        "keyroll.events.demo.secret.created",
        "$JS.API.STREAM.DELETE.KEYROLL_LOG",
    ] {
        nats.client
            .publish(subject, "x".into())
            .await
            .expect("sent");
        nats.refused(&format!("publish to \"{subject}\"")).await;
    }
    dev.create("A", "value");
    dev.verifies();
}
