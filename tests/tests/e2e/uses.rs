//! The uses of secrets, and replays of earlier runs.

use keyroll_tests::harness::Dev;
use keyroll_tests::harness::http::{ALLOW, Echo};
use serde_json::{Value, json};

fn file(dev: &Dev, blocks: &Value) -> String {
    let text = json!({"workflow": "billing", "blocks": blocks}).to_string();
    dev.home().write("blocks.json", text)
}

fn blocks(url: &str, code: &str) -> Value {
    json!([
        {"name": "api", "type": "external_api", "method": "GET", "url": url,
         "auth": {"type": "bearer", "token": "{{secrets.Token}}"}},
        {"name": "py", "type": "python", "code": code},
    ])
}

#[test]
fn a_saved_workflow_says_what_uses_a_secret() {
    let dev = Dev::start();
    for name in ["Token", "Inner", "Free"] {
        dev.create(name, "the-value-1");
    }
    let code = "name = 'Tok' + 'en'\ndef f():\n    return secrets.Inner, s['Token'], secrets[name]\nimport secrets as s\nfrom secrets import token_hex";
    let path = file(&dev, &blocks("https://api.example.com/", code));
    let before = dev.audit().len();
    dev.keyroll(["block", "save", &path])
        .run()
        .code(0)
        .stdout_has("2 blocks, 3 uses")
        .stderr_has("line 3");
    assert_eq!(dev.audit()[before]["type"], "workflow.saved");
    let used_by = |name: &str| {
        let row = dev
            .keyroll(["secret", "show", name, "--json"])
            .run()
            .code(0)
            .json();
        row["used_by"].clone()
    };
    let api = json!({"workflow": "billing", "block": "api"});
    let py = json!({"workflow": "billing", "block": "py"});
    assert_eq!(used_by("Token"), json!([api, py]));
    assert_eq!(used_by("Inner"), json!([py]));
    assert_eq!(used_by("Free"), json!([]));
    let rows = dev
        .keyroll(["block", "check", &path, "--json"])
        .run()
        .code(0)
        .rows();
    let states: Vec<_> = rows
        .iter()
        .map(|row| (&row["secret"], &row["state"]))
        .collect();
    assert!(
        states.contains(&(&json!("Inner"), &json!("active"))),
        "{rows:?}"
    );
    assert!(
        states.contains(&(&json!(""), &json!("only known when it runs"))),
        "{rows:?}"
    );
    dev.keyroll(["secret", "list"])
        .run()
        .code(0)
        .stdout_has("billing/api +1")
        .stdout_has("billing/py");
    // Taking away a secret in use gives a warning.
    dev.keyroll(["secret", "rename", "Inner", "Outer"])
        .run()
        .code(2)
        .stderr_has("billing/py")
        .stderr_has("--yes");
    dev.keyroll(["secret", "rename", "Inner", "Outer", "--yes"])
        .run()
        .code(0)
        .stderr_has("billing/py");
    dev.keyroll(["secret", "delete", "Token", "--yes"])
        .run()
        .code(0)
        .stderr_has("billing/api, billing/py");
    let free = dev
        .keyroll(["secret", "delete", "Free", "--yes"])
        .run()
        .code(0);
    free.lacks("used by");
    dev.keyroll(["block", "check", &path])
        .run()
        .code(3)
        .stderr_has("is deleted");
    dev.keyroll(["secret", "destroy", "Token", "--yes"])
        .run()
        .code(0)
        .stderr_has("billing/api, billing/py");
    dev.keyroll(["block", "remove", "billing"]).run().code(0);
    dev.keyroll(["block", "remove", "billing"])
        .run()
        .code(3)
        .error_code("not_found");
    dev.verifies();
}

#[test]
fn values_written_by_hand_are_found_and_not_repeated() {
    let dev = Dev::start();
    let key = format!("sk_live_{}", "a1B2".repeat(6));
    let block = json!([{"name": "p", "type": "python", "code": format!("k = '{key}'")}]);
    let path = file(&dev, &block);
    dev.keyroll(["block", "check", &path, "--offline"])
        .run()
        .code(2)
        .error_code("block_invalid")
        .stderr_has("a Stripe key")
        .lacks(&key);
}

#[test]
fn a_replay_has_the_versions_of_its_run() {
    let dev = Dev::start();
    let server = Echo::start();
    dev.create("Token", "first-value-1");
    let path = file(
        &dev,
        &blocks(
            &server.url("/"),
            "result = secrets.Token == 'first' + '-value-1'",
        ),
    );
    let run = |words: &[&str]| dev.keyroll(words.iter().chain(&ALLOW)).run();
    let api = run(&["block", "run", &path, "--block", "api"])
        .code(0)
        .json();
    let py = run(&["block", "run", &path, "--block", "py"])
        .code(0)
        .json();
    assert_eq!(py["result"], true);
    dev.keyroll(["secret", "edit", "Token", "--stdin"])
        .stdin("second-value-2")
        .run()
        .code(0);
    assert_eq!(
        run(&["block", "run", &path, "--block", "py"])
            .code(0)
            .json()["result"],
        false
    );
    let (api_run, py_run) = (api["run"].as_str().unwrap(), py["run"].as_str().unwrap());
    let again = run(&["block", "replay", api_run, &path]).code(0).json();
    assert_eq!(again["secrets"], json!([{"name": "Token", "version": 1}]));
    assert_ne!(again["run"], api["run"]);
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.contains("first-value-1"))
    );
    assert_eq!(
        run(&["block", "replay", py_run, &path]).code(0).json()["result"],
        true
    );
    run(&["block", "replay", "no-such-run", &path])
        .code(3)
        .error_code("not_found");
    let other = dev.home().write(
        "other.json",
        json!({"workflow": "other", "blocks": blocks(&server.url("/"), "")}).to_string(),
    );
    run(&["block", "replay", api_run, &other])
        .code(2)
        .stderr_has("billing");
    // Running blocks does not need permission to look back.
    let rudi = dev.member("rudi", "runner", "Token");
    dev.keyroll_as(
        &rudi,
        ["block", "replay", api_run, &path].iter().chain(&ALLOW),
    )
    .run()
    .code(4)
    .error_code("denied");
    dev.verifies();
}

#[test]
fn a_replay_of_a_destroyed_version_says_so() {
    let dev = Dev::start();
    let server = Echo::start();
    dev.create("Token", "first-value-1");
    let path = file(
        &dev,
        &blocks(&server.url("/"), "result = len(secrets.Token)"),
    );
    let run = |words: &[&str]| dev.keyroll(words.iter().chain(&ALLOW)).run();
    let runs = ["api", "py"].map(|block| {
        let report = run(&["block", "run", &path, "--block", block])
            .code(0)
            .json();
        report["run"].as_str().expect("a run").to_owned()
    });
    dev.keyroll(["secret", "edit", "Token", "--stdin"])
        .stdin("second-value-2")
        .run()
        .code(0);
    dev.keyroll(["secret", "destroy", "Token", "--version", "1", "--yes"])
        .run()
        .code(0);
    let revealed = || {
        let rows = dev.audit();
        let count = rows.iter().filter(|row| row["type"] == "secret.revealed");
        count.count()
    };
    let before = revealed();
    for id in &runs {
        run(&["block", "replay", id, &path])
            .code(3)
            .error_code("destroyed")
            .stderr_has("destroyed")
            .stderr_has("Token")
            .lacks("first-value-1")
            .lacks("second-value-2");
    }
    assert_eq!(revealed(), before, "nothing was revealed");
    assert_eq!(server.requests().len(), 1, "only the first run asked");
    // The latest version is unchanged.
    run(&["block", "run", &path, "--block", "api"]).code(0);
    dev.verifies();
}
