//! Many callers at once, callers that do not read, large bodies: the service's memory stays small,
//! and its only refusal is `busy`.

mod floods;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyroll_client::Client;
use keyroll_client::{NewSecretSpec, RequestedValue, new_command_id};
use keyroll_core::command::{Nothing, Purpose, RevealItem, SecretReveal};
use keyroll_core::{Action, Code, Index, TreeSize, cbor, cose};
use keyroll_tests::harness::{Cluster, Replica, demo, raw};
use keyroll_tests::hurt::scale;
use keyroll_wire::query::{AuditCommits, QUERY_V, Query, Question};
use keyroll_wire::reply::ReplyBody;
use keyroll_wire::{CommandReply, Reply, subjects};
use tokio::time::sleep;

/// Maximum memory of a service, whatever requests it gets.
const RESIDENT: u64 = 512 * 1024 * 1024;
/// Callers share connections, as threads of a program do.
const CONNECTIONS: usize = 8;
/// Far above the time of any answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// After this time a request is sent again: nats-server closes a connection that is not read for 10
/// s, as happens to a test on a busy machine, and messages on their way are lost.
const AGAIN: Duration = Duration::from_secs(20);

/// A ledger with one service, workspace `demo` and secret `A`.
async fn ledger() -> (Cluster, Replica, Vec<Client>) {
    let cluster = Cluster::start(1, 1);
    let service = cluster.serve(0, 0, 0);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Box::pin(cluster.client(0, 0)).await);
    }
    let create = Action::WorkspaceCreate(Nothing {});
    clients[0]
        .execute(&demo(), create)
        .await
        .expect("a workspace");
    cluster
        .keyroll(["secret", "create", "A", "--stdin"])
        .stdin("the value")
        .run()
        .code(0);
    (cluster, service, clients)
}

/// Samples the memory of a service until its peak is read.
struct Scales {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
}

impl Scales {
    fn under(service: &Replica) -> Self {
        let (stop, most) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (process, stopped, kept) = (service.process(), Arc::clone(&stop), Arc::clone(&most));
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && process.is_alive() {
                kept.fetch_max(process.resident(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { stop, most }
    }

    /// The peak, in MiB, after a check that it was not too much.
    fn read(&self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let most = self.most.load(Ordering::Relaxed);
        assert!(most < RESIDENT, "{} MiB in memory", most >> 20);
        most >> 20
    }
}

/// A reveal of `A`, signed now.
fn reveal(client: &Client) -> Vec<u8> {
    let session = client.session(&demo()).expect("a session");
    let action = Action::SecretReveal(SecretReveal {
        names: vec![RevealItem {
            id: None,
            name: "A".parse().expect("a name"),
            version: None,
        }],
        reason: None,
        purpose: Purpose::Run(Nothing {}),
        session: session.reference,
    });
    client.sign_command(&demo(), new_command_id(), action)
}

/// Sends the same bytes until they are answered: once, unless a connection is lost.
async fn answered(client: &Client, subject: String, bytes: Vec<u8>) -> async_nats::Message {
    let (end, bytes) = (Instant::now() + PATIENCE, bytes::Bytes::from(bytes));
    loop {
        let request = async_nats::Request::new()
            .payload(bytes.clone())
            .timeout(Some(AGAIN));
        let nats = client.nats(Some(&demo())).await.expect("a connection");
        match nats.send_request(subject.clone(), request).await {
            Ok(reply) => return reply,
            Err(error) => assert!(Instant::now() < end, "no answer: {error}"),
        }
    }
}

/// Sends a signed command. Returns its entry, or the code of its refusal.
async fn send(client: &Client, command: &[u8]) -> Result<Index, Code> {
    let reply = answered(client, subjects::command(&demo()), raw::request(command)).await;
    match cbor::decode(&reply.payload).expect("a reply") {
        CommandReply::Committed(done) => {
            client
                .check_receipt(&demo(), &done.receipt)
                .expect("a receipt");
            Ok(done.receipt.index)
        }
        CommandReply::Refused(signed) => {
            let opened = cose::open::<Reply>(&signed.0).expect("a signed reply");
            opened.verify().expect("a good signature");
            match opened.payload.body {
                ReplyBody::Error(rejection) => Err(rejection.code),
                ReplyBody::Answer(_) => panic!("an answer to a command"),
            }
        }
    }
}

fn quantile(times: &mut [Duration], permille: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * permille / 1_000]
}

/// Every caller gets either the value or `busy`, and then retries.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_callers_are_served_or_get_busy() {
    let callers = scale(2_000, 10_000, 10_000);
    let (cluster, service, clients) = ledger().await;
    let scales = Scales::under(&service);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|number| {
            let client = clients[number % CONNECTIONS].clone();
            tokio::spawn(async move {
                let (begun, mut busy) = (Instant::now(), 0_u32);
                loop {
                    match send(&client, &reveal(&client)).await {
                        Ok(index) => return (begun.elapsed(), busy, index),
                        Err(code) => assert_eq!(code, Code::Busy),
                    }
                    busy += 1;
                    sleep(Duration::from_millis(u64::from(50 * busy.min(10)))).await;
                }
            })
        })
        .collect();
    let (mut times, mut busy, mut indexes) = (Vec::new(), 0, Vec::new());
    for task in tasks {
        let (time, told, index) = task.await.expect("a caller met what it must not");
        times.push(time);
        busy += told;
        indexes.push(index);
    }
    let took = begun.elapsed();
    let most = scales.read();
    indexes.sort_unstable();
    indexes.dedup();
    assert_eq!(indexes.len(), callers, "each has an entry of its own");
    cluster
        .keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
    eprintln!(
        "{callers} callers at once: all served in {took:?}, p50 {:?}, p99 {:?}, told busy {busy} times, {most} MiB at most",
        quantile(&mut times, 500),
        quantile(&mut times, 990),
    );
}

/// The same bytes again and again, to either of two services: one entry, and always its receipt.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_sent_ten_thousand_times_is_one_entry() {
    let times = scale(1_000, 10_000, 10_000);
    let (cluster, _service, clients) = ledger().await;
    let _second = cluster.serve(1, 0, 0);
    let command: Arc<[u8]> = reveal(&clients[0]).into();
    let before = clients[0].checkpoint(&demo()).await.expect("a checkpoint");
    let begun = Instant::now();
    let tasks: Vec<_> = (0..times)
        .map(|number| {
            let (client, command) = (clients[number % CONNECTIONS].clone(), Arc::clone(&command));
            tokio::spawn(async move {
                loop {
                    match send(&client, &command).await {
                        Ok(index) => return index,
                        Err(code) => assert_eq!(code, Code::Busy),
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            })
        })
        .collect();
    let mut entries = BTreeMap::<Index, usize>::new();
    for task in tasks {
        let index = task.await.expect("a caller met what it must not");
        *entries.entry(index).or_default() += 1;
    }
    assert_eq!(entries.len(), 1, "{entries:?}");
    let after = clients[0].checkpoint(&demo()).await.expect("a checkpoint");
    assert_eq!(after.1.size, before.1.size + 1, "one entry more");
    eprintln!(
        "one command {times} times in {:?}: one entry",
        begun.elapsed()
    );
}

/// Makes a log with more than one page of commits.
async fn fill(clients: &[Client]) {
    let value = vec![7_u8; 60_000];
    let spec = |number: usize| NewSecretSpec {
        name: format!("F{number}").parse().expect("a name"),
        description: "x".repeat(1_000).parse().expect("a text"),
        hosts: Vec::new(),
        restricted: false,
        rotate_every: None,
    };
    for batch in 0..60 {
        let secrets: Vec<_> = (0..10)
            .map(|number| (spec(10 * batch + number), value.as_slice()))
            .collect();
        let made = clients[batch % CONNECTIONS].create(&demo(), &secrets).await;
        made.expect("created");
    }
}

/// A page of commits, requested now.
fn page(client: &Client, cluster: &Cluster) -> Vec<u8> {
    let query = Query {
        v: QUERY_V,
        at: keyroll_wire::time::now(),
        ask: Question::AuditCommits(AuditCommits { first: Index(0) }),
        seen: TreeSize(0),
        ledger: client.ledger(),
        workspace: Some(demo()),
        member: None,
        delegation: None,
    };
    cose::sign(&query, &cluster.owner())
}

/// A caller requests page after page of half a megabyte and reads nothing. Others are served.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_up_nobody() {
    let (cluster, service, clients) = ledger().await;
    fill(&clients).await;
    let scales = Scales::under(&service);
    let (mut deaf, user) = cluster.plain_connection();
    deaf.set_write_timeout(Some(Duration::from_secs(20)))
        .expect("a bound");
    let hello = format!("SUB _INBOX_client.{user}.deaf.* 1\r\n");
    deaf.write_all(hello.as_bytes()).expect("said");
    let (query, mut asked) = (page(&clients[0], &cluster), 0);
    for number in 0..scale(1_000, 3_000, 3_000) {
        let mut publish = format!(
            "PUB keyroll.v1.demo.query _INBOX_client.{user}.deaf.{number} {}\r\n",
            query.len()
        )
        .into_bytes();
        publish.extend_from_slice(&query);
        publish.extend_from_slice(b"\r\n");
        // In the end nats-server closes such a slow connection.
        if deaf.write_all(&publish).is_err() {
            break;
        }
        asked += 1;
    }
    let purpose = Purpose::Run(Nothing {});
    let wanted = [RequestedValue {
        name: "A".parse().expect("a name"),
        version: None,
    }];
    let mut busy = 0;
    for number in 0..50 {
        let client = &clients[number % CONNECTIONS];
        // The client retries by itself after `busy`.
        match client.reveal(&demo(), &wanted, &purpose, None).await {
            Ok(revealed) => {
                let values = revealed
                    .warn(|warning| panic!("a false alarm: {warning}"))
                    .values;
                assert_eq!(values[0].value.as_slice(), b"the value");
            }
            Err(error) => {
                // On an overloaded machine an acknowledgement is late, too.
                let code = error.code();
                assert!(matches!(code, Code::Busy | Code::AuditUnknown), "{error}");
                busy += 1;
            }
        }
    }
    let most = scales.read();
    drop(deaf);
    eprintln!("{asked} pages asked for and not read: {most} MiB at most, busy {busy} times of 50");
}
