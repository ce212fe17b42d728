//! The service's clock is set while it runs: by an hour and by a year, forward and back.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use keyroll_client::{Client, ClientError};
use keyroll_client::{RequestedValue, new_command_id};
use keyroll_core::command::{COMMAND_V, Command, Nothing, Purpose, SecretDescribe};
use keyroll_core::{Action, Code, Millis, SecretId, cose};
use keyroll_tests::harness::{Cluster, Replica, demo};
use tokio::time::sleep;

const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;

struct Clock(PathBuf);

impl Clock {
    fn set(&self, offset: i64) {
        // In one step: a half-written number would be another time.
        let fresh = self.0.with_extension("new");
        fs::write(&fresh, offset.to_string()).expect("written");
        fs::rename(fresh, &self.0).expect("set");
    }
}

async fn reveal(client: &Client) -> Result<Vec<u8>, ClientError> {
    let wanted = [RequestedValue {
        name: "A".parse().expect("a name"),
        version: None,
    }];
    let purpose = Purpose::Run(Nothing {});
    let revealed = client.reveal(&demo(), &wanted, &purpose, None).await?;
    Ok(revealed
        .warn(|warning| panic!("a false alarm: {warning}"))
        .values[0]
        .value
        .to_vec())
}

/// A command of a client whose clock is as far off as the service's.
async fn describe_at(cluster: &Cluster, client: &Client, id: SecretId, offset: i64) -> Code {
    let command = Command {
        v: COMMAND_V,
        at: Millis(keyroll_wire::time::now().0.saturating_add_signed(offset)),
        id: new_command_id(),
        action: Action::SecretDescribe(SecretDescribe {
            id,
            name: "A".parse().expect("a name"),
            hosts: None,
            restricted: None,
            description: Some("by a wrong clock".parse().expect("a text")),
            rotate_every: None,
        }),
        ledger: client.ledger(),
        workspace: demo(),
        member: None,
        approval: None,
        delegation: None,
    };
    let bytes = cose::sign(&command, &cluster.owner());
    match client.submit(&demo(), bytes, Vec::new()).await {
        Ok(_) => panic!("taken at a time that is not"),
        Err(error) => error.code(),
    }
}

/// Waits until the service has checked its clock.
async fn until_told(cluster: &Cluster, wrong: bool) {
    for _ in 0..600 {
        let status = cluster.keyroll(["status", "--json"]);
        let status = tokio::task::spawn_blocking(|| status.run()).await;
        let status = status.expect("it ran");
        if status.is_code(0) || status.is_code(6) {
            let problems = status.json()["problems"].to_string();
            if problems.contains("clock") == wrong {
                return;
            }
        } else if wrong {
            // The query itself is refused as stale: that, too, shows the wrong clock.
            sleep(Duration::from_secs(3)).await;
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the service never notices its clock");
}

fn served(cluster: &Cluster, clock: &Clock) -> Replica {
    let file = clock.0.to_str().expect("a path").to_owned();
    let service = cluster.service(0);
    service.env("KEYROLL_CLOCK_OFFSET_FILE", file).ready()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_stops_commands_until_it_is_right_again() {
    let cluster = Cluster::start(1, 1);
    let clock = Clock(cluster.home().scratch().join("clock"));
    clock.set(0);
    let _service = served(&cluster, &clock);
    let client = Box::pin(cluster.client(0, 0)).await;
    let create = Action::WorkspaceCreate(Nothing {});
    client.execute(&demo(), create).await.expect("a workspace");
    cluster
        .keyroll(["secret", "create", "A", "--stdin"])
        .stdin("the value")
        .run()
        .code(0);
    let shown = cluster.keyroll(["secret", "show", "A", "--json"]);
    let shown = shown.run().code(0).json();
    let id: SecretId = shown["id"].as_str().expect("an id").parse().expect("an id");
    for offset in [HOUR, -HOUR, YEAR, -YEAR] {
        let before = client.checkpoint(&demo()).await.expect("a checkpoint").1;
        clock.set(offset);
        until_told(&cluster, true).await;
        // A client with the right clock is refused, and so is one whose clock is wrong in the same
        // way.
        let error = reveal(&client).await.expect_err("refused");
        assert!(
            matches!(
                error.code(),
                Code::AuditUnavailable | Code::Stale | Code::SessionExpired
            ),
            "{offset}: {}: {error}",
            error.code()
        );
        let code = Box::pin(describe_at(&cluster, &client, id, offset)).await;
        assert_eq!(code, Code::AuditUnavailable, "{offset}");
        clock.set(0);
        until_told(&cluster, false).await;
        let value = reveal(&client).await;
        let value = value.unwrap_or_else(|error| panic!("{offset}: {error}"));
        assert_eq!(value, b"the value");
        let after = client.checkpoint(&demo()).await.expect("a checkpoint").1;
        assert_eq!(after.size, before.size + 1, "{offset}: only the reveal");
    }
    let verify = ["audit", "verify", "--full", "--json"];
    let report = cluster.keyroll(verify).run().code(0).json();
    assert_eq!(report["problems"], serde_json::json!([]), "{report}");
    eprintln!(
        "the clock was set by ±1 h and ±1 y: nothing was taken meanwhile, all was afterwards"
    );
}
