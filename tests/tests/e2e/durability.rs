//! A nats-server that stops writing to disk before it acknowledges, while the service runs.

use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Cluster, Done, Replica};
use serde_json::Value;

const ALWAYS: &str = "  sync_interval: always\n";

fn with_secret(cluster: &Cluster) -> Replica {
    let service = cluster.serve(0, 0, 0);
    let workspace = ["workspace", "create", "demo"];
    cluster.keyroll(workspace).run().code(0);
    let create = cluster.keyroll(["secret", "create", "A", "--stdin"]);
    create.stdin("the value").run().code(0);
    service
}

fn start_anew(cluster: &mut Cluster, change: impl FnOnce(&str) -> String) {
    cluster.kill_server(0);
    cluster.configure_server(0, change);
    cluster.restart_server(0);
}

fn reveal(cluster: &Cluster) -> Done {
    cluster.keyroll(["--json", "secret", "reveal", "A"]).run()
}

fn status(cluster: &Cluster) -> Value {
    cluster
        .keyroll(["--json", "status"])
        .run()
        .code_in(&[0, 6])
        .json()
}

#[test]
fn a_server_that_comes_back_without_syncing_is_given_no_commands() {
    let mut cluster = Cluster::start(1, 1);
    let service = with_secret(&cluster);
    assert_eq!(status(&cluster)["sync_verified"], true);

    start_anew(&mut cluster, |text| text.replace(ALWAYS, ""));
    let refused = until("commands to be refused", || {
        let run = reveal(&cluster);
        let told = String::from_utf8_lossy(run.error_bytes()).contains("sync_interval");
        told.then_some(run)
    });
    refused.code(8).stdout("").error_code("audit_unavailable");
    // Queries work once the read model has the earlier reveals.
    let list = until("queries to be answered", || {
        let run = cluster.keyroll(["--json", "secret", "list"]).run();
        run.is_code(0).then_some(run)
    });
    assert_eq!(list.rows()[0]["name"], "A");
    let told = status(&cluster);
    assert_eq!(told["sync_verified"], false, "{told}");
    let problems = told["problems"].to_string();
    assert!(problems.contains("sync_interval"), "{problems}");

    start_anew(&mut cluster, |text| {
        text.replacen("jetstream {\n", &format!("jetstream {{\n{ALWAYS}"), 1)
    });
    let revealed = until("commands to be taken again", || {
        let run = reveal(&cluster);
        run.is_code(0).then_some(run)
    });
    assert!(revealed.json().to_string().contains("the value"));
    let told = status(&cluster);
    assert_eq!(told["sync_verified"], true, "{told}");
    assert_eq!(told["problems"], serde_json::json!([]), "{told}");
    drop(service);
}

#[test]
fn a_service_starts_while_one_server_of_three_is_away() {
    let mut cluster = Cluster::start(3, 1);
    let service = with_secret(&cluster);
    drop(service);

    cluster.kill_server(2);
    // The others may still be electing the leader of a stream.
    let service = until("a service on what is left", || {
        let mut service = cluster.service(0).servers(&[2, 0]).start();
        service.is_ready().then_some(service)
    });
    let any = cluster.nats_urls(&[2, 0]);
    let list = ["--nats", &any, "secret", "list", "--json"];
    assert_eq!(cluster.keyroll(list).run().code(0).rows()[0]["name"], "A");
    let revealed = until("commands to be taken", || {
        let run = reveal(&cluster);
        run.is_code(0).then_some(run)
    });
    assert!(revealed.json().to_string().contains("the value"));
    let told = status(&cluster);
    assert_eq!(told["sync_verified"], false, "{told}");
    drop(service);

    let listed = ["--monitoring".to_owned(), cluster.monitoring_url(0)];
    let mut unlisted = cluster.service(0).args(listed).start();
    assert!(!unlisted.is_ready());
    let said = unlisted.stderr();
    assert!(said.contains("server-1, server-2"), "{said}");

    // The remaining one that is left with it does not sync: no majority syncs.
    cluster.kill_server(1);
    cluster.configure_server(1, |text| text.replace(ALWAYS, ""));
    cluster.restart_server(1);
    until("the service to say why it does not start", || {
        let mut refused = cluster.service(0).start();
        assert!(!refused.is_ready());
        refused.stderr().contains("sync_interval").then_some(())
    });
}
