//! `--dry-run`: the ledger decides the signed command and writes nothing.

use keyroll_tests::harness::{Dev, Done, Person};
use serde_json::json;

fn words<'a>(dry: &[&'a str]) -> Vec<&'a str> {
    dry.iter().copied().chain(["--dry-run"]).collect()
}

fn by(dev: &Dev, who: Option<&Person>, words: &[&str]) -> Done {
    let run = who.map_or_else(|| dev.keyroll(words), |who| dev.keyroll_as(who, words));
    run.stdin("another").run()
}

#[test]
fn what_would_be_refused_is_refused_with_its_code_and_leaves_no_entry() {
    let dev = Dev::start();
    dev.create("Db_main", "the value");
    dev.create("Mail_key", "the value");
    let (vera, eve) = (
        dev.member("vera", "viewer", "*"),
        dev.member("eve", "editor", "Db_*"),
    );
    let x = dev.person("x").key;
    let hour_ago = "2020-01-01T00:00:00Z";
    let cases: [(Option<&Person>, &[&str], i32, &str); 17] = [
        (
            None,
            &["secret", "create", "db_MAIN", "--stdin"],
            5,
            "conflict",
        ),
        (
            None,
            &["secret", "rename", "Mail_key", "Db_main"],
            5,
            "conflict",
        ),
        (
            None,
            &["secret", "rollback", "Db_main", "--to", "1"],
            2,
            "invalid_field",
        ),
        (
            None,
            &["secret", "edit", "Db_main", "--stdin", "--if-version", "4"],
            5,
            "conflict",
        ),
        (None, &["secret", "restore", "Db_main"], 5, "conflict"),
        (
            None,
            &["secret", "destroy", "Db_main", "--version", "9"],
            3,
            "not_found",
        ),
        (
            None,
            &["member", "add", "VERA", &x, "--role", "viewer"],
            5,
            "conflict",
        ),
        (
            None,
            &[
                "member",
                "add",
                "x",
                &x,
                "--role",
                "viewer",
                "--expires",
                hour_ago,
            ],
            2,
            "invalid_field",
        ),
        (None, &["member", "remove", "owner"], 5, "conflict"),
        (
            None,
            &["member", "change", "owner", "--role", "viewer"],
            5,
            "conflict",
        ),
        (None, &["workspace", "create", "demo"], 5, "conflict"),
        (None, &["block", "remove", "billing"], 3, "not_found"),
        (Some(&vera), &["workspace", "create", "other"], 4, "denied"),
        (
            Some(&vera),
            &["secret", "create", "New", "--stdin"],
            4,
            "denied",
        ),
        (Some(&vera), &["key", "rotate"], 4, "denied"),
        (
            Some(&eve),
            &["secret", "edit", "Mail_key", "--stdin"],
            4,
            "denied",
        ),
        (Some(&eve), &["secret", "delete", "Mail_key"], 4, "denied"),
    ];
    for (who, asked, exit, code) in cases {
        let before = dev.audit().len();
        by(&dev, who, &words(asked)).code(exit).error_code(code);
        assert_eq!(dev.audit().len(), before, "{asked:?}");
        // The command itself ends the same way; some refusals are recorded.
        let real: Vec<&str> = asked.iter().copied().chain(["--yes"]).collect();
        by(&dev, who, &real).code(exit).error_code(code);
    }
    dev.verifies();
}

/// An import shows its changes, and then the refusal.
#[test]
fn an_import_that_would_be_refused_ends_as_it_would() {
    let dev = Dev::start();
    dev.create("Db_main", "the value");
    let vera = dev.member("vera", "viewer", "*");
    let file = dev.home().write("more.env", "Db_main=1\nFresh=2\n");
    let before = dev.audit().len();
    let import = by(&dev, None, &["import", &file, "--dry-run"]).code(5);
    import.stdout_has("Fresh").stderr_has("(conflict)");
    let import = ["import", &file, "--dry-run", "--format", "dotenv"];
    let import = by(
        &dev,
        Some(&vera),
        &[&import[..], &["--skip-existing"]].concat(),
    );
    import.code(4).stderr_has("(denied)");
    assert_eq!(dev.audit().len(), before);
    dev.verifies();
}

#[test]
fn what_would_be_done_is_said_and_not_done() {
    let dev = Dev::start();
    dev.create("Db_main", "hunter-1");
    dev.keyroll(["secret", "edit", "Db_main", "--stdin"])
        .stdin("hunter-2")
        .run()
        .code(0);
    let file = dev.home().write("more.env", "Fresh=2\nFresher=3\n");
    let before = (dev.audit(), dev.digest());
    let dry = |asked: &[&str]| by(&dev, None, &words(asked)).code(0);
    dry(&["key", "rotate"]).stderr_has("to epoch 2");
    dry(&["secret", "destroy", "Db_main"]).stderr_has("would have destroyed");
    dry(&["secret", "rollback", "Db_main", "--to", "1"]).lacks("hunter-1");
    dry(&["import", &file]).stdout_has("Fresher");
    dry(&["workspace", "create", "other"]).stderr_has("other");
    let made = by(
        &dev,
        None,
        &["--json", "secret", "delete", "Db_main", "--dry-run"],
    );
    let made = made.code(0).json();
    assert_eq!(
        (&made["dry_run"], &made["index"]),
        (&json!(true), &json!(null))
    );
    assert_eq!((dev.audit(), dev.digest()), before);
    // A restricted value is shown to no one, so it cannot be rolled back either.
    dev.keyroll(["secret", "describe", "Db_main", "--restricted"])
        .run()
        .code(0);
    let entries = dev.audit().len();
    let back = ["secret", "rollback", "Db_main", "--to", "1"];
    by(&dev, None, &words(&back)).code(4).error_code("denied");
    assert_eq!(dev.audit().len(), entries);
}
