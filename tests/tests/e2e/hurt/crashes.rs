//! The service and nats-server are killed at every step of the write path.

use std::fs;
use std::time::{Duration, Instant};

use keyroll_tests::harness::process::Frozen;
use keyroll_tests::harness::scan::contains;
use keyroll_tests::harness::wait::PATIENCE;
use keyroll_tests::harness::{Cluster, Replica, programs};
use keyroll_tests::hurt::{Crowd, Seeded, Spy, check, rounds, scale, seed};
use tokio::time::sleep;

/// Every failpoint of the service, with the maximum number of visits to wait for.
const POINTS: [(&str, u64); 21] = [
    ("command.verified", 60),
    ("vault.before_store", 12),
    ("objects.sent", 12),
    ("vault.stored", 12),
    ("writer.decided", 30),
    ("log.sent", 30),
    ("writer.appended", 30),
    ("writer.answered", 30),
    ("writer.conflicted", 4),
    ("writer.resolving", 2),
    ("writer.resolved", 1),
    ("writer.superseded", 1),
    ("reveal.before_release", 25),
    ("reveal.released", 25),
    ("service.before_reply", 60),
    ("service.replied", 60),
    ("follower.received", 30),
    ("projection.before_commit", 30),
    ("projection.committed", 30),
    ("follower.folded", 30),
    ("follower.flushed", 1),
];
/// Callers of each shift.
const CALLERS: usize = 12;

/// `just shipped` checks that the program without them has none.
#[test]
fn the_program_under_test_has_every_failpoint() {
    let program = fs::read(programs::keyroll()).expect("the program");
    for (name, _) in POINTS {
        let text = format!("failpoint:{name}");
        assert!(contains(&program, text.as_bytes()), "{name}");
    }
}

/// The condition for a step to be reached at all.
enum Wants {
    /// Work.
    Nothing,
    /// Another service that writes.
    Rival,
    /// A nats-server that is silent for longer than the wait for an acknowledgement: the sent
    /// messages are appended when it continues.
    Silence,
    /// A nats-server that dies with the messages sent to it.
    Death,
}

fn wants(point: &str) -> Wants {
    match point {
        "writer.conflicted" => Wants::Rival,
        "writer.resolving" | "writer.superseded" => Wants::Silence,
        "writer.resolved" => Wants::Death,
        _ => Wants::Nothing,
    }
}

/// Works until the armed service is dead.
async fn until_dead(cluster: &mut Cluster, crowd: &Crowd, replica: &mut Replica, point: &str) {
    let end = Instant::now() + PATIENCE;
    while replica.has_ended().is_none() {
        assert!(
            Instant::now() < end,
            "{point} is never reached; {}",
            replica.stderr()
        );
        match wants(point) {
            Wants::Nothing | Wants::Rival => sleep(Duration::from_millis(5)).await,
            Wants::Silence => {
                sleep(Duration::from_millis(100)).await;
                let frozen = Frozen::new(cluster.server(0));
                sleep(Duration::from_millis(2_300)).await;
                frozen.thaw();
                sleep(Duration::from_millis(800)).await;
            }
            Wants::Death => {
                sleep(Duration::from_millis(100)).await;
                cluster.kill_server(0);
                cluster.restart_server(0);
                sleep(Duration::from_millis(2_800)).await;
            }
        }
    }
    crowd.rest();
    assert!(
        replica
            .stderr()
            .contains(&format!("failpoint:{point} for time")),
        "it ended of something else: {}",
        replica.stderr()
    );
}

async fn killed_at(point: &str, most: u64, kills: u64, numbers: &mut Seeded) {
    let mut cluster = Cluster::start(1, 1);
    let replica = cluster.serve(0, 0, 0);
    let crowd = Crowd::gather(vec![cluster.client(0, 0).await], numbers.any()).await;
    let spy = Spy::at(&cluster, 0, 0).await;
    replica.kill();
    let rival = matches!(wants(point), Wants::Rival).then(|| cluster.serve(1, 0, 0));
    let mut shifts = Vec::new();
    for _ in 0..kills {
        let times = 1 + numbers.below(most);
        let mut replica = cluster.service(0).armed(point, times).start();
        // It may end before it is ready: it follows the log at its start.
        if replica.is_ready() {
            shifts.extend(crowd.work(CALLERS));
        }
        until_dead(&mut cluster, &crowd, &mut replica, point).await;
    }
    drop(rival);
    let last = cluster.serve(0, 0, 0);
    for caller in shifts {
        caller.await.expect("a caller met what it must not");
    }
    let summary = check(&cluster, &crowd, vec![spy]).await;
    assert!(summary.released > 0, "nothing was released: {summary}");
    eprintln!("{point}: killed {kills} times; {summary}");
    drop(last);
}

/// One point after the other; each test takes a part, so that they run in parallel.
async fn killed_at_some(part: usize, parts: usize) {
    let seed = seed();
    let kills = rounds(scale(1, 5, 50));
    let only = std::env::var("KEYROLL_FAULTS_POINT").ok();
    eprintln!("seed {seed}, {kills} kills at each point");
    let mut numbers = Seeded::new(seed);
    for (point, most) in POINTS.into_iter().skip(part).step_by(parts) {
        if only.as_deref().is_none_or(|only| only == point) {
            Box::pin(killed_at(point, most, kills, &mut numbers)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_it_loses_and_doubles_nothing_part_1() {
    killed_at_some(0, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_it_loses_and_doubles_nothing_part_2() {
    killed_at_some(1, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_it_loses_and_doubles_nothing_part_3() {
    killed_at_some(2, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_it_loses_and_doubles_nothing_part_4() {
    killed_at_some(3, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nats_server_killed_nothing_is_lost_or_doubled() {
    let (seed, kills) = (seed(), rounds(scale(3, 15, 50)));
    eprintln!("seed {seed}, {kills} kills of nats-server");
    let mut numbers = Seeded::new(seed);
    let mut cluster = Cluster::start(1, 1);
    let _replica = cluster.serve(0, 0, 0);
    let crowd = Crowd::gather(vec![cluster.client(0, 0).await], numbers.any()).await;
    let spy = Spy::at(&cluster, 0, 0).await;
    let mut shifts = Vec::new();
    for _ in 0..kills {
        shifts.extend(crowd.work(CALLERS));
        sleep(Duration::from_millis(50 + numbers.below(400))).await;
        cluster.kill_server(0);
        crowd.rest();
        cluster.restart_server(0);
    }
    for caller in shifts {
        caller.await.expect("a caller met what it must not");
    }
    let summary = check(&cluster, &crowd, vec![spy]).await;
    eprintln!("nats-server: killed {kills} times; {summary}");
}
