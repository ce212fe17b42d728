//! Commands do what they promise, and report it: consent, conflicts, reused names.

use keyroll_tests::harness::Dev;
use serde_json::json;

#[test]
fn what_is_hard_to_take_back_is_asked_for() {
    let dev = Dev::start();
    dev.create("Db_main", "the value");
    dev.member("bob", "editor", "*");
    let block = json!({
        "name": "post", "type": "external_api", "method": "POST", "url": "https://example.com/",
        "headers": {"X-Key": "{{secrets.Db_main}}"},
    });
    let text = json!({"workflow": "billing", "blocks": [block]}).to_string();
    let file = dev.home().write("billing.json", text);
    dev.keyroll(["block", "save", &file]).run().code(0);
    let before = dev.audit();
    let asked: [&[&str]; 5] = [
        &["secret", "delete", "Db_main"],
        &["secret", "rename", "Db_main", "Db_other"],
        &["secret", "destroy", "Db_main"],
        &["member", "remove", "bob"],
        &["member", "change", "bob", "--role", "viewer"],
    ];
    for words in asked {
        let refused = dev.keyroll(words).run().code(2).error_code("usage");
        refused.stderr_has("--yes");
        // Also without a ledger: no command is sent before consent.
        if words[1] != "rename" {
            let nowhere = ["--nats", "nats://127.0.0.1:1"];
            let refused = dev.keyroll(nowhere).args(words).run();
            refused.code(2).stderr_has("--yes");
        }
    }
    assert_eq!(dev.audit(), before);
    // A secret without uses is renamed at once; so is a member.
    dev.create("Free", "the value");
    for words in [
        &["secret", "rename", "Free", "Freed"] as &[&str],
        &["member", "change", "bob", "--name", "Robert"],
    ] {
        dev.keyroll(words).run().code(0);
    }
    for words in [
        &["secret", "rename", "Db_main", "Db_other"] as &[&str],
        &["member", "change", "Robert", "--role", "viewer"],
        &["member", "remove", "Robert"],
        &["secret", "delete", "Db_other"],
    ] {
        dev.keyroll(words.iter().chain(&["--yes"])).run().code(0);
    }
}

#[test]
fn nothing_is_saved_that_a_check_calls_an_error() {
    let dev = Dev::start();
    dev.create("Db_main", "the value");
    let file = |name: &str, header: &str| {
        let block = json!({
            "name": "post", "type": "external_api", "method": "POST", "url": "https://example.com/",
            "headers": {"X-Key": header},
        });
        let text = json!({"workflow": "billing", "blocks": [block]}).to_string();
        dev.home().write(name, text)
    };
    let before = dev.audit();
    let key = format!("sk_live_{}", "4eC39HqLyjWDarjtT1zdp7dc");
    for (name, header) in [
        ("missing", "{{secrets.Nothing}}"),
        ("case", "{{secrets.DB_MAIN}}"),
        ("written", key.as_str()),
    ] {
        let path = file(name, header);
        let check = dev.keyroll(["block", "check", &path]).run();
        let save = dev.keyroll(["block", "save", &path]).run();
        assert!(!check.is_code(0), "{name}");
        let same = [2, 3, 4].into_iter().find(|code| check.is_code(*code));
        save.code(same.expect("a refusal")).lacks("4eC39HqLyj");
    }
    assert_eq!(dev.audit(), before);
    let good = file("good", "{{secrets.Db_main}}");
    dev.keyroll(["block", "save", &good, "--dry-run"])
        .run()
        .code(0)
        .stdout_has("would have saved");
    assert_eq!(dev.audit(), before);
    dev.keyroll(["block", "save", &good]).run().code(0);
}

#[test]
fn a_name_that_another_secret_has_is_said_and_an_id_restores() {
    let dev = Dev::start();
    let delete = |name: &str| {
        dev.keyroll(["secret", "delete", name, "--yes"])
            .run()
            .code(0)
    };
    dev.create("Key", "first");
    delete("Key");
    dev.create("Key", "second");
    delete("Key");
    dev.create("Key", "third");
    let gone = dev.keyroll(["--json", "secret", "list", "--deleted"]);
    let gone = gone.run().code(0).rows();
    let id = |at: usize| gone[at]["id"].as_str().expect("an id").to_owned();
    // In the order of creation.
    let (first, second) = (id(0), id(1));
    let restore = |what: &str| dev.keyroll(["secret", "restore", what]).run();
    for what in ["Key", &first] {
        let refused = restore(what).code(5).error_code("conflict");
        refused.stderr_has("another secret has the name Key now");
    }
    // By name it is the secret that was deleted last.
    restore("Key").code(5).stderr_has(&second);
    dev.keyroll(["secret", "rename", "Key", "Third"])
        .run()
        .code(0);
    restore(&first).code(0);
    let reveal = |name: &str| dev.keyroll(["secret", "reveal", name]).run().code(0);
    reveal("Key").stdout("first");
    dev.keyroll(["secret", "rename", "Key", "First"])
        .run()
        .code(0);
    restore("Key").code(0);
    reveal("Key").stdout("second");
    restore("Key").code(5).stderr_has("not deleted");
    restore(&first).code(3).error_code("not_found");
    restore("None_such").code(3).error_code("not_found");
    restore("no-name").code(2).error_code("invalid_name");
}

#[test]
fn an_edit_of_another_version_than_meant_is_a_conflict() {
    let dev = Dev::start();
    dev.create("Key", "first");
    let edit = |version: &str, value: &str| {
        let words = ["secret", "edit", "Key", "--stdin", "--if-version", version];
        dev.keyroll(words).stdin(value).run()
    };
    edit("1", "second").code(0);
    for version in ["1", "3", "4294967295"] {
        edit(version, "third").code(5).error_code("conflict");
    }
    edit("0", "third").code(2);
    edit("2", "third").code(0);
    let reveal = dev.keyroll(["secret", "reveal", "Key"]).run();
    reveal.code(0).stdout("third");
}

#[test]
fn lists_are_narrowed_by_pattern_and_use() {
    let dev = Dev::start();
    for name in ["STRIPE_Live", "STRIPE_Test", "Mail"] {
        dev.create(name, "the value");
    }
    dev.keyroll(["secret", "reveal", "Mail"]).run().code(0);
    let names = |more: &[&str]| -> Vec<String> {
        let rows = dev.keyroll(["--json", "secret", "list"]).args(more);
        let rows = rows.run().code(0).rows();
        let name = |row: &serde_json::Value| row["name"].as_str().expect("a name").to_owned();
        rows.iter().map(name).collect()
    };
    assert_eq!(names(&["stripe_*"]), ["STRIPE_Live", "STRIPE_Test"]);
    assert_eq!(names(&["M?il"]), ["Mail"]);
    assert!(names(&["Nothing*"]).is_empty());
    // All of them are new.
    assert!(names(&["--unused"]).is_empty() && names(&["--unused=1h"]).is_empty());
    assert_eq!(names(&["S*_L*", "--unused=0s"]), ["STRIPE_Live"]);
    let refused = |words: &[&str]| {
        let run = dev.keyroll(["secret", "list"]).args(words).run();
        run.code(2)
    };
    refused(&["a-b"]).error_code("invalid_name");
    refused(&["--unused=soon"]).error_code("usage");
    // Without `=` it would be a pattern that no name fits.
    refused(&["--unused", "90d"]).stderr_has("--unused=90d");
}

#[test]
fn points_in_time_are_those_of_the_calendar() {
    let dev = Dev::start();
    let key = dev.person("x").key;
    let add = |when: &str| {
        let add = [
            "member",
            "add",
            "x",
            &key,
            "--role",
            "viewer",
            "--expires",
            when,
        ];
        dev.keyroll(add).run()
    };
    for when in [
        "2030-01-01T00:00:00+25:00",
        "2030-01-01T00:00:00-24:00",
        "2030-01-01T00:00:00",
        "2030-02-30T00:00:00Z",
        "10000-01-01T00:00:00Z",
    ] {
        add(when).code(2).error_code("usage");
    }
    add("9999-12-31T23:59:59Z").code(0);
    let list = dev.keyroll(["member", "list"]).run().code(0);
    list.stdout_has("9999-12-31 23:59:59Z");
    for words in [
        ["audit", "log", "--since"],
        ["audit", "log", "--until"],
        ["secret", "list", "--at"],
    ] {
        let when = "2030-01-01T00:00:00+25:00";
        dev.keyroll(words)
            .args([when])
            .run()
            .code(2)
            .error_code("usage");
    }
}

/// Patterns bound what a member may touch, not what an auditor reads: decision 25.
#[test]
fn patterns_do_not_narrow_the_audit_log_and_whoever_gives_them_is_told() {
    let dev = Dev::start();
    dev.create("Db_main", "the value");
    let ada = dev.person("ada");
    let add = [
        "member",
        "add",
        "ada",
        &ada.key,
        "--role",
        "auditor",
        "--secrets",
        "Mail_*",
    ];
    let added = dev.keyroll(add).run().code(0);
    added.stderr_has("do not limit the audit log");
    dev.keyroll_as(&ada, ["secret", "list"])
        .run()
        .code(0)
        .lacks("Db_main");
    let log = dev.keyroll_as(&ada, ["audit", "log"]).run().code(0);
    log.stdout_has("Db_main");
    let vera = dev.person("vera").key;
    let add = [
        "member",
        "add",
        "vera",
        &vera,
        "--role",
        "viewer",
        "--secrets",
        "Mail_*",
    ];
    dev.keyroll(add).run().code(0).lacks("audit log");
}
