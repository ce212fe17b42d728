//! Three nats-servers that keep every stream three times; one of them is killed, frozen or cut off
//! from the others under load.

use std::time::Duration;

use keyroll_tests::harness::Cluster;
use keyroll_tests::harness::process::Frozen;
use keyroll_tests::harness::wires::Wire;
use keyroll_tests::hurt::{Crowd, Seeded, Spy, check, rounds, scale, seed};
use tokio::time::sleep;

const CALLERS: usize = 8;

/// The server that leads the log, once one does.
async fn leader(cluster: &Cluster, asked: usize) -> usize {
    for _ in 0..100 {
        if let Some(leader) = cluster.leader_of_log(asked).await {
            return leader;
        }
        sleep(Duration::from_millis(200)).await;
    }
    panic!("the log has no leader");
}

/// The fault of the log's leader.
#[derive(Debug, Clone, Copy)]
enum Hurt {
    /// It dies, and is started again.
    Killed,
    /// It is stopped, and continues later with the messages it held, still believing that it leads.
    Frozen,
    /// It runs, with its clients and its service, but gets nothing from the others: it believes
    /// that it leads, and keeps the messages it gets. When the wires are whole again, the messages
    /// sent meanwhile arrive.
    Unheard,
    /// The same, with connections that are closed.
    CutOff,
}

impl Hurt {
    /// Two are enough: they elect a new leader, and work continues.
    async fn leader(self, cluster: &mut Cluster, hurt: usize) {
        let mut frozen = None;
        match self {
            Self::Killed => cluster.kill_server(hurt),
            Self::Frozen => frozen = Some(Frozen::new(cluster.server(hurt))),
            Self::Unheard => cluster.wire(hurt, Wire::Silent),
            Self::CutOff => cluster.wire(hurt, Wire::Cut),
        }
        sleep(Duration::from_secs(8)).await;
        let next = leader(cluster, (hurt + 1) % 3).await;
        assert_ne!(next, hurt, "another one leads meanwhile");
        match self {
            Self::Killed => cluster.restart_server(hurt),
            Self::Frozen => drop(frozen.map(Frozen::thaw)),
            Self::Unheard | Self::CutOff => cluster.wire(hurt, Wire::Whole),
        }
    }
}

/// Services use two servers; the log's leader fails, again and again, and comes back each time.
async fn nothing_is_lost_or_doubled(hurt: Hurt) {
    let (seed, times) = (seed(), rounds(scale(1, 4, 12)));
    eprintln!("seed {seed}, the leader of three {hurt:?} {times} times");
    let mut numbers = Seeded::new(seed);
    let mut cluster = Cluster::start(3, 1);
    let _services = [cluster.serve(0, 0, 0), cluster.serve(1, 0, 1)];
    let clients = vec![
        Box::pin(cluster.client(0, 0)).await,
        Box::pin(cluster.client(0, 1)).await,
        Box::pin(cluster.client(0, 2)).await,
    ];
    let crowd = Crowd::gather(clients, numbers.any()).await;
    let mut spies = Vec::new();
    for server in 0..3 {
        spies.push(Spy::at(&cluster, 0, server).await);
    }
    let mut shifts = Vec::new();
    for _ in 0..times {
        let leader = leader(&cluster, 0).await;
        shifts.extend(crowd.work(CALLERS));
        sleep(Duration::from_millis(300 + numbers.below(700))).await;
        hurt.leader(&mut cluster, leader).await;
        sleep(Duration::from_secs(3)).await;
        crowd.rest();
    }
    for caller in shifts {
        caller.await.expect("a caller met what it must not");
    }
    let summary = check(&cluster, &crowd, spies).await;
    eprintln!("the leader of three {hurt:?} {times} times; {summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_three_servers_dies_and_nothing_is_lost_or_doubled() {
    nothing_is_lost_or_doubled(Hurt::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_three_servers_stands_still_and_nothing_is_lost_or_doubled() {
    nothing_is_lost_or_doubled(Hurt::Frozen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_three_servers_is_not_heard_and_nothing_is_lost_or_doubled() {
    nothing_is_lost_or_doubled(Hurt::Unheard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_three_servers_is_cut_off_and_nothing_is_lost_or_doubled() {
    nothing_is_lost_or_doubled(Hurt::CutOff).await;
}
