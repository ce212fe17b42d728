//! Permissions, through the command line, and the recorded refusals.

use keyroll_tests::harness::{Dev, Person};
use serde_json::{Value, json};

/// The recorded refusals: attempted action, actor, reason, names.
fn denials(dev: &Dev) -> Vec<Value> {
    let rows = dev
        .keyroll(["audit", "log", "--outcome", "denied", "--json"])
        .run()
        .code(0)
        .rows();
    rows.iter()
        .map(|row| {
            assert_eq!(
                (&row["type"], &row["outcome"]),
                (&json!("access.denied"), &json!("denied")),
                "{row}"
            );
            let names: Vec<_> = row["secrets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| &one["name"])
                .collect();
            json!([row["attempted"], row["actor_name"], names])
        })
        .collect()
}

fn refused(dev: &Dev, who: &Person, words: &[&str]) {
    let run = dev.keyroll_as(who, words).stdin("other").run();
    run.code(4).error_code("denied").lacks("the value");
}

fn works(dev: &Dev, who: &Person, words: &[&str]) {
    dev.keyroll_as(who, words).stdin("other").run().code(0);
}

#[test]
fn a_viewer_sees_names_and_never_values() {
    let dev = Dev::start();
    dev.create("Db_main", "the value");
    let vera = dev.member("vera", "viewer", "*");
    for words in [
        &["secret", "list"] as &[&str],
        &["secret", "show", "Db_main"],
        &["secret", "history", "Db_main"],
    ] {
        dev.keyroll_as(&vera, words)
            .run()
            .code(0)
            .stdout_has(if words.len() == 2 { "Db_main" } else { "" });
    }
    works(&dev, &vera, &["member", "list"]);
    refused(&dev, &vera, &["secret", "reveal", "Db_main"]);
    refused(&dev, &vera, &["secret", "edit", "Db_main", "--stdin"]);
    refused(&dev, &vera, &["secret", "create", "New", "--stdin"]);
    refused(&dev, &vera, &["secret", "delete", "Db_main", "--yes"]);
    refused(
        &dev,
        &vera,
        &["member", "add", "x", &vera.key, "--role", "owner"],
    );
    // Refused queries leave no entry.
    refused(&dev, &vera, &["audit", "log"]);
    refused(&dev, &vera, &["audit", "verify"]);
    refused(&dev, &vera, &["audit", "prove", "1"]);
    refused(&dev, &vera, &["projection", "rebuild"]);
    let expected = [
        json!(["secret.reveal", "vera", ["Db_main"]]),
        json!(["secret.edit", "vera", ["Db_main"]]),
        json!(["secret.create", "vera", ["New"]]),
        json!(["secret.delete", "vera", ["Db_main"]]),
        json!(["member.add", "vera", []]),
    ];
    assert_eq!(denials(&dev), expected);
    dev.keyroll(["secret", "reveal", "Db_main"])
        .run()
        .code(0)
        .stdout("the value");
    dev.verifies();
}

#[test]
fn a_refusal_names_its_entry_and_whether_a_secret_exists_stays_unsaid() {
    let dev = Dev::start();
    dev.create("Db_main", "the value");
    let vera = dev.member("vera", "viewer", "Db_*");
    let said = |name: &str| {
        let run = dev
            .keyroll_as(&vera, ["--json", "secret", "reveal", name])
            .run()
            .code(4)
            .error_code("denied");
        let (words, entry) = run
            .message()
            .split_once(" (recorded as entry ")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        assert_eq!(entry, format!("{})", dev.audit().len() - 1));
        words
    };
    let (there, not_there) = (said("Db_main"), said("Db_none"));
    assert_eq!(there, not_there);
    // Outside a member's patterns, even the name of a secret cannot be learned.
    dev.create("Hidden", "x");
    let show = |name: &str| {
        dev.keyroll_as(&vera, ["--json", "secret", "show", name])
            .run()
            .code(4)
            .error_code("denied")
            .message()
    };
    assert_eq!(show("Hidden"), show("Missing"));
    let listed = dev.keyroll_as(&vera, ["secret", "list"]).run().code(0);
    listed.stdout_has("Db_main").lacks("Hidden");
    let history = |name: &str| {
        dev.keyroll_as(&vera, ["secret", "history", name])
            .run()
            .code(4)
            .error_code("denied")
    };
    history("Hidden");
}

#[test]
fn an_editor_works_within_patterns() {
    let dev = Dev::start();
    dev.create("Db_main", "the value");
    dev.create("Mail_key", "the value");
    let eve = dev.member("eve", "editor", "db_*");
    dev.keyroll_as(&eve, ["secret", "reveal", "Db_main"])
        .run()
        .code(0)
        .stdout("the value");
    works(&dev, &eve, &["secret", "edit", "Db_main", "--stdin"]);
    works(&dev, &eve, &["secret", "create", "DB_second", "--stdin"]);
    works(&dev, &eve, &["secret", "rename", "DB_second", "Db_third"]);
    let before = denials(&dev).len();
    refused(&dev, &eve, &["secret", "reveal", "Mail_key"]);
    refused(&dev, &eve, &["secret", "create", "Mail_more", "--stdin"]);
    // Both names of a rename must be within the member's patterns.
    refused(&dev, &eve, &["secret", "rename", "Db_third", "Mail_third"]);
    refused(&dev, &eve, &["member", "remove", "owner", "--yes"]);
    refused(&dev, &eve, &["audit", "log"]);
    let told = denials(&dev).len();
    assert_eq!(told - before, 4);
    // A secret that she may not see is tried all the same, whether it exists or not, so the attempt
    // is recorded; a dry run is not. (By owners within a pattern: ten of each are recorded a
    // minute.)
    for name in ["Mail_key", "Mail_none"] {
        let olga = dev.member(&format!("olga {name}"), "owner", "db_*");
        for (words, attempted) in [
            (&["edit", name, "--stdin"] as &[&str], "secret.edit"),
            (&["describe", name, "--description", "x"], "secret.describe"),
            (&["rename", name, "Db_x"], "secret.rename"),
            (&["delete", name, "--yes"], "secret.delete"),
            (&["destroy", name, "--yes"], "secret.destroy"),
            (&["rollback", name, "--to", "1"], "secret.rollback"),
        ] {
            let words = [&["secret"], words].concat();
            refused(&dev, &olga, &words);
            let last = denials(&dev).pop().expect("a refusal");
            assert_eq!(last, json!([attempted, olga.name, names_of(&words)]));
            refused(&dev, &olga, &[&words[..], &["--dry-run"]].concat());
        }
    }
    assert_eq!(denials(&dev).len(), told + 12);
    dev.verifies();
}

/// The names in a refused command.
fn names_of(words: &[&str]) -> Vec<String> {
    let names = words[2..]
        .iter()
        .take(if words[1] == "rename" { 2 } else { 1 });
    names.map(|name| (*name).to_owned()).collect()
}

#[test]
fn an_auditor_reads_the_log_and_no_value() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let ada = dev.member("ada", "auditor", "*");
    works(&dev, &ada, &["audit", "log"]);
    works(&dev, &ada, &["audit", "verify", "--full"]);
    works(&dev, &ada, &["audit", "prove", "1"]);
    let bundle = dev.home().path("bundle");
    works(&dev, &ada, &["audit", "export", "--out", &bundle]);
    refused(&dev, &ada, &["secret", "reveal", "A"]);
    assert_eq!(denials(&dev), [json!(["secret.reveal", "ada", ["A"]])]);
}

#[test]
fn restricted_secrets_and_runners() {
    let dev = Dev::start();
    let create = ["secret", "create", "Only_blocks", "--stdin", "--restricted"];
    dev.keyroll(create).stdin("the value").run().code(0);
    dev.create("Open", "the value");
    let run = dev
        .keyroll(["secret", "reveal", "Only_blocks"])
        .run()
        .code(4);
    run.error_code("denied")
        .stderr_has("restricted")
        .lacks("the value");
    // Members who may change its description cannot get round that either.
    let open = ["secret", "describe", "Only_blocks", "--restricted=false"];
    dev.keyroll(open).run().code(5).error_code("conflict");
    let kept = ["secret", "describe", "Only_blocks", "--restricted"];
    dev.keyroll(kept).run().code(0);
    let run = dev.keyroll(["secret", "reveal", "Only_blocks"]).run();
    run.code(4).lacks("the value");
    let rudi = dev.member("rudi", "runner", "Open");
    refused(&dev, &rudi, &["secret", "reveal", "Open"]);
    refused(&dev, &rudi, &["secret", "reveal", "Only_blocks"]);
    refused(&dev, &rudi, &["secret", "edit", "Open", "--stdin"]);
    dev.keyroll_as(&rudi, ["secret", "list"])
        .run()
        .code(0)
        .stdout_has("Open")
        .lacks("Only_blocks");
    let names: Vec<_> = denials(&dev).iter().map(|row| row[0].clone()).collect();
    assert_eq!(
        names,
        [
            "secret.reveal",
            "secret.reveal",
            "secret.reveal",
            "secret.reveal",
            "secret.edit"
        ]
    );
    let readers = dev
        .keyroll(["secret", "show", "Open", "--readers", "--json"])
        .run()
        .code(0)
        .json();
    let readers: Vec<_> = readers["readers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["name"], row["for"]]))
        .collect();
    assert_eq!(
        readers,
        [json!(["owner", "anything"]), json!(["rudi", "use"])]
    );
}

#[test]
fn who_is_out_is_out() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let bob = dev.member("bob", "editor", "*");
    works(&dev, &bob, &["secret", "reveal", "A"]);
    dev.keyroll(["member", "change", "bob", "--role", "viewer", "--yes"])
        .run()
        .code(0);
    refused(&dev, &bob, &["secret", "reveal", "A"]);
    dev.keyroll(["member", "change", "bob", "--role", "editor", "--yes"])
        .run()
        .code(0);
    works(&dev, &bob, &["secret", "reveal", "A"]);
    dev.keyroll(["member", "remove", "bob", "--yes"])
        .run()
        .code(0);
    let before = dev.audit().len();
    refused(&dev, &bob, &["secret", "reveal", "A"]);
    refused(&dev, &bob, &["secret", "list"]);
    refused(&dev, &bob, &["status"]);
    // Strangers are refused without an entry; otherwise anybody could fill the log.
    let stranger = dev.person("stranger");
    refused(&dev, &stranger, &["secret", "reveal", "A"]);
    refused(&dev, &stranger, &["workspace", "create", "mine"]);
    assert_eq!(dev.audit().len(), before);
    assert_eq!(
        dev.keyroll(["member", "list", "--json"])
            .run()
            .code(0)
            .rows()
            .len(),
        1
    );
    assert_eq!(
        dev.keyroll(["member", "list", "--removed", "--json"])
            .run()
            .code(0)
            .rows()
            .len(),
        2
    );
    // A name that is free again can be reused, and so can a key.
    dev.keyroll(["member", "add", "bob", &bob.key, "--role", "viewer"])
        .run()
        .code(0);
    works(&dev, &bob, &["secret", "list"]);
    dev.verifies();
}

#[test]
fn the_last_owner_stays() {
    let dev = Dev::start();
    let owner = dev.keyroll(["identity", "show"]).run().code(0).text();
    let key = owner.split(' ').next().expect("the public id");
    for words in [
        &["member", "remove", "owner", "--yes"] as &[&str],
        &["member", "change", key, "--role", "editor", "--yes"],
        &["member", "change", "owner", "--expires", "1h"],
        &["member", "change", "owner", "--secrets", "A*"],
    ] {
        dev.keyroll(words)
            .run()
            .code(5)
            .error_code("conflict")
            .stderr_has("last owner");
    }
    let olga = dev.member("olga", "owner", "*");
    dev.keyroll([
        "member",
        "add",
        "OLGA",
        &dev.person("x").key,
        "--role",
        "viewer",
    ])
    .run()
    .code(5)
    .error_code("conflict");
    dev.keyroll(["member", "add", "olga2", &olga.key, "--role", "viewer"])
        .run()
        .code(5)
        .error_code("conflict");
    works(&dev, &olga, &["member", "remove", "owner", "--yes"]);
    dev.keyroll(["secret", "list"])
        .run()
        .code(4)
        .error_code("denied");
    dev.keyroll_as(&olga, ["member", "remove", "olga", "--yes"])
        .run()
        .code(5)
        .error_code("conflict");
}

#[test]
fn a_membership_ends_by_itself() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let bob = dev.person("bob");
    dev.keyroll([
        "member",
        "add",
        "bob",
        &bob.key,
        "--role",
        "editor",
        "--expires",
        "2s",
    ])
    .run()
    .code(0);
    works(&dev, &bob, &["secret", "list"]);
    keyroll_tests::harness::wait::until("the end of a membership", || {
        let run = dev
            .keyroll_as(&bob, ["secret", "list"])
            .run()
            .code_in(&[0, 4]);
        (!run.error_bytes().is_empty()).then_some(())
    });
    refused(&dev, &bob, &["secret", "reveal", "A"]);
    assert_eq!(denials(&dev), [json!(["secret.reveal", "bob", ["A"]])]);
    let run = dev
        .keyroll([
            "member",
            "change",
            "bob",
            "--expires",
            "2020-01-01T00:00:00Z",
        ])
        .run();
    run.code(2).stdout("");
    dev.keyroll(["member", "change", "bob", "--expires", "never"])
        .run()
        .code(0);
    dev.keyroll_as(&bob, ["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
    dev.verifies();
}

#[test]
fn refusals_do_not_fill_the_log() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let vera = dev.member("vera", "viewer", "*");
    for _ in 0..14 {
        refused(&dev, &vera, &["secret", "reveal", "A"]);
    }
    let count = denials(&dev).len();
    // Ten a minute; the test may cross into the next minute.
    assert!((10..=14).contains(&count), "{count}");
    dev.verifies();
}
