//! Guests reach four subjects, read nothing of each other, and delay nobody who has credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use futures::StreamExt as _;
use keyroll_client::{Client, RequestedValue, Settings};
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::crypto::AnswerKey;
use keyroll_core::{ConnectionKey, Digest, TreeSize, cbor, cose};
use keyroll_tests::harness::wait::{until, within};
use keyroll_tests::harness::{Cluster, Dev, demo, raw};
use keyroll_tests::hurt::scale;
use keyroll_wire::guest::{GuestRequest, SealedAnswer};
use keyroll_wire::query::{LedgerCredential, QUERY_V, Query, Question, WorkspaceList};
use keyroll_wire::reply::{Answer, Reply, ReplyBody, ServiceInfo};
use keyroll_wire::subjects;
use keyroll_wire::time::now;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::{bare, owner};

async fn guest(dev: &Dev) -> async_nats::Client {
    guest_of(dev.nats_url()).await
}

async fn guest_of(nats_url: &str) -> async_nats::Client {
    let options = ConnectOptions::new()
        .custom_inbox_prefix("_INBOX_guest")
        .request_timeout(Some(Duration::from_secs(2)));
    within("a guest", options.connect(nats_url))
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
        member: None,
        workspace: None,
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

/// Guests that ask for credentials until this is dropped: as fast as they can, or 2,000 times a second each. What
/// floods as fast as it can takes the processors of this machine for itself.
struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Flood {
    async fn start(dev: &Dev, guests: usize, paced: bool) -> Self {
        let flood = Self {
            stop: Arc::default(),
            sent: Arc::default(),
        };
        for number in 0..guests {
            let (guest, body) = (guest(dev).await, for_demo(dev));
            let (stop, sent) = (Arc::clone(&flood.stop), Arc::clone(&flood.sent));
            tokio::spawn(async move {
                let request = envelope(body).1;
                let (inbox, mut count) = (format!("_INBOX_guest.flood{number}"), 0_u64);
                while !stop.load(Ordering::Relaxed) {
                    let (inbox, request) = (inbox.clone(), request.clone().into());
                    let sending = guest.publish_with_reply(subjects::CREDENTIAL, inbox, request);
                    if sending.await.is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    count += 1;
                    if paced && count.is_multiple_of(20) {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        flood
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Median and 99th percentile of reveals, one after the other.
async fn reveals(client: &Client, count: usize) -> [Duration; 2] {
    let (mut times, wanted) = (Vec::new(), [wanted("Key")]);
    for _ in 0..count {
        let begun = Instant::now();
        let purpose = Purpose::Run(Nothing {});
        let reveal = Box::pin(client.reveal(&demo(), &wanted, &purpose, None)).await;
        drop(reveal.expect("revealed").warn(|_| {}));
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    [500, 990].map(|permille| times[(times.len() - 1) * permille / 1_000])
}

fn wanted(name: &str) -> RequestedValue {
    RequestedValue {
        name: name.parse().expect("a name"),
        version: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_guests_stops_no_member() {
    let dev = Dev::start();
    dev.create("Key", "value");
    let ann = owner(&dev, "ann");
    bare(&dev, &ann, ["secret", "list"]).run().code(0);
    let settings = Settings {
        nats_url: dev.nats_url().to_owned(),
        nats_creds: None,
        nats_ca: None,
        identity: raw::identity(&ann.home.join("identity.pem")).into(),
        ledger: Some(dev.ledger()),
        home: None,
    };
    let client = within("a client", Box::pin(Client::connect(settings))).await;
    let client = client.expect("connected");
    let count = scale(100, 1_000, 1_000);
    let calm = reveals(&client, count).await;
    let flood = Flood::start(&dev, 4, true).await;
    let flooded = reveals(&client, count).await;
    let sent = flood.sent.load(Ordering::Relaxed);
    println!("reveals, median and p99: {calm:?}; with {sent} requests of guests: {flooded:?}");
    drop(flood);
    let flood = Flood::start(&dev, 4, false).await;
    for _ in 0..5 {
        bare(&dev, &ann, ["secret", "reveal", "Key"])
            .run()
            .code(0)
            .stdout("value");
    }
    let sent = flood.sent.load(Ordering::Relaxed);
    assert!(sent > 1_000, "no flood: {sent}");
    drop(flood);
    // Whoever has no credentials gets them again once the flood is over.
    let vera = dev.member("vera", "viewer", "*");
    until("credentials for a new member", || {
        let list = bare(&dev, &vera, ["secret", "list"]).run();
        list.is_code(0).then_some(())
    });
}

/// Anybody can send requests without a reply subject. They count apart from the attacks of members, and the service
/// answers guests after any number of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_guests_send_wrongly_pages_nobody() {
    let cluster = Cluster::start(1, 1);
    let service = cluster.service(0).with_metrics().ready();
    let guest = guest_of(&cluster.nats_url(0)).await;
    for _ in 0..200 {
        let sent = guest.publish(subjects::INFO, Vec::new().into()).await;
        sent.expect("sent");
    }
    guest.flush().await.expect("flushed");
    let (_, request) = envelope(Vec::new());
    let mut answers = 0;
    while answers < 200 {
        // Between two subscriptions nobody answers: then guests ask again.
        let asked = guest.request(subjects::INFO, request.clone().into()).await;
        answers += usize::from(asked.is_ok());
    }
    let page = service.monitoring().get("/metrics").body;
    let count = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        let count = line.expect("a series").trim().parse::<u64>();
        count.expect("a number")
    };
    assert!(count("keyroll_guest_requests_dropped_total ") > 0, "{page}");
    assert_eq!(count("keyroll_requests_dropped_total "), 0, "{page}");
}
