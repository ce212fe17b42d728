//! Guests reach four subjects, read nothing of each other, and delay nobody who has credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::ConnectOptions;
use futures::StreamExt as _;
use keyroll_core::crypto::AnswerKey;
use keyroll_core::{ConnectionKey, Digest, TreeSize, cbor, cose};
use keyroll_tests::harness::wait::{until, within};
use keyroll_tests::harness::{Dev, raw};
use keyroll_wire::guest::{GuestRequest, SealedAnswer};
use keyroll_wire::query::{LedgerCredential, QUERY_V, Query, Question, WorkspaceList};
use keyroll_wire::reply::{Answer, Reply, ReplyBody, ServiceInfo};
use keyroll_wire::subjects;
use keyroll_wire::time::now;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::{bare, owner};

async fn guest(dev: &Dev) -> async_nats::Client {
    let options = ConnectOptions::new()
        .custom_inbox_prefix("_INBOX_guest")
        .request_timeout(Some(Duration::from_secs(2)));
    within("a guest", options.connect(dev.nats_url()))
        .await
        .expect("connected")
}

fn envelope(body: Vec<u8>) -> (AnswerKey, Vec<u8>) {
    let key = AnswerKey::generate(&mut UnwrapErr(SysRng));
    let request = GuestRequest {
        key: key.public(),
        body: body.into(),
    };
    (key, cbor::encode(&request))
}

fn query(dev: &Dev, ask: Question) -> Vec<u8> {
    let query = Query {
        v: QUERY_V,
        at: now(),
        ask,
        seen: TreeSize(0),
        ledger: dev.ledger(),
        workspace: None,
        member: None,
        delegation: None,
    };
    cose::sign(
        &query,
        &raw::identity(&dev.home().data().join("identity.pem")),
    )
}

fn for_demo(dev: &Dev) -> Vec<u8> {
    let ask = Question::LedgerCredential(LedgerCredential {
        connection: ConnectionKey([9; 32]),
        workspaces: vec!["demo".parse().expect("a name")],
    });
    query(dev, ask)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_gets_sealed_answers_on_its_subjects_and_none_on_others() {
    let dev = Dev::start();
    let (ours, other) = (guest(&dev).await, guest(&dev).await);
    let mut overheard = other.subscribe("_INBOX_guest.>").await.expect("subscribed");
    other.flush().await.expect("flushed");
    let (key, request) = envelope(Vec::new());
    let reply = ours
        .request(subjects::INFO, request.clone().into())
        .await
        .expect("an answer");
    let sealed: SealedAnswer = cbor::decode(&reply.payload).expect("sealed");
    let info = key
        .open(&sealed.enc, &sealed.sealed.0, &Digest::of(&request))
        .expect("opened");
    let info: ServiceInfo = cbor::decode(&info).expect("the ledger's keys");
    let body = for_demo(&dev);
    let (key, request) = envelope(body);
    let reply = ours
        .request(subjects::CREDENTIAL, request.clone().into())
        .await;
    let sealed: SealedAnswer = cbor::decode(&reply.expect("an answer").payload).expect("sealed");
    let reply = key
        .open(&sealed.enc, &sealed.sealed.0, &Digest::of(&request))
        .expect("opened");
    let reply = cose::open::<Reply>(&reply).expect("a signed reply").payload;
    let ReplyBody::Answer(answer) = reply.body else {
        panic!("{:?}", reply.body);
    };
    let Answer::LedgerCredential(issued) = *answer else {
        panic!("{answer:?}");
    };
    // Another guest hears both answers, and understands neither.
    for _ in 0..2 {
        let message = within("an answer", overheard.next())
            .await
            .expect("a message");
        let bytes = &message.payload;
        for secret in [issued.jwt.as_bytes(), &info.ledger_key.0] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret));
        }
        cbor::decode::<SealedAnswer>(bytes).expect("sealed");
    }
    let list = query(&dev, Question::WorkspaceList(WorkspaceList::default()));
    for subject in [
        subjects::LEDGER_QUERY,
        "keyroll.v1.demo.query",
        "keyroll.v1.demo.command",
    ] {
        assert!(
            ours.request(subject, list.clone().into()).await.is_err(),
            "{subject}"
        );
    }
    // Without an envelope there is a refusal, and no information.
    let plain = ours
        .request(subjects::INFO, Vec::new().into())
        .await
        .expect("an answer");
    assert!(cbor::decode::<ServiceInfo>(&plain.payload).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_guests_stops_no_member() {
    let dev = Dev::start();
    dev.create("Key", "value");
    let ann = owner(&dev, "ann");
    bare(&dev, &ann, ["secret", "list"]).run().code(0);
    let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let mut floods = Vec::new();
    for number in 0..4 {
        let (guest, body) = (guest(&dev).await, for_demo(&dev));
        let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
        floods.push(tokio::spawn(async move {
            let request = envelope(body).1;
            while !stop.load(Ordering::Relaxed) {
                let inbox = format!("_INBOX_guest.flood{number}");
                let sending =
                    guest.publish_with_reply(subjects::CREDENTIAL, inbox, request.clone().into());
                if sending.await.is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    for _ in 0..20 {
        bare(&dev, &ann, ["secret", "reveal", "Key"])
            .run()
            .code(0)
            .stdout("value");
    }
    assert!(sent.load(Ordering::Relaxed) > 1_000, "a flood");
    stop.store(true, Ordering::Relaxed);
    for flood in floods {
        within("the flood to end", flood).await.expect("no panic");
    }
    // Whoever has no credentials gets them again once the flood is over.
    let vera = dev.member("vera", "viewer", "*");
    until("credentials for a new member", || {
        let list = bare(&dev, &vera, ["secret", "list"]).run();
        list.is_code(0).then_some(())
    });
}
