//! The actions in the ledger whose directory is kept: everything that members can do, and all that
//! the ledger does by itself while nothing is wrong.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use keyroll_client::{NewSecretSpec, RequestedValue};
use keyroll_core::Code;
use keyroll_core::command::{Nothing, Purpose};
use keyroll_tests::harness::http::Echo;
use keyroll_tests::harness::{Dev, Run, demo};
use serde_json::{Value, json};

/// A stored value is an orphan after five minutes by the clock.
const ORPHAN: Duration = Duration::from_secs(305);
/// Refusals are summed up in the minute after theirs.
const MINUTES: Duration = Duration::from_secs(130);

/// Runs a command of the owner that must succeed.
fn ok(dev: &Dev, words: &[&str]) {
    dev.keyroll(words).run().code(0);
}

fn set(dev: &Dev, words: &[&str], value: &str) {
    dev.keyroll(words).arg("--stdin").stdin(value).run().code(0);
}

/// Some secrets, and reveals that share a commit.
pub(crate) async fn begin(dev: &Dev) {
    ok(dev, &["workspace", "create", "second"]);
    set(
        dev,
        &["-w", "second", "secret", "create", "Elsewhere"],
        "of another workspace",
    );
    set(dev, &["secret", "create", "Plain"], "plain value");
    let words = [
        "secret",
        "create",
        "STRIPE_Live",
        "--description",
        "for invoices",
    ];
    let more = ["--allow-host", "127.0.0.1", "--rotate-every", "90d"];
    set(dev, &[&words[..], &more].concat(), "stripe value");
    set(
        dev,
        &["secret", "create", "Blocks_Only", "--restricted"],
        "restricted value",
    );
    let client = dev.client().await;
    let wanted = |name: &str| RequestedValue {
        name: name.parse().expect("a name"),
        version: None,
    };
    // Sent together, like commands under load.
    let reveals = (0..24).map(|number| {
        let (client, wanted) = (&client, [wanted("Plain"), wanted("STRIPE_Live")]);
        async move {
            let reason = format!("number {number}").parse().expect("text");
            let purpose = Purpose::Copy(Nothing {});
            let workspace = demo();
            let revealed = client.reveal(&workspace, &wanted, &purpose, Some(&reason));
            drop(revealed.await.expect("revealed"));
        }
    });
    join_all(reveals).await;
}

/// Of several secrets of one name that are created at once, only one is created, and the values of
/// the others are in the vault by then. This comes after the key rotation, which erases such values
/// by itself.
pub(crate) async fn orphan(dev: &Dev) {
    let client = dev.client().await;
    for number in 0..20 {
        let spec = NewSecretSpec {
            name: format!("Raced_{number}").parse().expect("a name"),
            description: "".parse().expect("text"),
            hosts: Vec::new(),
            restricted: false,
            rotate_every: None,
        };
        let creates = (0..8).map(|_| {
            let (client, one) = (&client, (spec.clone(), b"raced value".as_slice()));
            async move {
                client
                    .create(&demo(), &[one])
                    .await
                    .map_err(|error| error.code())
            }
        });
        let done = join_all(creates).await;
        let lost = |one: &&Result<_, Code>| matches!(one, Err(Code::Conflict));
        assert_eq!(done.iter().filter(lost).count(), 7);
        let look = ["--json", "audit", "verify", "--storage"];
        let report = dev.keyroll(look).run().code(0).json();
        if report["warnings"]
            .to_string()
            .contains("belong to no version")
        {
            return;
        }
    }
    panic!("no value was stored in vain");
}

/// The other actions of members.
pub(crate) fn go_on(dev: &Dev) {
    members(dev);
    values_change(dev);
    workflows(dev);
    sign_ins(dev);
    invitations(dev);
    let run = ["run", "--only", "Plain,STRIPE_Live", "--", "true"];
    ok(dev, &run);
    let out = dev.home().path("exported.env");
    ok(dev, &["export", "--format", "dotenv", "--out", &out]);
    ok(dev, &["secret", "destroy", "Gone", "--yes"]);
    ok(dev, &["key", "rotate"]);
}

fn members(dev: &Dev) {
    let bob = dev.member("bob", "editor", "*");
    let words = ["secret", "create", "Bobs", "--stdin"];
    dev.keyroll_as(&bob, words).stdin("by bob").run().code(0);
    let change = [
        "member", "change", "bob", "--name", "Robert", "--role", "editor", "--yes",
    ];
    ok(
        dev,
        &[&change[..], &["--secrets", "Bob*", "--secrets", "Plain"]].concat(),
    );
    dev.member("carl", "auditor", "*");
    ok(dev, &["member", "remove", "carl", "--yes"]);
}

fn values_change(dev: &Dev) {
    let file = dev
        .home()
        .write("some.env", "One=1\nTwo=\"two words\"\nThree=drei\n");
    ok(dev, &["import", &file, "--yes"]);
    set(
        dev,
        &["secret", "edit", "Plain", "--reason", "it leaked"],
        "second value",
    );
    set(dev, &["secret", "edit", "Plain"], "third value");
    ok(dev, &["secret", "rollback", "Plain", "--to", "1"]);
    ok(
        dev,
        &[
            "secret",
            "reveal",
            "Plain",
            "--version",
            "2",
            "--reason",
            "to compare",
        ],
    );
    ok(
        dev,
        &[
            "secret",
            "describe",
            "Plain",
            "--description",
            "what it says",
        ],
    );
    ok(dev, &["secret", "rename", "One", "First"]);
    ok(dev, &["secret", "delete", "Two", "--yes"]);
    ok(dev, &["secret", "restore", "Two"]);
    ok(dev, &["secret", "delete", "Three", "--yes"]);
    set(dev, &["secret", "create", "Gone"], "gone value");
    set(dev, &["secret", "edit", "Gone"], "gone too");
    ok(
        dev,
        &["secret", "destroy", "Plain", "--version", "2", "--yes"],
    );
}

/// A workflow is saved, used by a runner, saved again, removed.
fn workflows(dev: &Dev) {
    let rudi = dev.member("rudi", "runner", "STRIPE_*");
    ok(
        dev,
        &[
            "member",
            "change",
            "rudi",
            "--secrets",
            "STRIPE_*",
            "--secrets",
            "Blocks_*",
        ],
    );
    let server = Echo::start();
    let file = block(dev, &server, &["STRIPE_Live", "Blocks_Only"]);
    ok(dev, &["block", "save", &file]);
    let allow = [
        "--allow-address",
        "127.0.0.0/8",
        "--allow-http",
        "127.0.0.1",
    ];
    let run = dev.keyroll_as(&rudi, ["block", "run", &file]).args(allow);
    run.run().code(0);
    let fewer = block(dev, &server, &["STRIPE_Live"]);
    ok(dev, &["block", "save", &fewer]);
    ok(dev, &["block", "remove", "billing"]);
    ok(dev, &["block", "save", &file]);
}

/// A file with one block that sends these secrets.
fn block(dev: &Dev, server: &Echo, secrets: &[&str]) -> String {
    let header = |name: &&str| {
        let value = format!("{{{{secrets.{name}}}}}");
        (format!("X-{}", name.replace('_', "-")), json!(value))
    };
    let headers: serde_json::Map<String, Value> = secrets.iter().map(header).collect();
    let block = json!({
        "name": "charge", "type": "external_api", "method": "POST",
        "url": server.url("/charge"), "headers": headers,
    });
    let text = json!({"workflow": "billing", "blocks": [block]}).to_string();
    dev.home()
        .write(&format!("{}.json", secrets.join("-")), text)
}

fn sign_ins(dev: &Dev) {
    let dora = dev.member("dora", "editor", "*");
    let made = dev.keyroll_as(&dora, ["--json", "login", "--where", "a page"]);
    let made = made.run().code(0).json();
    let (page, key) = (made["file"].as_str(), made["key"].as_str());
    let (page, key) = (page.expect("a file"), key.expect("a key"));
    let through = |words: &[&str]| dev.keyroll_as(&dora, ["--identity", page]).args(words);
    through(&["secret", "reveal", "Plain"])
        .run()
        .code(0)
        .stdout("plain value");
    through(&["secret", "edit", "First", "--stdin"])
        .stdin("through a key")
        .run()
        .code(0);
    // An action that a sign-in may not do, and then any action at all.
    through(&["key", "rotate"]).run().code(4);
    ok(dev, &["signin", "close", key]);
    through(&["secret", "reveal", "Plain"]).run().code(4);
    // Closed by the member itself, open here or not; the last one stays open.
    dev.keyroll_as(&dora, ["login"]).run().code(0);
    dev.keyroll_as(&dora, ["signin", "close", "--all"])
        .run()
        .code(0);
    dev.keyroll_as(&dora, ["login"]).run().code(0);
}

/// Somebody joins by a link, somebody after a confirmation, and two invitations end. None is left open:
/// those are forgotten by the real clock.
fn invitations(dev: &Dev) {
    let invite = |words: &[&str]| {
        let words = [&["member", "invite"], words].concat();
        dev.keyroll(words).run().code(0).text().trim().to_owned()
    };
    let accept = |name: &str, link: &str| {
        let home = dev.home().scratch().join(format!("guest-{name}"));
        let run = Run::keyroll(["accept", link, "--no-wait"]).env("KEYROLL_HOME", home);
        run.run().code(0);
    };
    let first = invite(&["greta", "--role", "reader", "--secrets", "STRIPE_*"]);
    ok(dev, &["member", "revoke", "greta"]);
    let second = invite(&["greta", "--role", "reader", "--secrets", "STRIPE_*"]);
    assert_ne!(first, second);
    let third = invite(&["greta", "--renew"]);
    accept("greta", &third);
    let link = invite(&["hanna", "--role", "editor", "--expires", "300d"]);
    accept("hanna", &link);
    ok(dev, &["member", "confirm", "hanna", "--yes"]);
}

fn has(dev: &Dev, kind: &str) -> bool {
    let rows = dev.keyroll(["--json", "audit", "log", "--action", kind]);
    !rows.run().code(0).rows().is_empty()
}

fn wait(what: &str, patience: Duration, is_there: impl Fn() -> bool) {
    let end = Instant::now() + patience;
    while !is_there() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Waits for the entries that the ledger records by itself.
pub(crate) fn until_swept(dev: Dev) -> Dev {
    for kind in ["denials.summarized", "value.erased", "key.erased"] {
        wait(kind, MINUTES, || has(&dev, kind));
    }
    std::thread::sleep(ORPHAN);
    // It sweeps when it starts.
    let dev = Dev::start_in(dev.stop());
    wait("values.swept", MINUTES, || has(&dev, "values.swept"));
    dev
}

/// Every value that the owner may see.
pub(crate) fn values(dev: &Dev, workspace: &str) -> BTreeMap<String, String> {
    let list = dev.keyroll(["-w", workspace, "--json", "secret", "list"]);
    let rows = list.run().code(0).rows();
    let open = rows.iter().filter(|row| row["restricted"] == false);
    let value = |row: &Value| {
        let name = row["name"].as_str().expect("a name").to_owned();
        let reveal = dev.keyroll(["-w", workspace, "secret", "reveal", &name]);
        let value = reveal.run().code(0).text();
        (name, value)
    };
    open.map(value).collect()
}
