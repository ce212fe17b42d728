//! The fields of `--json`, as docs/cli.md has them.

use keyroll_tests::harness::Dev;
use keyroll_tests::harness::done::shape;
use serde_json::{Value, json};

const SECRET: [&str; 12] = [
    "name",
    "version",
    "state",
    "description",
    "updated_at",
    "updated_by",
    "last_revealed_at",
    "used_by",
    "stale",
    "unused",
    "restricted",
    "allowed_hosts",
];
const RECEIPT: [&str; 4] = ["index", "path", "entry", "checkpoint"];

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn json_has_the_documented_shapes() {
    let dev = Dev::start();
    let create = [
        "secret",
        "create",
        "A",
        "--stdin",
        "--allow-host",
        "a.example",
        "--rotate-every",
        "90d",
        "--json",
    ];
    let created = dev
        .keyroll(create)
        .stdin("first value")
        .run()
        .code(0)
        .quiet()
        .json();
    shape(&created, &["name", "version", "index", "receipt"], &[]);
    assert_eq!(
        (&created["version"], &created["index"]),
        (&json!(1), &json!(1))
    );

    let list = dev
        .keyroll(["secret", "list", "--json"])
        .run()
        .code(0)
        .quiet()
        .rows();
    shape(&list[0], &SECRET, &["updated_by_name", "value_state"]);
    let facts = [
        "name",
        "state",
        "allowed_hosts",
        "used_by",
        "last_revealed_at",
        "stale",
        "restricted",
    ];
    let facts: Vec<&Value> = facts.iter().map(|fact| &list[0][*fact]).collect();
    assert_eq!(
        json!(facts),
        json!(["A", "active", ["a.example"], [], null, false, false])
    );

    let revealed = dev
        .keyroll(["secret", "reveal", "A", "--json", "--reason", "to see"])
        .run()
        .code(0)
        .quiet()
        .json();
    shape(
        &revealed,
        &["name", "version", "value", "index", "receipt", "warnings"],
        &[],
    );
    assert_eq!(
        (&revealed["value"], &revealed["index"]),
        (&json!("first value"), &json!(2))
    );
    for key in RECEIPT {
        assert!(!revealed["receipt"][key].is_null(), "{revealed}");
    }
    dev.keyroll(["secret", "edit", "A", "--stdin"])
        .stdin([0xff, 0x00, 0xfe])
        .run()
        .code(0);
    let revealed = dev
        .keyroll(["secret", "reveal", "A", "--json"])
        .run()
        .code(0)
        .json();
    shape(
        &revealed,
        &[
            "name",
            "version",
            "value_base64",
            "index",
            "receipt",
            "warnings",
        ],
        &[],
    );
    assert_eq!(revealed["value_base64"], "/wD+");

    let history = dev
        .keyroll(["secret", "history", "A", "--json"])
        .run()
        .code(0)
        .quiet()
        .rows();
    shape(
        &history[0],
        &["version", "at", "actor", "type", "state"],
        &["actor_name", "reason", "seen_by", "seen_by_count"],
    );
    let versions: Vec<_> = history
        .iter()
        .map(|row| (&row["version"], &row["type"]))
        .collect();
    assert_eq!(
        versions,
        [
            (&json!(2), &json!("edited")),
            (&json!(1), &json!("created"))
        ]
    );

    let audit = dev.audit();
    let documented = [
        "workspace",
        "index",
        "at",
        "type",
        "actor",
        "actor_name",
        "secrets",
        "outcome",
        "run",
        "digest",
    ];
    for row in &audit {
        let others = [
            "sign_in_key",
            "delegate_key",
            "attempted",
            "reason",
            "purpose",
            "agent",
        ];
        shape(row, &documented, &others);
    }
    shape(&audit[1]["secrets"][0], &["name", "version"], &[]);
    assert_eq!(audit[2]["reason"], "to see");

    let verified = dev
        .keyroll(["audit", "verify", "--json"])
        .run()
        .code(0)
        .quiet()
        .json();
    shape(
        &verified,
        &[
            "workspace",
            "entries",
            "root",
            "ok",
            "end_proven",
            "warnings",
            "problems",
        ],
        &[],
    );
    assert_eq!(
        json!([
            verified["workspace"],
            verified["entries"],
            verified["ok"],
            verified["end_proven"]
        ]),
        json!(["demo", audit.len(), true, true])
    );
    shape(
        &dev.keyroll(["audit", "prove", "1", "--json"])
            .run()
            .code(0)
            .json(),
        &["entry", "proof"],
        &[],
    );
    let rebuilt = dev
        .keyroll(["projection", "rebuild", "--json"])
        .run()
        .code(0)
        .quiet()
        .json();
    shape(
        &rebuilt,
        &["entries", "seconds", "digest", "root", "identical"],
        &[],
    );

    let missing = dev
        .keyroll(["secret", "reveal", "B", "--json"])
        .run()
        .code(3)
        .stdout("");
    let said: Value =
        serde_json::from_slice(missing.error_bytes()).expect("one JSON document on stderr");
    shape(&said, &["error"], &[]);
    shape(&said["error"], &["code", "message"], &[]);
    assert_eq!(said["error"]["code"], "not_found");
}
