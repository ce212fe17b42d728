//! Time travel: the state at earlier points of the log.

use keyroll_tests::harness::Dev;
use serde_json::{Value, json};

/// The workspace's number of entries.
fn size(dev: &Dev) -> String {
    let state = dev
        .keyroll(["workspace", "state", "--json"])
        .run()
        .code(0)
        .json();
    state["entries"].to_string()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn a_list_of_then_is_the_list_that_was_shown_then() {
    let dev = Dev::start();
    let list = |more: &[&str]| {
        let words = ["secret", "list", "--json"].iter().chain(more);
        dev.keyroll(words).run().code(0).rows()
    };
    let ok = |words: &[&str]| {
        dev.keyroll(words.iter().chain(&["--yes"])).run().code(0);
    };
    let mut shown = vec![];
    let mut look = || {
        let at = size(&dev);
        shown.push((at, list(&[]), list(&["--deleted"])));
    };
    look();
    dev.create("One", "first-value");
    dev.create("Two", "first-value");
    look();
    ok(&["secret", "reveal", "One"]);
    look();
    ok(&[
        "secret",
        "describe",
        "One",
        "--description",
        "the first",
        "--restricted",
    ]);
    ok(&["secret", "edit", "Two", "--generate"]);
    look();
    ok(&["secret", "rename", "Two", "Three"]);
    ok(&["secret", "delete", "One"]);
    look();
    dev.create("One", "another");
    ok(&["secret", "reveal", "Three"]);
    ok(&["secret", "reveal", "Three"]);
    look();
    ok(&["secret", "delete", "One"]);
    for (at, active, gone) in &shown {
        assert_eq!(&list(&["--at", at]), active, "at {at}");
        assert_eq!(&list(&["--at", at, "--deleted"]), gone, "at {at}");
    }
    let (then, ..) = &shown[3];
    let two = dev
        .keyroll(["secret", "show", "Two", "--at", then, "--json"])
        .run()
        .code(0)
        .json();
    assert_eq!(
        (two["version"].clone(), two["name"].clone()),
        (json!(2), json!("Two"))
    );
    dev.keyroll(["secret", "show", "Three", "--at", then])
        .run()
        .code(3)
        .error_code("not_found");
    dev.keyroll(["secret", "show", "Two"]).run().code(3);
    dev.verifies();
}

#[test]
fn a_point_is_a_number_a_time_or_a_duration() {
    let dev = Dev::start();
    dev.create("One", "some-value");
    let rows = dev.audit();
    let created = rows.last().expect("a row")["at"].as_str().expect("a time");
    dev.keyroll(["secret", "edit", "One", "--generate"])
        .run()
        .code(0);
    let version = |at: &str| {
        let list = dev
            .keyroll(["secret", "list", "--at", at, "--json"])
            .run()
            .code(0);
        list.rows().first().map(|row| row["version"].clone())
    };
    // "At T" is before the first entry later than T.
    assert_eq!(version(created), Some(json!(1)));
    assert_eq!(version("0s"), Some(json!(2)));
    assert_eq!(version("2100-01-01T00:00:00Z"), Some(json!(2)));
    assert_eq!(version("1h"), None);
    assert_eq!(version("0"), None);
    let whole = size(&dev);
    assert_eq!(version(&whole), Some(json!(2)));
    let beyond = (whole.parse::<u64>().expect("a number") + 1).to_string();
    dev.keyroll(["secret", "list", "--at", &beyond])
        .run()
        .code(2)
        .error_code("invalid_field")
        .stderr_has(&whole);
    for nonsense in ["yesterday", "-1", ""] {
        dev.keyroll(["secret", "list", &format!("--at={nonsense}")])
            .run()
            .code(2)
            .error_code("usage");
    }
}

/// The members who could read `Api_Key` at a point.
fn readers(dev: &Dev, at: &str) -> String {
    let show = ["secret", "show", "Api_Key", "--readers", "--json", "--at"];
    let shown = dev.keyroll(show).arg(at).run().code(0).json();
    names(shown["readers"].as_array().expect("readers")).join(" ")
}

#[test]
fn who_could_read_it_then() {
    let dev = Dev::start();
    dev.create("Api_Key", "some-value");
    let readers = |at: &str| readers(&dev, at);
    let members = |at: &str| {
        let list = ["member", "list", "--at", at, "--json"];
        dev.keyroll(list).run().code(0).rows().len()
    };
    let alone = size(&dev);
    let bob = dev.member("bob", "editor", "api_*");
    dev.member("carol", "viewer", "*");
    dev.member("run", "runner", "other_*");
    let all = size(&dev);
    dev.keyroll(["member", "change", "run", "--secrets", "api_*"])
        .run()
        .code(0);
    let runner = size(&dev);
    dev.keyroll(["secret", "describe", "Api_Key", "--restricted"])
        .run()
        .code(0);
    let restricted = size(&dev);
    dev.keyroll(["member", "remove", "bob", "--yes"])
        .run()
        .code(0);
    dev.keyroll(["secret", "delete", "Api_Key", "--yes"])
        .run()
        .code(0);
    let end = size(&dev);
    assert_eq!(readers(&alone), "owner");
    assert_eq!(readers(&all), "owner bob");
    assert_eq!(readers(&runner), "owner bob run");
    assert_eq!(readers(&restricted), "run");
    assert_eq!(readers(&end), "");
    assert_eq!([&alone, &all, &end].map(|at| members(at)), [1, 4, 3]);

    // Permission is as of now: a removed member learns nothing of the past.
    dev.keyroll_as(&bob, ["secret", "list", "--at", &all])
        .run()
        .code(4)
        .error_code("denied");
    let state = ["workspace", "state", "--at", &all, "--json"];
    let state = dev.keyroll(state).run().code(0).json();
    assert_eq!(state["entries"].to_string(), all);
    assert_eq!(state["members"].as_array().map(Vec::len), Some(4));
    let checkpoint = dev.keyroll(["audit", "prove", "0"]).run().code(0);
    assert!(!checkpoint.text().contains("Api_Key"));
}

#[test]
fn a_membership_that_ended_by_then_reads_nothing() {
    let dev = Dev::start();
    dev.create("Api_Key", "some-value");
    let carol = dev.person("carol");
    let add = [
        "member",
        "add",
        "carol",
        &carol.key,
        "--role",
        "editor",
        "--expires",
        "1h",
    ];
    dev.keyroll(add).run().code(0);
    let readers = |at: &str| readers(&dev, at);
    assert_eq!(readers("0s"), "owner carol");
    // The log has nothing later, and the requested time counts.
    assert_eq!(readers("2100-01-01T00:00:00Z"), "owner");
}

#[test]
fn a_name_outside_the_patterns_is_not_seen_under_an_old_one() {
    let dev = Dev::start();
    dev.create("dev_Key", "some-value");
    dev.create("prod_Key", "some-value");
    let then = size(&dev);
    dev.keyroll(["secret", "rename", "dev_Key", "prod_Other"])
        .run()
        .code(0);
    dev.keyroll(["secret", "rename", "prod_Key", "dev_New"])
        .run()
        .code(0);
    let scoped = dev.member("dave", "viewer", "dev_*");
    let list = |at: &[&str]| {
        let words = ["secret", "list", "--json"].iter().chain(at);
        let rows = dev.keyroll_as(&scoped, words).run().code(0).rows();
        names(&rows).join(" ")
    };
    assert_eq!(list(&[]), "dev_New");
    assert_eq!(list(&["--at", &then]), "");
    dev.keyroll_as(&scoped, ["secret", "show", "dev_Key", "--at", &then])
        .run()
        .code(3)
        .error_code("not_found");
    dev.keyroll_as(&scoped, ["secret", "show", "prod_Key", "--at", &then])
        .run()
        .code(4)
        .error_code("denied");
}

#[test]
fn history_says_who_has_seen_a_version() {
    let dev = Dev::start();
    dev.create("Api_Key", "some-value");
    let bob = dev.member("bob", "editor", "*");
    let reveal = ["secret", "reveal", "Api_Key", "--version", "1"];
    dev.keyroll(reveal).run().code(0);
    dev.keyroll(["secret", "edit", "Api_Key", "--generate"])
        .run()
        .code(0);
    dev.keyroll_as(&bob, reveal).run().code(0);
    dev.keyroll_as(&bob, reveal).run().code(0);
    let history = ["secret", "history", "Api_Key", "--json"];
    let rows = dev.keyroll(history).run().code(0).rows();
    assert_eq!(rows[0]["seen_by"], json!([]));
    let seen = rows[1]["seen_by"].as_array().expect("who");
    let said: Vec<_> = seen
        .iter()
        .map(|one| {
            (
                one["actor_name"].as_str().expect("a name"),
                one["count"].clone(),
            )
        })
        .collect();
    assert_eq!(said, [("bob", json!(2)), ("owner", json!(1))]);
    assert_eq!(seen[0]["actor"], json!(bob.key));
    dev.keyroll(["secret", "history", "Api_Key"])
        .run()
        .code(0)
        .stdout_has("bob, owner")
        .stdout_has("nobody");
    // It is a part of the audit log, which an editor may not read.
    let rows = dev.keyroll_as(&bob, history).run().code(0).rows();
    assert_eq!(rows[1]["seen_by"], Value::Null);
    // A rebuilt read model gives the same.
    dev.keyroll(["projection", "rebuild", "--yes"])
        .run()
        .code(0);
    let again = dev.keyroll(history).run().code(0).rows();
    assert_eq!(again[1]["seen_by"], json!(seen));
}

#[test]
fn a_trial_of_a_create_looks_at_the_name() {
    let dev = Dev::start();
    dev.create("Api_Key", "some-value");
    let trial = |name: &str| {
        dev.keyroll(["secret", "create", name, "--generate", "--dry-run"])
            .run()
    };
    for name in ["Api_Key", "API_KEY"] {
        trial(name)
            .code(5)
            .error_code("conflict")
            .stderr_has("Api_Key");
    }
    for name in ["Api_Kez", "Api_Key1", "Api_Ke", "A"] {
        trial(name).code(0);
    }
    dev.keyroll(["secret", "delete", "Api_Key", "--yes"])
        .run()
        .code(0);
    trial("Api_Key").code(0);
}
