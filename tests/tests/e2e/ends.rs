//! Logged erasures and rotations finish, wherever the service is killed on the way.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_client::Client;
use keyroll_client::new_command_id;
use keyroll_core::command::{Nothing, SecretDestroy};
use keyroll_core::{Action, SecretId, SecretName, Version};
use keyroll_tests::harness::home::files;
use keyroll_tests::harness::scan::contains;
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Cluster, demo};
use serde_json::{Value, json};

/// The points where the eraser can be killed, at which visit, and what is then left on disk of the
/// destroyed values and of the old key.
const POINTS: [(&str, u64, Left); 9] = [
    ("erasure.ending", 1, Left::All),
    ("erasure.erased", 2, Left::Key),
    ("erasure.ended", 1, Left::Key),
    ("erasure.recorded", 1, Left::Key),
    ("erasure.copied", 2, Left::Key),
    ("erasure.all_copied", 1, Left::Key),
    ("erasure.old_values_erased", 1, Left::Key),
    ("erasure.old_key_erased", 1, Left::Nothing),
    ("erasure.retired", 1, Left::Nothing),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Left {
    /// Everything.
    All,
    /// The old key, and at most some of the destroyed values.
    Key,
    Nothing,
}

/// A request to JetStream, as an operator sends it.
async fn asked(cluster: &Cluster, subject: &str, body: Value) -> Value {
    let operator = cluster.operator(0).await;
    let subject = format!("$JS.API.STREAM.{subject}");
    let answer = operator.request(subject, body.to_string().into()).await;
    serde_json::from_slice(&answer.expect("an answer").payload).expect("JSON")
}

async fn message(cluster: &Cluster, stream: &str, which: Value) -> Vec<u8> {
    let answer = asked(cluster, &format!("MSG.GET.{stream}"), which).await;
    let data = answer["message"]["data"].as_str();
    let data = data.unwrap_or_else(|| panic!("no message: {answer}"));
    STANDARD.decode(data).expect("base64")
}

/// The number of the vault's last message.
async fn last(cluster: &Cluster) -> u64 {
    let info = asked(cluster, "INFO.KEYROLL_VAULT", json!({})).await;
    info["state"]["last_seq"].as_u64().expect("a number")
}

/// Bytes of the wrapped data key and of the sealed value of a vault's message.
async fn parts(cluster: &Cluster, sequence: u64) -> [Vec<u8>; 2] {
    let stored = message(cluster, "KEYROLL_VAULT", json!({"seq": sequence})).await;
    [
        stored[10..42].to_vec(),
        stored[stored.len() - 64..].to_vec(),
    ]
}

async fn wrapped_key(cluster: &Cluster, epoch: u64) -> Vec<u8> {
    let subject = format!("keyroll.keys.demo.{epoch}");
    let stored = message(cluster, "KEYROLL_KEYS", json!({"last_by_subj": subject})).await;
    stored[14..54].to_vec()
}

fn on_disk(cluster: &Cluster, bytes: &[u8]) -> bool {
    let all = files(&cluster.home().scratch().join("server-0"));
    assert!(!all.is_empty(), "there is no JetStream store");
    all.iter()
        .any(|path| fs::read(path).is_ok_and(|held| contains(&held, bytes)))
}

fn epoch(cluster: &Cluster) -> u64 {
    let would = ["key", "rotate", "--dry-run", "--json"];
    // A rotation under way ends first.
    let would = until("the key can be rotated", || {
        let would = cluster.keyroll(would).run();
        would.is_code(0).then(|| would.json())
    });
    would["epoch"].as_u64().expect("a number") - 1
}

/// A secret with values, and their places in the vault.
async fn secret(cluster: &Cluster, client: &Client, name: &str, values: u32) -> SecretId {
    let create = ["secret", "create", name, "--stdin"];
    cluster
        .keyroll(create)
        .stdin(format!("{name} 1"))
        .run()
        .code(0);
    let show = ["secret", "show", name, "--json"];
    let shown = cluster.keyroll(show).run().code(0).json();
    let id: SecretId = shown["id"].as_str().expect("an id").parse().expect("an id");
    let called: SecretName = name.parse().expect("a name");
    for version in 2..=values {
        let value = format!("{name} {version}");
        let edited = client
            .edit(
                &demo(),
                (id, &called),
                Version(version),
                value.as_bytes(),
                (None, None),
            )
            .await;
        edited.expect("edited");
    }
    id
}

fn states(cluster: &Cluster, name: &str) -> Vec<String> {
    let history = ["secret", "history", name, "--json"];
    let rows = cluster.keyroll(history).run().code(0).rows();
    rows.iter()
        .map(|row| row["state"].as_str().expect("a state").to_owned())
        .collect()
}

/// Whether all is erased, according to a service that may end any moment.
fn is_erased(cluster: &Cluster, name: &str) -> bool {
    let history = ["secret", "history", name, "--json"];
    let run = cluster.keyroll(history).run();
    let erased = |row: &Value| row["state"] == "erased";
    run.is_code(0) && run.rows().iter().all(erased)
}

/// One destroyed secret and one rotation, with the service killed once on the way.
async fn killed_at(cluster: &Cluster, (point, times, left): (&str, u64, Left)) {
    let usual = cluster.serve(0, 0, 0);
    let client = cluster.client(0, 0).await;
    let named = |word: &str| format!("{word}_{}", point.replace('.', "_"));
    let (gone, kept) = (named("gone"), named("kept"));
    let before = last(cluster).await;
    let id = secret(cluster, &client, &gone, 3).await;
    let ended = before + 1..=last(cluster).await;
    secret(cluster, &client, &kept, 2).await;
    let mut values = Vec::new();
    for sequence in ended {
        values.push(parts(cluster, sequence).await);
    }
    assert_eq!(values.len(), 3);
    let old = epoch(cluster);
    let old_key = wrapped_key(cluster, old).await;
    usual.kill();

    let mut replica = cluster.service(0).armed(point, times).ready();
    let destroy = Action::SecretDestroy(SecretDestroy {
        id,
        name: gone.parse().expect("a name"),
        versions: None,
    });
    // A logged command is finished, whether its caller gets the answer or not; the same bytes are
    // sent again until it is logged.
    let command = client.sign_command(&demo(), new_command_id(), destroy);
    while replica.has_ended().is_none() {
        match client.submit(&demo(), command.clone(), Vec::new()).await {
            Ok(_) => break,
            Err(error) => eprintln!("{point}: {}: {error}", error.code()),
        }
    }
    until("the erasure, or the end", || {
        (replica.has_ended().is_some() || is_erased(cluster, &gone)).then_some(())
    });
    if replica.has_ended().is_none() {
        let _ = client.execute(&demo(), Action::KeyRotate(Nothing {})).await;
    }
    replica.ended();
    let said = format!("failpoint:{point} for time {times}");
    assert!(replica.stderr().contains(&said), "{}", replica.stderr());
    let whole = values.iter().flatten().all(|part| on_disk(cluster, part));
    assert_eq!(whole, left == Left::All, "{point}: values");
    assert_eq!(
        on_disk(cluster, &old_key),
        left != Left::Nothing,
        "{point}: the key"
    );

    let usual = cluster.serve(0, 0, 0);
    until("what was destroyed to be erased", || {
        let states = states(cluster, &gone);
        states.iter().all(|state| state == "erased").then_some(())
    });
    if epoch(cluster) == old {
        let rotated = client.execute(&demo(), Action::KeyRotate(Nothing {})).await;
        rotated.expect("rotated");
    }
    until("the end of the old key", || {
        let log = ["audit", "log", "--action", "key.erased", "--json"];
        let rows = cluster.keyroll(log).run().code(0).rows();
        (u64::try_from(rows.len()).expect("few") >= old).then_some(())
    });
    for part in values.iter().flatten().chain([&old_key]) {
        assert!(!on_disk(cluster, part), "{point}: left on disk");
    }
    assert_eq!(states(cluster, &gone), ["erased"; 3]);
    let reveal = ["secret", "reveal", &gone, "--json"];
    let refused = cluster.keyroll(reveal).run();
    refused.code(3).error_code("destroyed").lacks("gone_1");
    for version in ["1", "2"] {
        let reveal = ["secret", "reveal", &kept, "--version", version];
        let value = format!("{kept} {version}");
        cluster.keyroll(reveal).run().code(0).stdout(value);
    }
    usual.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_of_an_erasure_or_rotation_it_is_finished() {
    let cluster = Cluster::start(1, 1);
    let usual = cluster.serve(0, 0, 0);
    cluster
        .keyroll(["workspace", "create", "demo"])
        .run()
        .code(0);
    usual.kill();
    for point in POINTS {
        Box::pin(killed_at(&cluster, point)).await;
    }
    let _usual = cluster.serve(0, 0, 0);
    let verify = ["audit", "verify", "--full", "--storage", "--json"];
    let report = cluster.keyroll(verify).run().code(0).json();
    assert_eq!(report["problems"], json!([]), "{report}");
    let rebuild = ["projection", "rebuild", "--json"];
    let rebuilt = cluster.keyroll(rebuild).run().code(0).json();
    assert_eq!(rebuilt["identical"], true, "{rebuilt}");
    // Each is logged once, however often it was begun.
    let log = ["audit", "log", "--json", "--limit", "10000"];
    let rows = cluster.keyroll(log).run().code(0).rows();
    let count = |kind: &str| rows.iter().filter(|row| row["type"] == kind).count();
    let said = ["value.erased", "key.rotated", "key.erased"].map(count);
    assert_eq!(said, [POINTS.len(); 3], "{rows:?}");
}
