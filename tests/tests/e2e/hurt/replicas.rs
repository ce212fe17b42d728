//! Two and three services on one ledger: any of them takes any command.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use keyroll_client::{Client, ClientError};
use keyroll_client::{Executed, RequestedValue, new_command_id};
use keyroll_core::command::{MemberRecord, MemberRemove, Nothing, Purpose};
use keyroll_core::roles::Role;
use keyroll_core::{Action, Code, Identity, Index};
use keyroll_tests::harness::{Cluster, Replica, demo};
use keyroll_tests::hurt::history::{self, History, subjects};
use keyroll_tests::hurt::linear::{is_linearizable, plant_stale_read};
use keyroll_tests::hurt::{Log, Seeded, rounds, scale, seed};

const CLIENTS: usize = 8;
/// Secrets of one round.
const SECRETS: usize = 6;

async fn make_workspace(client: &Client) {
    let create = Action::WorkspaceCreate(Nothing {});
    client.execute(&demo(), create).await.expect("a workspace");
}

/// One round: 8 clients at once, each making one call after the other. Returns the calls.
async fn round(
    cluster: &Cluster,
    calls: u64,
    numbers: &mut Seeded,
) -> (History, Vec<history::Subject>) {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Box::pin(cluster.client(0, 0)).await);
    }
    let subjects = subjects(&clients[0], &demo(), SECRETS, numbers).await;
    let (clock, happened) = (Instant::now(), Arc::<Mutex<History>>::default());
    let callers: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let share = (calls, numbers.split());
            let notes = (clock, Arc::clone(&happened));
            tokio::spawn(history::call(
                client,
                demo(),
                subjects.clone(),
                share,
                notes,
            ))
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller met what it must not");
    }
    let happened = Arc::into_inner(happened).expect("all callers are done");
    (happened.into_inner().expect("whole"), subjects)
}

/// Checks that the history of each secret is linearizable, and that a stale read put into it is
/// not.
fn judge(happened: &mut History, subjects: &[history::Subject], seed: u64) {
    happened.assert_in_order();
    let mut planted = 0;
    for (number, calls) in &mut happened.calls {
        let first = subjects[*number].first;
        assert!(
            is_linearizable(first, calls),
            "secret {number} cannot be explained, seed {seed}: {calls:?}"
        );
        if plant_stale_read(calls) {
            planted += 1;
            assert!(!is_linearizable(first, calls), "seed {seed}: {calls:?}");
        }
    }
    assert!(planted > 0, "no stale read could be planted");
}

/// Each read model alone gives the same, and equals one rebuilt from the log.
fn assert_same(cluster: &Cluster, replicas: Vec<Replica>) {
    let count = replicas.len();
    for replica in replicas {
        replica.kill();
    }
    let mut digests = Vec::new();
    for number in 0..count {
        let replica = cluster.serve(number, 0, 0);
        let digest = ["projection", "digest", "--json"];
        let digest = cluster.keyroll(digest).run().code(0).json()["digest"].clone();
        let rebuild = ["projection", "rebuild", "--json"];
        let rebuilt = cluster.keyroll(rebuild).run().code(0).json();
        assert_eq!(rebuilt["identical"], true, "{rebuilt}");
        digests.push(digest);
        replica.kill();
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "the read models differ");
}

async fn concurrent_clients(services: usize) {
    let (seed, rounds, calls) = (seed(), rounds(scale(1, 3, 50)), scale(40, 200, 500));
    eprintln!(
        "seed {seed}: {services} services, {CLIENTS} clients, {calls} calls, {rounds} rounds"
    );
    let mut numbers = Seeded::new(seed);
    let cluster = Cluster::start(1, 1);
    let replicas: Vec<Replica> = (0..services)
        .map(|number| cluster.serve(number, 0, 0))
        .collect();
    let client = Box::pin(cluster.client(0, 0)).await;
    make_workspace(&client).await;
    let (mut entries, mut codes) = (0, BTreeMap::<&str, u64>::new());
    let begun = Instant::now();
    for _ in 0..rounds {
        let (mut happened, subjects) = round(&cluster, calls, &mut numbers).await;
        judge(&mut happened, &subjects, seed);
        entries += happened.entries() + subjects.len();
        for (code, count) in happened.codes {
            *codes.entry(code).or_default() += count;
        }
    }
    let took = begun.elapsed();
    let log = Log::fetch(&client, &demo()).await;
    log.commands();
    // All acknowledged entries, the workspace's own, and those without an answer.
    let unheard = codes.get(Code::AuditUnknown.as_str()).copied().unwrap_or(0);
    let told = entries + 1;
    assert!(
        (told..=told + usize::try_from(2 * unheard).expect("few")).contains(&log.len()),
        "{} entries, {told} acknowledged",
        log.len()
    );
    let verify = ["audit", "verify", "--full", "--json"];
    let report = cluster.keyroll(verify).run().code(0).json();
    assert_eq!(report["problems"], serde_json::json!([]), "{report}");
    assert_same(&cluster, replicas);
    eprintln!(
        "{services} services: {rounds} rounds of {CLIENTS} × {calls} in {took:?}, {} entries, {codes:?}",
        log.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_are_as_one() {
    Box::pin(concurrent_clients(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_services_are_as_one() {
    Box::pin(concurrent_clients(3)).await;
}

/// A member that can be removed, with a client at another service than the owner's.
struct Victim {
    client: Client,
    identity: Identity,
}

impl Victim {
    fn add(&self) -> Action {
        Action::MemberAdd(MemberRecord {
            name: "victim".parse().expect("a name"),
            role: Role::Editor,
            member: self.identity.into(),
            expires: None,
            secrets: vec!["*".parse().expect("a pattern")],
        })
    }

    fn remove(&self) -> Action {
        Action::MemberRemove(MemberRemove {
            member: self.identity.into(),
        })
    }

    /// Reveals, and returns the entry; `None` when it was denied.
    async fn reveal(&self, secret: &str) -> Option<Index> {
        let wanted = [RequestedValue {
            name: secret.parse().expect("a name"),
            version: None,
        }];
        let purpose = Purpose::View(Nothing {});
        loop {
            match self.client.reveal(&demo(), &wanted, &purpose, None).await {
                Ok(revealed) => {
                    return Some(
                        revealed
                            .warn(|warning| panic!("a false alarm: {warning}"))
                            .index,
                    );
                }
                Err(error) if error.code() == Code::Denied => return None,
                // On a slow disk: whatever its outcome, the next attempt counts.
                Err(error) => assert!(is_passing(&error), "{}: {error}", error.code()),
            }
        }
    }
}

fn is_passing(error: &ClientError) -> bool {
    let code = error.code();
    matches!(
        code,
        Code::Busy | Code::AuditUnknown | Code::AuditUnavailable
    )
}

/// Has a command carried out, however long the disk takes.
async fn act(client: &Client, action: Action) -> Executed {
    let command = client.sign_command(&demo(), new_command_id(), action);
    loop {
        match client.submit(&demo(), command.clone(), Vec::new()).await {
            Ok(acted) => return acted,
            Err(error) => assert!(is_passing(&error), "{}: {error}", error.code()),
        }
    }
}

/// The member is removed at one service. A reveal at the other that begins after the
/// acknowledgement is refused; a concurrent one is refused, or comes before the removal in the log.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_at_one_service_is_refused_at_the_other_at_once() {
    let races = scale(50, 200, 1_000);
    let cluster = Cluster::start(1, 2);
    let _services = [cluster.serve(0, 0, 0), cluster.serve(1, 1, 0)];
    let owner = Box::pin(cluster.client(0, 0)).await;
    make_workspace(&owner).await;
    cluster
        .keyroll(["secret", "create", "A", "--stdin"])
        .stdin("the value")
        .run()
        .code(0);
    let key = ed25519_dalek::SigningKey::from_bytes(&rand::random());
    let victim = Victim {
        identity: Identity(key.verifying_key().to_bytes()),
        client: Box::pin(cluster.client_as(key, 1, 0)).await,
    };
    let (mut refused, mut beside) = (0, 0);
    for _ in 0..races {
        act(&owner, victim.add()).await;
        assert!(victim.reveal("A").await.is_some(), "a member is shown it");
        let (removed, raced) = tokio::join!(
            async {
                let removed = act(&owner, victim.remove()).await;
                refused += u64::from(victim.reveal("A").await.is_none());
                removed
            },
            victim.reveal("A")
        );
        if let Some(index) = raced {
            beside += 1;
            assert!(index < removed.index, "revealed after the removal");
        }
    }
    assert_eq!(refused, races, "a removed member was shown a value");
    eprintln!(
        "{races} races: {refused} refused after the removal; beside it {beside} came before and {} were refused",
        races - beside
    );
}
