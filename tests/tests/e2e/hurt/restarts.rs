//! nats-server is killed and started again during long commands, at many moments of each: they end
//! well or with an error, and leave consistent data.

use std::time::Duration;

use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Cluster, Done, Replica};
use keyroll_tests::hurt::{rounds, scale};

const SECRETS: usize = 300;
/// Possible exit statuses of a command when the server goes away: 1 if a restarted service has lost
/// the request, 5 for a recovery that has to begin again, 7 and 8 for a server that cannot be
/// reached.
const ENDS: [i32; 5] = [0, 1, 5, 7, 8];

fn filled() -> (Cluster, Replica) {
    let cluster = Cluster::start(1, 1);
    let service = cluster.serve(0, 0, 0);
    let create = ["workspace", "create", "demo"];
    cluster.keyroll(create).run().code(0);
    let lines: Vec<String> = (0..SECRETS).map(|n| format!("S{n}=value {n}")).collect();
    let file = cluster.home().scratch().join("all.env");
    std::fs::write(&file, lines.join("\n") + "\n").expect("written");
    let import = cluster.keyroll(["import", "--yes"]).arg(&file);
    import.run().code(0);
    for n in 0..40 {
        let name = format!("S{n}");
        cluster.keyroll(["secret", "reveal", &name]).run().code(0);
    }
    (cluster, service)
}

/// The moments, spread over the time of the command and of its start.
fn moments() -> impl Iterator<Item = Duration> {
    let times = rounds(scale(4, 20, 20));
    (0..times).map(move |time| Duration::from_millis(20 + 1_000 * time / times))
}

/// Runs a command, kills nats-server at a moment of it and starts it again. The harness checks its
/// exit status, and that it ends: no wait of the program may reach the harness's timeout.
fn hurt(cluster: &mut Cluster, words: &[&str], moment: Duration) -> Done {
    let running = cluster.keyroll(words).start();
    std::thread::sleep(moment);
    cluster.kill_server(0);
    cluster.restart_server(0);
    let done = running.wait().code_in(&ENDS);
    println!(
        "after {moment:?}, in {:?}: {}",
        done.took,
        done.text().lines().last().unwrap_or_default()
    );
    done
}

/// It resumes by itself.
fn recovers_by_itself(cluster: &Cluster) {
    until("values are released again", || {
        let run = cluster.keyroll(["secret", "reveal", "S7"]).run();
        run.is_code(0).then(|| run.stdout("value 7"))
    });
}

fn verifies(cluster: &Cluster) {
    let verify = ["audit", "verify", "--full", "--json"];
    let report = cluster.keyroll(verify).run().code(0).json();
    assert_eq!(report["problems"], serde_json::json!([]), "{report}");
}

fn under_restarts(words: &[&str]) {
    let (mut cluster, _service) = filled();
    let mut well = 0;
    for moment in moments() {
        let done = hurt(&mut cluster, words, moment);
        well += usize::from(done.is_code(0));
        recovers_by_itself(&cluster);
    }
    println!("{words:?}: {well} ended well");
    cluster.keyroll(words).run().code(0);
    verifies(&cluster);
}

#[test]
fn a_rebuild_ends() {
    under_restarts(&["projection", "rebuild", "--json"]);
}

#[test]
fn a_verification_ends() {
    under_restarts(&["audit", "verify", "--full", "--storage"]);
}

#[test]
fn an_export_ends() {
    under_restarts(&["export", "--format", "json"]);
}

#[test]
fn a_rotation_ends() {
    let (mut cluster, _service) = filled();
    for moment in moments() {
        let rotate = ["key", "rotate"];
        hurt(&mut cluster, &rotate, moment);
        // Once it is logged it continues, whatever happens to the command, and only then can
        // another begin.
        until("the rotation is over", || {
            let run = cluster.keyroll(["key", "rotate"]).run();
            run.is_code(0).then_some(())
        });
        recovers_by_itself(&cluster);
    }
    verifies(&cluster);
}

/// Damage to recover from.
async fn delete_log(cluster: &Cluster) {
    let operator = cluster.operator(0).await;
    let subject = "$JS.API.STREAM.DELETE.KEYROLL_LOG";
    let answer = operator.request(subject, "".into()).await;
    let answer = answer.expect("answered").payload;
    assert!(String::from_utf8_lossy(&answer).contains("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_ends_and_can_be_begun_again() {
    let (mut cluster, _service) = filled();
    let operator = cluster.creds("operator").display().to_string();
    let recover = ["recover", "--yes", "--operator-creds", &operator];
    for moment in moments() {
        delete_log(&cluster).await;
        until("the loss is seen", || {
            let plan = cluster.keyroll(["recover", "--dry-run", "--json"]).run();
            (plan.is_code(0) && plan.json()["remake"] == true).then_some(())
        });
        hurt(&mut cluster, &recover, moment);
        until("a recovery to its end", || {
            let run = cluster.keyroll(recover).run();
            run.is_code(0).then_some(())
        });
        recovers_by_itself(&cluster);
    }
    verifies(&cluster);
}
