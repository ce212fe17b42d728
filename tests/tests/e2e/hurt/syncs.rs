//! A disk that accepts bytes and then reports that it could not keep them: fsync fails, of the real
//! nats-server and of the real read model. It takes a kernel that lets an unprivileged process
//! answer for system calls; elsewhere these tests are skipped.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::time::Duration;

use keyroll_tests::harness::home::stream_below;
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Cluster, Replica, Run};
use keyroll_tests::hurt::{Crowd, Seeded, Spy, check, rounds, scale, seed};
use tokio::time::sleep;

const CALLERS: usize = 8;

/// Files of messages, with their sizes.
fn blocks(cluster: &Cluster, stream: &str) -> Vec<(PathBuf, u64)> {
    let server = cluster.home().scratch().join("server-0");
    let messages = stream_below(&server, stream).join("msgs");
    let files = fs::read_dir(&messages).unwrap_or_else(|_| panic!("{}", messages.display()));
    let files = files.map(|file| file.expect("a file").path());
    let blocks = files.filter(|path| path.extension().is_some_and(|end| end == "blk"));
    let sized = |path: PathBuf| {
        let size = fs::metadata(&path).expect("its size").len();
        (path, size)
    };
    blocks.map(sized).collect()
}

/// Cuts the files to the size that a disk has if it never took more.
fn cut(blocks: &[(PathBuf, u64)]) {
    for (path, size) in blocks {
        let file = OpenOptions::new().write(true).open(path);
        file.expect("the block").set_len(*size).expect("cut");
    }
}

/// The disk under nats-server fails while callers are at work. It is started again on the content
/// of the disk: all that was written, or no more than when the disk began to fail.
async fn with_a_broken_disk(stream: &str) {
    let Some(mut cluster) = Cluster::start_breakable() else {
        return;
    };
    let (seed, times) = (seed(), rounds(scale(2, 6, 50)));
    eprintln!("seed {seed}, fsync of {stream} fails {times} times");
    let mut numbers = Seeded::new(seed);
    let service = cluster.serve(0, 0, 0);
    let crowd = Crowd::gather(vec![cluster.client(0, 0).await], numbers.any()).await;
    let spy = Spy::at(&cluster, 0, 0).await;
    let mut shifts = Vec::new();
    for time in 0..times {
        shifts.extend(crowd.work(CALLERS));
        sleep(Duration::from_millis(50 + numbers.below(300))).await;
        cluster.break_disk("server", stream);
        // From here on nothing is acknowledged.
        let kept = blocks(&cluster, stream);
        sleep(Duration::from_millis(300 + numbers.below(2_500))).await;
        crowd.rest();
        cluster.kill_server(0);
        if time % 2 == 0 {
            cut(&kept);
        }
        cluster.mend_disk("server");
        cluster.restart_server(0);
    }
    for caller in shifts {
        caller.await.expect("a caller met what it must not");
    }
    let summary = check(&cluster, &crowd, vec![spy]).await;
    let said = fs::read_to_string(cluster.home().scratch().join("server-0.log"));
    let failed = said.expect("what it said").contains("input/output error");
    assert!(failed, "no fsync has failed");
    eprintln!("fsync of {stream}: failed {times} times; {summary}");
    drop(service);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_log_cannot_be_synced_nothing_is_lost_doubled_or_released_without_entry() {
    Box::pin(with_a_broken_disk("KEYROLL_LOG")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_vault_cannot_be_synced_nothing_is_lost_doubled_or_released_without_entry() {
    Box::pin(with_a_broken_disk("KEYROLL_VAULT")).await;
}

fn reveal(cluster: &Cluster) -> Run {
    cluster.keyroll(["--json", "secret", "reveal", "A"])
}

fn with_secret(cluster: &Cluster) -> Replica {
    let service = cluster.service(0).with_metrics().ready();
    cluster
        .keyroll(["workspace", "create", "demo"])
        .run()
        .code(0);
    let create = ["secret", "create", "A", "--stdin"];
    cluster.keyroll(create).stdin("the value").run().code(0);
    service
}

/// The answers that callers get, step by step.
#[test]
fn while_the_log_cannot_be_synced_no_value_is_released_and_queries_go_on() {
    let Some(mut cluster) = Cluster::start_breakable() else {
        return;
    };
    let _service = with_secret(&cluster);
    cluster.break_disk("server", "KEYROLL_LOG");
    let first = reveal(&cluster).run().code(8).lacks("the value");
    first.error_code("audit_unknown");
    let second = reveal(&cluster).run().code(8).lacks("the value");
    second.error_code("audit_unavailable");
    cluster.keyroll(["secret", "list"]).run().code(0);
    // nats-server stops the stream for good, so a repaired disk is not enough.
    cluster.mend_disk("server");
    reveal(&cluster).run().code(8).lacks("the value");
    cluster.kill_server(0);
    cluster.restart_server(0);
    until("values are released again", || {
        let run = cluster.keyroll(["secret", "reveal", "A"]).run();
        run.is_code(0).then(|| run.stdout("the value"))
    });
    let verify = ["audit", "verify", "--full", "--json"];
    let report = cluster.keyroll(verify).run().code(0).json();
    assert_eq!(report["problems"], serde_json::json!([]), "{report}");
}

/// The read model's disk: the file is opened again until the disk works.
#[test]
fn while_the_read_model_cannot_be_synced_commands_are_refused_and_then_taken_again() {
    let Some(cluster) = Cluster::start_breakable() else {
        return;
    };
    let service = with_secret(&cluster);
    let get = |path| service.monitoring().get(path);
    let said = |status: u16| {
        until("monitoring to be told", || {
            let page = get("/readyz");
            (page.status == status).then_some(page.body)
        })
    };
    said(200);
    for _ in 0..2 {
        cluster.break_disk("replica-0", "ledger.redb");
        until("the failing disk is noticed", || {
            let run = reveal(&cluster).run();
            run.is_code(8)
                .then(|| run.error_code("audit_unavailable").lacks("the value"))
        });
        assert!(said(503).contains("audit_unavailable"));
        assert_eq!(get("/healthz").status, 200);
        assert!(get("/metrics").body.contains("\nkeyroll_ready 0\n"));
        cluster.mend_disk("replica-0");
        until("it goes on by itself", || {
            let run = cluster.keyroll(["secret", "reveal", "A"]).run();
            run.is_code(0).then(|| run.stdout("the value"))
        });
        said(200);
    }
    let verify = ["audit", "verify", "--full", "--json"];
    cluster.keyroll(verify).run().code(0);
    let rebuild = ["projection", "rebuild", "--json"];
    let rebuilt = cluster.keyroll(rebuild).run().code(0).json();
    assert_eq!(rebuilt["identical"], true, "{rebuilt}");
}

/// The stream takes no more writes, and nats-server does not report that: the service reports it,
/// with the stream, the disk and the remedy, until nats-server is started again.
fn is_told_of(stream: &str, write: &[&str]) {
    let Some(mut cluster) = Cluster::start_breakable() else {
        return;
    };
    let service = with_secret(&cluster);
    let ready = |status: u16| {
        until("monitoring to be told", || {
            let found = service.monitoring().get("/readyz").status;
            (found == status).then_some(())
        });
    };
    let problems = |cluster: &Cluster| {
        let status = cluster.keyroll(["status", "--json"]).run().json();
        status["problems"].to_string()
    };
    ready(200);
    cluster.break_disk("server", stream);
    let refused = cluster.keyroll(write).stdin("another").run();
    assert!(!refused.is_code(0), "{refused}");
    ready(503);
    let told = problems(&cluster);
    for words in [
        &format!("stream {stream} takes no writes"),
        "the disk under",
        "server-0/jetstream",
        "restart nats-server",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let figures = service.monitoring().get("/metrics").body;
    assert!(figures.contains("keyroll_ready 0"), "{figures}");
    assert!(!figures.contains("keyroll_problems 0"), "{figures}");
    // A repaired disk is not enough, and is not reported as enough.
    cluster.mend_disk("server");
    assert!(problems(&cluster).contains("restart nats-server"));
    cluster.kill_server(0);
    cluster.restart_server(0);
    ready(200);
    until("nothing is wrong any more", || {
        (problems(&cluster) == "[]").then_some(())
    });
}

#[test]
fn a_disk_that_fails_under_the_log_is_told_of() {
    is_told_of("KEYROLL_LOG", &["secret", "reveal", "A"]);
}

#[test]
fn a_disk_that_fails_under_the_vault_is_told_of() {
    is_told_of("KEYROLL_VAULT", &["secret", "create", "B", "--stdin"]);
}

#[test]
fn a_disk_that_fails_under_the_keys_is_told_of() {
    is_told_of("KEYROLL_KEYS", &["key", "rotate"]);
}
