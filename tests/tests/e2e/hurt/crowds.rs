//! Many callers at once, callers that do not read, large bodies: the service stays small, and says
//! `busy` instead of anything else.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyroll_api::client::{NewSecretSpec, Wanted, new_command_id, new_secret_id};
use keyroll_api::query::{Ask, AuditCommits, QUERY_V, Query};
use keyroll_api::reply::{Body, SealedValue};
use keyroll_api::{Client, CommandReply, Reply, subjects};
use keyroll_core::command::{NewSecret, Nothing, Purpose, RevealItem, SecretImport, SecretReveal};
use keyroll_core::crypto::{Direction, Key, SealContext, seal_value};
use keyroll_core::{Action, Code, Digest, Index, TreeSize, Version, WorkspaceName, cbor, cose};
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Cluster, Replica, raw};
use keyroll_tests::hurt::scale;
use tokio::time::sleep;

/// What a service may have in memory, whatever it is asked.
const RESIDENT: u64 = 512 * 1024 * 1024;
/// What is in work, what is being refused, and the rest of the process. A flood that waits in memory
/// comes to more where the scheduler favours who reads.
const FLOODED_MIB: u64 = 256;
/// Callers share connections, as threads of a program do.
const CONNECTIONS: usize = 8;
/// 0.8 MB each: beyond 64 MB waiting for one connection, nats-server hangs up on it.
const IMPORTS: usize = 60;
/// Far above what any answer takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// After this one is asked again: nats-server hangs up on a connection that is not read for 10 s, as
/// happens to a test on a busy machine, and what was on its way is gone.
const AGAIN: Duration = Duration::from_secs(20);

fn demo() -> WorkspaceName {
    "demo".parse().expect("a name")
}

/// A ledger with one service, workspace `demo` and secret `A`.
async fn ledger() -> (Cluster, Replica, Vec<Client>) {
    let cluster = Cluster::start(1, 1);
    let service = cluster.serve(0, 0, 0);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Box::pin(cluster.client(0, 0)).await);
    }
    let create = Action::WorkspaceCreate(Nothing {});
    clients[0].act(&demo(), create).await.expect("a workspace");
    cluster
        .keyroll(["secret", "create", "A", "--stdin"])
        .stdin("the value")
        .run()
        .code(0);
    (cluster, service, clients)
}

/// Watches how much memory a service has, until it is asked for the most.
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

    /// The most, in MiB, after a check that it was not too much.
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

/// Sends the same bytes until they are answered, which is once unless a connection is lost.
async fn answered(client: &Client, subject: String, bytes: Vec<u8>) -> async_nats::Message {
    let (end, bytes) = (Instant::now() + PATIENCE, bytes::Bytes::from(bytes));
    loop {
        let request = async_nats::Request::new()
            .payload(bytes.clone())
            .timeout(Some(AGAIN));
        match client.nats().send_request(subject.clone(), request).await {
            Ok(reply) => return reply,
            Err(error) => assert!(Instant::now() < end, "no answer: {error}"),
        }
    }
}

/// Sends a signed command: its entry, or the code it was refused with.
async fn send(client: &Client, command: &[u8]) -> Result<Index, Code> {
    let reply = answered(client, subjects::command(&demo()), raw::request(command)).await;
    match cbor::decode(&reply.payload).expect("a reply") {
        CommandReply::Done(done) => {
            client
                .check_receipt(&demo(), &done.receipt)
                .expect("a receipt");
            Ok(done.receipt.index)
        }
        CommandReply::Refused(signed) => {
            let opened = cose::open::<Reply>(&signed.0).expect("a signed reply");
            opened.verify().expect("a good signature");
            match opened.payload.body {
                Body::Error(rejection) => Err(rejection.code),
                Body::Answer(_) => panic!("an answer to a command"),
            }
        }
    }
}

fn quantile(times: &mut [Duration], permille: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * permille / 1_000]
}

/// Every caller is told either the value or `busy`, and then comes again.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_callers_are_served_or_told_to_come_again() {
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

/// A page of commits, asked for now.
fn page(client: &Client, cluster: &Cluster) -> Vec<u8> {
    let query = Query {
        v: QUERY_V,
        at: keyroll_api::client::now(),
        ask: Ask::AuditCommits(AuditCommits { first: Index(0) }),
        seen: TreeSize(0),
        ledger: client.ledger(),
        workspace: Some(demo()),
        delegation: None,
    };
    cose::sign(&query, &cluster.owner())
}

/// Somebody asks for page after page of half a megabyte and reads nothing. Others are served.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_up_nobody() {
    let (cluster, service, clients) = ledger().await;
    fill(&clients).await;
    let url = cluster.client_url(0, 0);
    let (user, rest) = url
        .strip_prefix("nats://")
        .and_then(|rest| rest.split_once(':'))
        .expect("a user");
    let (password, address) = rest.split_once('@').expect("a password");
    let scales = Scales::under(&service);
    let mut deaf = TcpStream::connect(address).expect("connected");
    deaf.set_write_timeout(Some(Duration::from_secs(20)))
        .expect("a bound");
    let hello = format!(
        "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\nSUB _INBOX_client.{user}.deaf.* 1\r\n"
    );
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
        // In the end nats-server hangs up on who is so slow.
        if deaf.write_all(&publish).is_err() {
            break;
        }
        asked += 1;
    }
    let purpose = Purpose::Run(Nothing {});
    let wanted = [Wanted {
        name: "A".parse().expect("a name"),
        version: None,
    }];
    let mut busy = 0;
    for number in 0..50 {
        let client = &clients[number % CONNECTIONS];
        // The client comes again by itself when it is told `busy`.
        match client.reveal(&demo(), &wanted, &purpose, None).await {
            Ok(revealed) => assert_eq!(revealed.values[0].value.as_slice(), b"the value"),
            Err(error) => {
                assert_eq!(error.code(), Code::Busy, "{error}");
                busy += 1;
            }
        }
    }
    let most = scales.read();
    drop(deaf);
    eprintln!("{asked} pages asked for and not read: {most} MiB at most, busy {busy} times of 50");
}

/// Says who it is, and gives the connection and its user.
fn plain_connection(cluster: &Cluster) -> (TcpStream, String) {
    let url = cluster.client_url(0, 0);
    let (user, rest) = url
        .strip_prefix("nats://")
        .and_then(|rest| rest.split_once(':'))
        .expect("a user");
    let (password, address) = rest.split_once('@').expect("a password");
    let mut connection = TcpStream::connect(address).expect("connected");
    let hello = format!(
        "CONNECT {{\"verbose\":false,\"headers\":true,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n"
    );
    connection.write_all(hello.as_bytes()).expect("said");
    (connection, user.to_owned())
}

/// Requests as fast as nats-server takes them, faster than they can be refused. Not all are answered,
/// but none stays in memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_does_not_stay_in_memory() {
    let (cluster, service, _clients) = ledger().await;
    let scales = Scales::under(&service);
    let begun = Instant::now();
    let (floods, each) = (4, scale(5_000, 20_000, 20_000));
    let started = (0..floods).map(|number| {
        let (mut connection, user) = plain_connection(&cluster);
        std::thread::spawn(move || {
            let mut answers = connection.try_clone().expect("a handle");
            let heard = std::thread::spawn(move || {
                let (mut heard, mut buffer) = (0_u64, vec![0; 1 << 16]);
                while let Ok(length @ 1..) = answers.read(&mut buffer) {
                    heard += length as u64;
                }
                heard
            });
            let inbox = format!("_INBOX_client.{user}.flood{number}");
            let subscribe = format!("SUB {inbox}.* 1\r\n");
            connection.write_all(subscribe.as_bytes()).expect("said");
            let request = raw::request(&vec![7; 60_000]);
            let head = format!(
                "PUB keyroll.v1.demo.command {inbox}.1 {}\r\n",
                request.len()
            );
            let message = [head.as_bytes(), &request, b"\r\n"].concat();
            // In the end nats-server may hang up on somebody who is so fast.
            let sent = (0..each).take_while(|_| connection.write_all(&message).is_ok());
            let sent = sent.count();
            let _ = connection.shutdown(std::net::Shutdown::Write);
            (sent, heard.join().expect("a reader"))
        })
    });
    let floods: Vec<_> = started.collect();
    let (mut sent, mut heard) = (0, 0);
    for flood in floods {
        let (one, answers) = flood.join().expect("a flood");
        (sent, heard) = (sent + one, heard + answers);
    }
    let took = begun.elapsed();
    until("the service to be at ease", || {
        let reveal = cluster.keyroll(["secret", "reveal", "A"]).run();
        reveal.is_code(0).then_some(())
    });
    let most = scales.read();
    assert!(most < FLOODED_MIB, "{most} MiB in memory");
    assert!(heard > 0, "nobody was told anything");
    eprintln!("{sent} requests of 60 kB in {took:?}: {most} MiB at most");
}

/// An import of 0.8 MB, signed, and its values.
fn import(client: &Client, number: usize) -> (Vec<u8>, Vec<SealedValue>) {
    let (session, command) = (
        client.session(&demo()).expect("a session"),
        new_command_id(),
    );
    let ledger = client.ledger();
    let secrets = (0..13_u32).map(|item| {
        let (id, key) = (new_secret_id().expect("an id"), Key::new([7; 32]));
        let context = SealContext {
            ledger: &ledger,
            workspace: &demo(),
            secret: id,
            version: Version::FIRST,
        };
        let sealed = seal_value(&vec![9; 60_000], &key, [1; 24], &context).expect("sealed");
        let way = Direction::ToLedger;
        let key = session.keys.seal(way, &command, item, &key, [2; 24]);
        let new = NewSecret {
            id,
            name: format!("L{number}x{item}").parse().expect("a name"),
            size: u32::try_from(sealed.len()).expect("a size"),
            hosts: Vec::new(),
            digest: Digest::of(&sealed),
            restricted: false,
            description: "large".parse().expect("a text"),
            rotate_every: None,
        };
        let (key, sealed) = (key.into(), sealed.into());
        (new, SealedValue { key, sealed })
    });
    let (secrets, values) = secrets.unzip();
    let action = Action::SecretImport(SecretImport {
        secrets,
        session: session.reference,
    });
    (client.sign_command(&demo(), command, action), values)
}

/// Large answers and large requests at once, of callers who read: memory stays bounded.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_bounded_together() {
    let (cluster, service, clients) = ledger().await;
    fill(&clients).await;
    let imports = IMPORTS;
    // Before all begins: it keeps the processors busy, and connections would not be read meanwhile.
    let sealed: Vec<_> = (0..imports)
        .map(|number| import(&clients[number % CONNECTIONS], number))
        .collect();
    let scales = Scales::under(&service);
    let pages = scale(200, 400, 400);
    let mut tasks = Vec::new();
    for number in 0..pages {
        let client = clients[number % CONNECTIONS].clone();
        let query = page(&client, &cluster);
        tasks.push(tokio::spawn(async move {
            let reply = answered(&client, subjects::query(&demo()), query).await;
            match cose::open::<Reply>(&reply.payload)
                .expect("a signed reply")
                .payload
                .body
            {
                Body::Answer(_) => "page",
                Body::Error(rejection) => {
                    assert!(
                        matches!(rejection.code, Code::Busy | Code::Stale),
                        "{rejection}"
                    );
                    "busy"
                }
            }
        }));
    }
    for (number, (command, values)) in sealed.into_iter().enumerate() {
        let client = clients[number % CONNECTIONS].clone();
        tasks.push(tokio::spawn(async move {
            match client.submit(&demo(), command, values).await {
                Ok(_) => "import",
                // Not before the client's patience is at its end, on a slow disk.
                Err(error) => {
                    let fine = matches!(
                        error.code(),
                        Code::Busy | Code::AuditUnknown | Code::AuditUnavailable
                    );
                    assert!(fine, "{}: {error}", error.code());
                    "busy"
                }
            }
        }));
    }
    let mut told = BTreeMap::<&str, usize>::new();
    for task in tasks {
        *told
            .entry(task.await.expect("a caller met what it must not"))
            .or_default() += 1;
    }
    let most = scales.read();
    until("the service to be at ease", || {
        cluster
            .keyroll(["secret", "reveal", "A"])
            .run()
            .is_code(0)
            .then_some(())
    });
    eprintln!(
        "{pages} pages and {imports} imports of 0.8 MB at once: {told:?}, {most} MiB at most"
    );
}
