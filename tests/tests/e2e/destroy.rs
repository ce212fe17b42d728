//! Deletion is real: no file of JetStream has a destroyed value any more, whatever happens before.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_client::Client;
use keyroll_client::NewSecretSpec;
use keyroll_core::command::{Nothing, SecretDestroy};
use keyroll_core::{Action, SecretId, Version};
use keyroll_tests::harness::home::files;
use keyroll_tests::harness::scan::contains;
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Dev, Home, demo};
use serde_json::{Value, json};

/// Whether any file below JetStream's directory holds these bytes.
pub(super) fn on_disk(home: &Home, bytes: &[u8]) -> bool {
    let all = files(&home.data().join("jetstream"));
    assert!(!all.is_empty(), "there is no JetStream store");
    all.iter()
        .any(|path| fs::read(path).is_ok_and(|held| contains(&held, bytes)))
}

/// A message of a stream, read as an operator.
async fn message(dev: &Dev, stream: &str, which: Value) -> Vec<u8> {
    let operator = dev.nats_as("operator").await;
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let answer = operator.request(&subject, which.to_string()).await;
    let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
    let data = answer["message"]["data"].as_str();
    let data = data.unwrap_or_else(|| panic!("no message: {answer}"));
    STANDARD.decode(data).expect("base64")
}

/// Parts of a vault's message: bytes of the wrapped key at its beginning, and of the sealed value.
pub(super) async fn parts(dev: &Dev, sequence: u64) -> [Vec<u8>; 2] {
    let stored = message(dev, "KEYROLL_VAULT", json!({"seq": sequence})).await;
    let (key, sealed) = (&stored[10..42], &stored[stored.len() - 64..]);
    [key.to_vec(), sealed.to_vec()]
}

/// The wrapped bytes of a workspace key.
async fn wrapped_key(dev: &Dev, epoch: u32) -> Vec<u8> {
    let subject = format!("keyroll.keys.demo.{epoch}");
    let stored = message(dev, "KEYROLL_KEYS", json!({"last_by_subj": subject})).await;
    stored[14..54].to_vec()
}

fn states(dev: &Dev, name: &str) -> Vec<String> {
    let history = ["secret", "history", name, "--json"];
    let rows = dev.keyroll(history).run().code(0).rows();
    let state = |row: &Value| row["state"].as_str().expect("a state").to_owned();
    rows.iter().map(state).collect()
}

fn rebuilds_the_same(dev: &Dev) {
    let rebuild = ["projection", "rebuild", "--json"];
    let rebuilt = dev.keyroll(rebuild).run().code(0).json();
    assert_eq!(rebuilt["identical"], true, "{rebuilt}");
}

/// A secret with `count` versions; the value of each is its number.
async fn versions(dev: &Dev, client: &Client, count: u32) -> SecretId {
    dev.create("Many", "1");
    let shown = dev.keyroll(["secret", "show", "Many"]).run().code(0).text();
    let id = shown.split_whitespace().find_map(|word| word.parse().ok());
    let (id, name): (SecretId, _) = (id.expect("an id"), "Many".parse().expect("a name"));
    let workspace = demo();
    for version in 2..=count {
        let value = version.to_string();
        let (value, version) = (value.as_bytes(), Version(version));
        let edited = client
            .edit(&workspace, (id, &name), version, value, (None, None))
            .await;
        edited.expect("edited");
    }
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn no_copy_of_a_destroyed_value_is_left_in_jetstream() {
    let dev = Dev::start();
    dev.create("Key", "first");
    dev.keyroll(["secret", "edit", "Key", "--stdin"])
        .stdin("second")
        .run()
        .code(0);
    let (first, second) = (parts(&dev, 1).await, parts(&dev, 2).await);
    let found = |parts: &[Vec<u8>; 2]| parts.each_ref().map(|part| on_disk(dev.home(), part));
    assert_eq!((found(&first), found(&second)), ([true; 2], [true; 2]));

    let destroy = ["secret", "destroy", "Key", "--version", "1"];
    dev.keyroll(destroy).run().code(2).stderr_has("Add `--yes`");
    let done = [&destroy[..], &["--yes", "--json"]].concat();
    let done = dev.keyroll(done).run().code(0).json();
    assert_eq!(
        (&done["name"], &done["versions"], &done["erased"]),
        (&json!("Key"), &json!([1]), &json!(true))
    );
    assert_eq!((found(&first), found(&second)), ([false; 2], [true; 2]));
    dev.keyroll(["secret", "reveal", "Key", "--version", "1"])
        .run()
        .code(3)
        .stdout("")
        .stderr_has("version 1 of Key is destroyed");
    dev.keyroll(["secret", "reveal", "Key"])
        .run()
        .code(0)
        .stdout("second");
    dev.keyroll(["secret", "rollback", "Key", "--to", "1"])
        .run()
        .code(3);
    assert_eq!(states(&dev, "Key"), ["live", "erased"]);

    dev.keyroll(["secret", "destroy", "Key", "--yes"])
        .run()
        .code(0)
        .stderr_has("destroyed Key");
    assert_eq!((found(&first), found(&second)), ([false; 2], [false; 2]));
    for refused in [
        &["secret", "reveal", "Key", "--json"][..],
        &["secret", "restore", "Key", "--json"],
        &["secret", "destroy", "Key", "--yes", "--json"],
    ] {
        dev.keyroll(refused).run().code(3).error_code("destroyed");
    }
    // The history is complete, and verifies.
    assert_eq!(states(&dev, "Key"), ["erased", "erased"]);
    let kinds: Vec<Value> = dev.audit().iter().map(|row| row["type"].clone()).collect();
    let told = [
        "secret.created",
        "secret.edited",
        "secret.destroyed",
        "value.erased",
    ];
    for kind in told {
        assert!(kinds.contains(&json!(kind)), "{kind}: {kinds:?}");
    }
    dev.verifies();
    rebuilds_the_same(&dev);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_entry_and_erasure_is_made_good() {
    let dev = Dev::start();
    let client = dev.client().await;
    let id = versions(&dev, &client, 200).await;
    let last = parts(&dev, 200).await;
    let destroy = SecretDestroy {
        id,
        name: "Many".parse().expect("a name"),
        versions: None,
    };
    let destroyed = client
        .execute(&demo(), Action::SecretDestroy(destroy))
        .await;
    // From here on nothing reaches the store, so the last values are still there.
    let frozen = dev.freeze_nats();
    destroyed.expect("destroyed");
    let home = dev.kill();
    drop(frozen);
    assert_eq!(last.each_ref().map(|part| on_disk(&home, part)), [true; 2]);

    let dev = Dev::start_in(home);
    until("the erasure", || {
        let states = states(&dev, "Many");
        (states.len() == 200 && states.iter().all(|state| state == "erased")).then_some(())
    });
    let left = last.each_ref().map(|part| on_disk(dev.home(), part));
    assert_eq!(left, [false; 2]);
    dev.verifies();
    rebuilds_the_same(&dev);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_rotation_outlives_a_kill_and_leaves_nothing_of_the_old_key() {
    let dev = Dev::start();
    let client = dev.client().await;
    let secrets: Vec<(NewSecretSpec, String)> = (0..600)
        .map(|at| {
            let spec = NewSecretSpec {
                name: format!("Key_{at}").parse().expect("a name"),
                description: "".parse().expect("text"),
                hosts: Vec::new(),
                restricted: false,
                rotate_every: None,
            };
            (spec, format!("value {at}"))
        })
        .collect();
    for some in secrets.chunks(300) {
        let some: Vec<(NewSecretSpec, &[u8])> = some
            .iter()
            .map(|(spec, value)| (spec.clone(), value.as_bytes()))
            .collect();
        client.create(&demo(), &some).await.expect("created");
    }
    dev.keyroll(["secret", "edit", "Key_1", "--stdin"])
        .stdin("newer")
        .run()
        .code(0);
    dev.keyroll(["secret", "delete", "Key_2", "--yes"])
        .run()
        .code(0);
    let (old_key, one) = (wrapped_key(&dev, 1).await, parts(&dev, 1).await);
    assert!(on_disk(dev.home(), &old_key));

    let rotated = client.execute(&demo(), Action::KeyRotate(Nothing {})).await;
    let again = client.execute(&demo(), Action::KeyRotate(Nothing {})).await;
    let frozen = dev.freeze_nats();
    rotated.expect("rotated");
    let conflict = again.expect_err("one at a time");
    assert_eq!(conflict.code(), keyroll_core::Code::Conflict);
    let home = dev.kill();
    drop(frozen);
    // It was cut short: the old key is still there.
    assert!(on_disk(&home, &old_key));

    let dev = Dev::start_in(home);
    // While it continues, values can be revealed.
    dev.keyroll(["secret", "reveal", "Key_599"])
        .run()
        .code(0)
        .stdout("value 599");
    until("the old key's end", || {
        let kinds = ["audit", "log", "--json", "--action", "key.erased"];
        let erased = dev.keyroll(kinds).run().code(0).rows();
        (!erased.is_empty()).then_some(())
    });
    assert!(!on_disk(dev.home(), &old_key));
    assert!(!on_disk(dev.home(), &one[0]));
    for (name, value) in [
        ("Key_0", "value 0"),
        ("Key_1", "newer"),
        ("Key_300", "value 300"),
    ] {
        dev.keyroll(["secret", "reveal", name])
            .run()
            .code(0)
            .stdout(value);
    }
    dev.keyroll(["secret", "reveal", "Key_1", "--version", "1"])
        .run()
        .code(0)
        .stdout("value 1");
    dev.keyroll(["secret", "restore", "Key_2"]).run().code(0);
    dev.keyroll(["secret", "reveal", "Key_2"])
        .run()
        .code(0)
        .stdout("value 2");
    dev.verifies();
    rebuilds_the_same(&dev);

    // Once more, by the command line, which waits for the end.
    let second = wrapped_key(&dev, 2).await;
    let rotate = ["key", "rotate", "--json"];
    let done = dev.keyroll(rotate).run().code(0).json();
    assert_eq!(done["epoch"], 3, "{done}");
    assert!(done["index"].is_u64() && done["receipt"].is_object());
    assert!(!on_disk(dev.home(), &second));
    dev.keyroll(["secret", "reveal", "Key_0"])
        .run()
        .code(0)
        .stdout("value 0");
}

/// A rollback seals the old value again: a member who destroys a version is told where else its
/// value is.
#[test]
fn copies_of_a_destroyed_version_are_named() {
    let dev = Dev::start();
    dev.create("Key", "first");
    let ok = |words: &[&str]| dev.keyroll(words).run().code(0);
    ok(&["secret", "edit", "Key", "--generate"]);
    ok(&["secret", "rollback", "Key", "--to", "1"]);
    ok(&["secret", "edit", "Key", "--generate"]);
    ok(&["secret", "rollback", "Key", "--to", "3"]);
    let destroy = ["secret", "destroy", "Key", "--yes"];
    let one = [&destroy[..], &["--version", "1"]].concat();
    ok(&[&one[..], &["--dry-run"]].concat())
        .stderr_has("version 3 has the same value as version 1")
        .stderr_has("version 5 has the same value as version 1");
    ok(&[&destroy[..], &["--version", "2"]].concat()).lacks("has the same value");
    ok(&[&one[..], &["--version", "3", "--version", "5"]].concat()).lacks("has the same value");
    assert_eq!(
        states(&dev, "Key"),
        ["erased", "live", "erased", "erased", "erased"]
    );
}

#[test]
fn only_owners_destroy_and_rotate() {
    let dev = Dev::start();
    dev.create("Key", "value");
    let editor = dev.member("eddy", "editor", "*");
    for words in [
        &["secret", "destroy", "Key", "--yes", "--json"][..],
        &["key", "rotate", "--json"],
    ] {
        dev.keyroll_as(&editor, words)
            .run()
            .code(4)
            .error_code("denied");
    }
    dev.keyroll(["secret", "reveal", "Key"])
        .run()
        .code(0)
        .stdout("value");
    let dry = ["secret", "destroy", "Key", "--dry-run"];
    dev.keyroll(dry)
        .run()
        .code(0)
        .stderr_has("would have destroyed Key");
    dev.keyroll(["secret", "destroy", "Nowhere", "--yes"])
        .run()
        .code(3);
}
