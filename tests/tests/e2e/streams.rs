//! Streams that are lost, and nats-servers without a quorum, while a service runs.

use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Cluster, Replica};
use serde_json::{Value, json};

/// A service that monitoring polls, and a secret.
fn serving(cluster: &Cluster) -> Replica {
    let service = cluster.service(0).with_metrics().ready();
    cluster
        .keyroll(["workspace", "create", "demo"])
        .run()
        .code(0);
    create(cluster, "A");
    service
}

fn create(cluster: &Cluster, name: &str) {
    let create = cluster.keyroll(["secret", "create", name, "--stdin"]);
    create.stdin("the value").run().code(0);
}

fn problems(cluster: &Cluster) -> Value {
    let status = cluster
        .keyroll(["status", "--json"])
        .run()
        .code_in(&[0, 6])
        .json();
    status["problems"].clone()
}

fn is_ready(service: &Replica, status: u16) {
    until("monitoring to be told", || {
        (service.monitoring().get("/readyz").status == status).then_some(())
    });
}

async fn delete(cluster: &Cluster, stream: &str) {
    let operator = cluster.operator(0).await;
    let subject = format!("$JS.API.STREAM.DELETE.{stream}");
    let answer = operator
        .request(subject, "".into())
        .await
        .expect("answered");
    let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
    assert_eq!(answer["success"], true, "{answer}");
}

fn recovery_plan(cluster: &Cluster) -> Value {
    let plan = cluster.keyroll(["recover", "--dry-run", "--json"]).run();
    plan.code(0).json()
}

/// The loss is reported before a value is released or stored, and the stream is created again.
async fn is_missed_and_made_anew(stream: &str) {
    let cluster = Cluster::start(1, 1);
    let service = serving(&cluster);
    delete(&cluster, stream).await;
    let missing = format!("stream {stream} is missing");

    let at_once = recovery_plan(&cluster);
    assert!(at_once["wrong"].to_string().contains(&missing), "{at_once}");
    assert_eq!(at_once["remake"], true, "{at_once}");
    assert_eq!(at_once["workspaces"][0]["values"], 1, "{at_once}");
    until("the service to miss it", || {
        problems(&cluster)
            .to_string()
            .contains(&missing)
            .then_some(())
    });
    is_ready(&service, 503);
    for words in [
        &["secret", "reveal", "A"] as &[&str],
        &["secret", "create", "B", "--generate"],
    ] {
        let refused = cluster.keyroll(words).run().code(6);
        refused.error_code("corrupt").lacks("the value");
    }
    let shown = cluster.keyroll(["recover", "--dry-run"]).run().code(0);
    shown.stderr_has("backup").stderr_has(&missing);

    let operator = cluster.creds("operator").display().to_string();
    let recover = ["recover", "--yes", "--operator-creds", &operator];
    let other = cluster.serve(1, 0, 0);
    let refused = cluster.keyroll(recover).run().code(5);
    refused.error_code("conflict").stderr_has("2 services");
    drop(other);
    cluster.keyroll(recover).run().code(0);
    is_ready(&service, 200);
    assert_eq!(problems(&cluster), json!([]));
    let lost = cluster.keyroll(["secret", "reveal", "A"]).run().code(6);
    lost.error_code("value_lost");
    if stream == "KEYROLL_KEYS" {
        cluster.keyroll(["key", "rotate", "--yes"]).run().code(0);
    }
    create(&cluster, "B");
    let revealed = cluster.keyroll(["secret", "reveal", "B"]).run().code(0);
    revealed.stdout("the value");
    let nothing = cluster.keyroll(["recover"]).run().code(0);
    nothing.stderr_has("nothing to recover");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_goes_under_a_service_is_missed_and_made_anew() {
    is_missed_and_made_anew("KEYROLL_VAULT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_go_under_a_service_are_missed_and_made_anew() {
    is_missed_and_made_anew("KEYROLL_KEYS").await;
}

/// One server of three cannot write anything; it reports that before any command.
#[test]
fn while_too_few_servers_are_there_nobody_is_told_that_commands_are_taken() {
    let mut cluster = Cluster::start(3, 1);
    let service = serving(&cluster);
    is_ready(&service, 200);
    // Answered only once the read model holds the secret, which then needs no quorum.
    cluster.keyroll(["secret", "list"]).run().code(0);
    cluster.kill_server(1);
    cluster.kill_server(2);
    is_ready(&service, 503);
    until("status to say so", || {
        let said = problems(&cluster).to_string();
        said.contains("audit_unavailable").then_some(())
    });
    let metrics = service.monitoring().get("/metrics").body;
    assert!(metrics.contains("\nkeyroll_ready 0\n"), "{metrics}");
    let refused = cluster.keyroll(["secret", "reveal", "A"]).run();
    refused.code_in(&[7, 8]).lacks("the value");
    cluster.keyroll(["secret", "list"]).run().code(0);

    cluster.restart_server(1);
    is_ready(&service, 200);
    until("values to be released again", || {
        let run = cluster.keyroll(["secret", "reveal", "A"]).run();
        run.is_code(0).then(|| run.stdout("the value"))
    });
    assert_eq!(problems(&cluster), json!([]));
}

/// Setting up a ledger again creates nothing, whatever is left of the old one.
#[test]
fn where_a_ledger_is_none_is_set_up() {
    let cluster = Cluster::start(1, 1);
    let service = serving(&cluster);
    let operator = cluster.creds("operator").display().to_string();
    let service_creds = cluster.creds("service").display().to_string();
    let responder_creds = cluster.creds("responder").display().to_string();
    let init = [
        "init",
        "--operator-creds",
        &operator,
        "--service-creds",
        &service_creds,
        "--responder-creds",
        &responder_creds,
    ];
    let again = cluster.keyroll(init).run().code(5);
    again.error_code("conflict").stderr_has("never replaces");
    let elsewhere = cluster.home().scratch().join("another");
    let elsewhere = cluster.keyroll(init).env("KEYROLL_HOME", &elsewhere);
    let elsewhere = elsewhere.run().code(5).error_code("conflict");
    elsewhere.stderr_has("hold a ledger already");
    drop(service);
}
