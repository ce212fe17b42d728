//! nats-server is killed and started again under the commands that take their time, at many moments of
//! each: they end well or with an error, and what they left is whole.

use std::time::Duration;

use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Cluster, Done, Replica};
use keyroll_tests::hurt::{rounds, scale};

const SECRETS: usize = 300;
/// What a command may end with when the server goes away under it: 1 for what a service that begins anew
/// does not know any more, 5 for a recovery that has to be begun again, 7 and 8 for what is out of reach.
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

/// The moments, spread over the time that the command takes and what comes before it.
fn moments() -> impl Iterator<Item = Duration> {
    let times = rounds(scale(4, 20, 20));
    (0..times).map(move |time| Duration::from_millis(20 + 1_000 * time / times))
}

/// Runs a command, kills nats-server at a moment of it and starts it again. Both how it ended and that it
/// ended is told by the harness's own patience, which no wait of the program may reach.
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

/// It goes on by itself.
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
        // Once it is on record it goes on whatever becomes of the command, and only then is there another.
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
    let operator = cluster.operator_url(0);
    let recover = ["recover", "--yes", "--operator-nats", &operator];
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
