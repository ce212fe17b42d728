//! The life of a secret through the command line.

use keyroll_tests::harness::Dev;
use serde_json::{Value, json};

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn a_secret_lives_from_create_to_restore() {
    let dev = Dev::start();
    let create = [
        "secret",
        "create",
        "API_Key",
        "--stdin",
        "--description",
        "for tests",
        "--allow-host",
        "a.example",
    ];
    dev.keyroll(create)
        .stdin("one")
        .run()
        .code(0)
        .stdout("")
        .stderr_has("created API_Key in demo (entry 1)");
    let edit = ["secret", "edit", "API_Key", "--stdin", "--reason", "leaked"];
    dev.keyroll(edit)
        .stdin("two")
        .run()
        .code(0)
        .stdout("")
        .stderr_has("as version 2 (entry 2)");
    dev.keyroll(["secret", "reveal", "API_Key"])
        .run()
        .code(0)
        .stdout("two")
        .quiet();
    dev.keyroll(["secret", "reveal", "API_Key", "--version", "1"])
        .run()
        .code(0)
        .stdout("one")
        .quiet();
    dev.keyroll([
        "secret",
        "describe",
        "API_Key",
        "--description",
        "new words",
    ])
    .run()
    .code(0);
    dev.keyroll(["secret", "rename", "API_Key", "Key_2"])
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "API_Key"])
        .run()
        .code(3)
        .error_code("not_found");
    dev.keyroll(["secret", "rollback", "Key_2", "--to", "1"])
        .run()
        .code(0)
        .stdout("");
    dev.keyroll(["secret", "reveal", "Key_2"])
        .run()
        .code(0)
        .stdout("one");
    dev.keyroll(["secret", "delete", "Key_2", "--yes"])
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "Key_2"])
        .run()
        .code(3)
        .error_code("deleted");
    dev.keyroll(["secret", "reveal", "Key_2", "--version", "2"])
        .run()
        .code(3)
        .error_code("deleted");
    dev.keyroll(["secret", "edit", "Key_2", "--stdin"])
        .stdin("x")
        .run()
        .code(3)
        .error_code("deleted");
    assert_eq!(dev.secrets(), Vec::<Value>::new());
    let gone = dev
        .keyroll(["secret", "list", "--deleted", "--json"])
        .run()
        .code(0)
        .rows();
    assert_eq!((gone.len(), &gone[0]["state"]), (1, &json!("deleted")));
    dev.keyroll(["secret", "restore", "Key_2"]).run().code(0);
    dev.keyroll(["secret", "restore", "Key_2"])
        .run()
        .code(5)
        .error_code("conflict");
    dev.keyroll(["secret", "reveal", "Key_2", "--version", "2"])
        .run()
        .code(0)
        .stdout("two");

    let row = |row: &Value| {
        let secrets: Vec<String> = row["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| format!("{}@{}", s["name"], s["version"]))
            .collect();
        (
            row["index"].as_u64().unwrap(),
            row["type"].as_str().unwrap().to_owned(),
            secrets.join(" ").replace('"', ""),
        )
    };
    let rows = dev.audit();
    let found: Vec<_> = rows.iter().map(row).collect();
    let expected = [
        ("workspace.created", ""),
        ("secret.created", "API_Key@1"),
        ("secret.edited", "API_Key@2"),
        ("secret.revealed", "API_Key@2"),
        ("secret.revealed", "API_Key@1"),
        ("secret.described", "API_Key@null"),
        ("secret.renamed", "API_Key@null Key_2@null"),
        // A rollback reads the old value to seal it again: that is a reveal like any other.
        ("secret.revealed", "Key_2@1"),
        ("secret.edited", "Key_2@3"),
        ("secret.revealed", "Key_2@3"),
        ("secret.deleted", "Key_2@null"),
        ("secret.restored", "Key_2@null"),
        ("secret.revealed", "Key_2@2"),
    ];
    let expected: Vec<_> = (0..)
        .zip(expected)
        .map(|(index, (kind, secrets))| (index, kind.to_owned(), secrets.to_owned()))
        .collect();
    // Refusals for other reasons than permission are not recorded.
    assert_eq!(found, expected);
    let owner = dev.keyroll(["identity", "show"]).run().code(0).text();
    for row in &rows {
        assert_eq!(
            (&row["outcome"], &row["actor_name"]),
            (&json!("granted"), &json!("owner")),
            "{row}"
        );
        assert_eq!(row["actor"].as_str(), owner.split(' ').next(), "{row}");
    }
    assert_eq!(rows[2]["reason"], "leaked");
    dev.verifies();
}

#[test]
fn names_are_one_without_regard_to_case_and_references_are_exact() {
    let dev = Dev::start();
    dev.create("Token", "value");
    dev.keyroll(["secret", "create", "TOKEN", "--stdin"])
        .stdin("x")
        .run()
        .code(5)
        .error_code("conflict");
    dev.create("Other", "value");
    dev.keyroll(["secret", "rename", "Other", "token"])
        .run()
        .code(5)
        .error_code("conflict");
    dev.keyroll(["secret", "reveal", "tOKEN"])
        .run()
        .code(3)
        .error_code("not_found")
        .stderr_has("there is Token");
    // A change of case alone is a rename like any other.
    dev.keyroll(["secret", "rename", "Token", "TOKEN"])
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "TOKEN"])
        .run()
        .code(0)
        .stdout("value");
    // The name of a deleted secret is free, and the deleted one cannot come back beside it.
    dev.keyroll(["secret", "delete", "TOKEN", "--yes"])
        .run()
        .code(0);
    dev.create("Token", "another");
    dev.keyroll(["secret", "reveal", "Token"])
        .run()
        .code(0)
        .stdout("another");
    dev.verifies();
}

#[test]
fn a_dry_run_leaves_no_trace() {
    let dev = Dev::start();
    dev.create("A", "one");
    dev.keyroll(["secret", "edit", "A", "--stdin"])
        .stdin("two")
        .run()
        .code(0);
    let before = dev.audit();
    let person = dev.person("bob");
    let runs: [&[&str]; 9] = [
        &["secret", "create", "B", "--stdin", "--dry-run"],
        &["secret", "edit", "A", "--stdin", "--dry-run"],
        &["secret", "describe", "A", "--description", "d", "--dry-run"],
        &["secret", "rename", "A", "B", "--dry-run"],
        &["secret", "rollback", "A", "--to", "1", "--dry-run"],
        &["secret", "delete", "A", "--dry-run"],
        &[
            "member",
            "add",
            "bob",
            &person.key,
            "--role",
            "viewer",
            "--dry-run",
        ],
        &["member", "change", "owner", "--name", "boss", "--dry-run"],
        &["workspace", "create", "other", "--dry-run"],
    ];
    for words in runs {
        dev.keyroll(words)
            .stdin("three")
            .run()
            .code(0)
            .stdout("")
            .stderr_has("would");
    }
    assert_eq!(dev.audit(), before);
    assert_eq!(
        dev.keyroll(["workspace", "list", "--json"])
            .run()
            .code(0)
            .rows()
            .len(),
        1
    );
}

#[test]
fn workspaces_keep_to_themselves() {
    let dev = Dev::start();
    dev.create("Mine", "demo's value");
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    let other = |words: &[&str]| dev.keyroll(["-w", "other"].iter().chain(words));
    other(&["secret", "reveal", "Mine"])
        .run()
        .code(3)
        .error_code("not_found");
    other(&["secret", "create", "Mine", "--stdin"])
        .stdin("other's value")
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "Mine"])
        .run()
        .code(0)
        .stdout("demo's value");
    other(&["secret", "reveal", "Mine"])
        .run()
        .code(0)
        .stdout("other's value");
    let rows = other(&["audit", "log", "--json"]).run().code(0).rows();
    assert!(
        rows.iter().all(|row| row["workspace"] == "other"),
        "{rows:?}"
    );
    assert_eq!(rows.len(), 3);
    other(&["audit", "verify", "--full"]).run().code(0);
    dev.verifies();
    dev.keyroll(["workspace", "create", "other"])
        .run()
        .code(5)
        .error_code("conflict");
    dev.keyroll(["-w", "none", "secret", "list"])
        .run()
        .code(4)
        .error_code("denied");
}

#[test]
fn workspace_state_holds_members_and_secrets_of_one_moment() {
    let dev = Dev::start();
    dev.create("A", "a value");
    dev.create("B", "a value");
    dev.keyroll(["secret", "delete", "B", "--yes"])
        .run()
        .code(0);
    dev.member("bob", "viewer", "A*");
    let state = dev
        .keyroll(["workspace", "state", "--json"])
        .run()
        .code(0)
        .lacks("a value")
        .json();
    let names: Vec<_> = state["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["name"], &row["state"]))
        .collect();
    assert_eq!(
        names,
        [
            (&json!("A"), &json!("active")),
            (&json!("B"), &json!("deleted"))
        ]
    );
    let members: Vec<_> = state["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["name"], &row["role"]))
        .collect();
    assert_eq!(
        members,
        [
            (&json!("owner"), &json!("owner")),
            (&json!("bob"), &json!("viewer"))
        ]
    );
    assert_eq!(state["entries"], dev.audit().len());
}
