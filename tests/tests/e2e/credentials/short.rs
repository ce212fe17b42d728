//! Credentials of five seconds: no request is lost while they are renewed.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::Event;
use keyroll_client::{Client, NewSecretSpec, RequestedValue, Settings};
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::{Action, Code};
use keyroll_nats::Creds;
use keyroll_tests::harness::wait::{until, within};
use keyroll_tests::harness::{Cluster, Run, demo};
use keyroll_tests::hurt::scale;
use tokio::sync::mpsc;

/// Seconds that credentials last.
const LIFE: u64 = 5;
const CALLERS: u64 = 64;
const SPARED: &[Code] = &[
    Code::AuditUnavailable,
    Code::AuditUnknown,
    Code::Unreachable,
];

/// The services of a cluster issue short credentials from now on.
fn shorten(cluster: &Cluster) {
    let path = cluster.home().data().join("serve.toml");
    let text = fs::read_to_string(&path).expect("the settings");
    // Before the first table.
    fs::write(&path, format!("credential_seconds = {LIFE}\n{text}")).expect("written");
}

/// The owner with issued credentials, on some servers.
async fn client(cluster: &Cluster, servers: &[usize]) -> Client {
    let settings = Settings {
        nats_url: cluster.nats_urls(servers),
        nats_creds: None,
        nats_ca: None,
        identity: cluster.owner().into(),
        ledger: Some(cluster.ledger()),
        home: None,
    };
    within("a client", Box::pin(Client::connect(settings)))
        .await
        .expect("connected")
}

async fn with_secret(client: &Client) {
    let create = Action::WorkspaceCreate(Nothing {});
    client.execute(&demo(), create).await.expect("a workspace");
    let spec = NewSecretSpec {
        name: "A".parse().expect("a name"),
        description: "".parse().expect("a text"),
        hosts: Vec::new(),
        restricted: false,
        rotate_every: None,
    };
    let created = client
        .create(&demo(), &[(spec, b"the value".as_slice())])
        .await;
    created.expect("a secret");
}

/// Reveals as many callers do, until `done`, and returns how many reveals there were.
/// A server that dies may take an answer with it: those errors are `spared`.
async fn reveal_until(
    client: &Client,
    spared: &'static [Code],
    done: impl Fn(u64) -> bool + Send + Sync + 'static,
) -> u64 {
    let (count, done) = (Arc::<AtomicU64>::default(), Arc::new(done));
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let (client, count, done) = (client.clone(), Arc::clone(&count), Arc::clone(&done));
        callers.push(tokio::spawn(async move {
            let wanted = [RequestedValue {
                name: "A".parse().expect("a name"),
                version: None,
            }];
            while !done(count.load(Ordering::SeqCst)) {
                let purpose = Purpose::Run(Nothing {});
                let reveal = Box::pin(client.reveal(&demo(), &wanted, &purpose, None)).await;
                let reveal = match reveal {
                    // A stream without a leader takes no entry, or it is not known whether it did.
                    Err(error) if spared.contains(&error.code()) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                    other => other.expect("no reveal is lost"),
                };
                let revealed = reveal.warn(|_| {});
                assert_eq!(revealed.values.len(), 1);
                count.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    for caller in callers {
        caller.await.expect("every reveal");
    }
    count.load(Ordering::SeqCst)
}

fn recorded(cluster: &Cluster) -> u64 {
    let log = [
        "audit",
        "log",
        "--json",
        "--action",
        "secret.revealed",
        "--limit",
        "1000000",
    ];
    cluster.keyroll(log).run().code(0).rows().len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reveal_is_lost_while_credentials_are_renewed() {
    let cluster = Cluster::start(1, 1);
    shorten(&cluster);
    let _service = cluster.serve(0, 0, 0);
    let client = client(&cluster, &[0]).await;
    with_secret(&client).await;
    // Long enough for three renewals. A late reveal is an error of the client.
    let (end, least) = (
        Instant::now() + Duration::from_secs(3 * LIFE),
        scale(1_000, 10_000, 10_000),
    );
    let enough = move |count| count >= least && Instant::now() >= end;
    let count = reveal_until(&client, &[], enough).await;
    println!("{count} reveals by {CALLERS} callers");
    assert_eq!(recorded(&cluster), count, "each one once");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reveal_is_lost_when_one_of_three_servers_dies_meanwhile() {
    let mut cluster = Cluster::start(3, 1);
    shorten(&cluster);
    let _service = cluster.service(0).servers(&[0, 1, 2]).ready();
    let client = client(&cluster, &[0, 1, 2]).await;
    with_secret(&client).await;
    let revealing = {
        let client = client.clone();
        let end = Instant::now() + Duration::from_secs(3 * LIFE);
        tokio::spawn(
            async move { reveal_until(&client, SPARED, move |_| Instant::now() >= end).await },
        )
    };
    tokio::time::sleep(Duration::from_secs(LIFE)).await;
    cluster.kill_server(2);
    let mut count = revealing.await.expect("every reveal");
    // Credentials were renewed without that server, too.
    let further = reveal_until(&client, SPARED, |count| count >= CALLERS);
    count += within("further reveals", further).await;
    // A reveal that was sent again is one entry.
    let entries = until("the log", || {
        let log = [
            "audit",
            "log",
            "--json",
            "--action",
            "secret.revealed",
            "--limit",
            "1000000",
        ];
        let run = cluster.keyroll(log).run();
        run.is_code(0).then(|| run.rows().len() as u64)
    });
    assert!(entries >= count, "{entries} entries, {count} reveals");
}

/// nats-server runs, and the service does not.
#[test]
fn a_guest_without_a_service_is_told_so() {
    let cluster = Cluster::start(1, 1);
    let home = cluster.home().scratch().join("ann");
    Run::keyroll(["identity", "new"])
        .env("KEYROLL_HOME", &home)
        .run()
        .code(0);
    Run::keyroll(["secret", "list"])
        .env("KEYROLL_HOME", &home)
        .env("KEYROLL_NATS_URL", cluster.nats_url(0))
        .env("KEYROLL_WORKSPACE", "demo")
        .run()
        .code(7)
        .stderr_has("no keyroll service answers there");
}

/// A client that does nothing for longer than its credentials last.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_client_stays_connected() {
    let cluster = Cluster::start(1, 1);
    shorten(&cluster);
    let _service = cluster.serve(0, 0, 0);
    let client = client(&cluster, &[0]).await;
    with_secret(&client).await;
    tokio::time::sleep(Duration::from_secs(2 * LIFE)).await;
    reveal_until(&client, &[], |count| count >= CALLERS).await;
}

/// The service is away when the credentials end: the client recovers by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_credentials_ended_gets_new_ones() {
    let cluster = Cluster::start(1, 1);
    shorten(&cluster);
    let service = cluster.serve(0, 0, 0);
    let client = client(&cluster, &[0]).await;
    with_secret(&client).await;
    drop(service);
    tokio::time::sleep(Duration::from_secs(LIFE + 1)).await;
    let _service = cluster.serve(0, 0, 0);
    reveal_until(&client, &[], |count| count >= CALLERS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_a_removed_member_ends_with_its_credentials() {
    let cluster = Cluster::start(1, 1);
    shorten(&cluster);
    let _service = cluster.serve(0, 0, 0);
    with_secret(&client(&cluster, &[0]).await).await;
    let (home, file) = (
        cluster.home().scratch().join("vera"),
        cluster.home().path("vera.creds"),
    );
    let made = Run::keyroll(["identity", "new"])
        .env("KEYROLL_HOME", &home)
        .run()
        .code(0)
        .text();
    let key = made.split(' ').next().expect("the public id");
    let vera = |words: &[&str]| {
        Run::keyroll(words)
            .env("KEYROLL_HOME", &home)
            .env("KEYROLL_NATS_URL", cluster.nats_url(0))
            .env("KEYROLL_WORKSPACE", "demo")
            .run()
    };
    cluster
        .keyroll(["member", "add", "vera", key, "--role", "viewer"])
        .run()
        .code(0);
    vera(&["nats", "creds", "--out", &file]).code(0);
    let creds = Creds::load(&PathBuf::from(&file)).expect("credentials");
    let (ended, mut ends) = mpsc::unbounded_channel();
    let options = creds
        .connect_options()
        .custom_inbox_prefix(format!("_INBOX_client.{}", creds.name()))
        .event_callback(move |event| {
            if let Event::ServerError(error) = event {
                let _ = ended.send(error.to_string());
            }
            async {}
        });
    let nats = within("a connection", options.connect(cluster.nats_url(0))).await;
    let nats = nats.expect("connected");
    cluster
        .keyroll(["member", "remove", "vera", "--yes"])
        .run()
        .code(0);
    vera(&["secret", "list"]).code(4);
    let error = within("the end of the connection", ends.recv())
        .await
        .expect("an error");
    assert!(error.to_lowercase().contains("expired"), "{error}");
    drop(nats);
    // A JWT counts in whole seconds.
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The JWT has ended: it is refused, and its bearer is not made a guest.
    let again = creds.connect_options().connect(cluster.nats_url(0)).await;
    let again = again.expect_err("an expired JWT").to_string();
    assert!(again.contains("authorization violation"), "{again}");
}
