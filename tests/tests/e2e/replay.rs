//! Replaying earlier runs, while names and files change.

use keyroll_tests::harness::http::{ALLOW, Echo};
use keyroll_tests::harness::{Dev, Done};
use serde_json::{Value, json};

fn write(dev: &Dev, file: &str, blocks: &Value) -> String {
    let text = json!({"workflow": "w", "blocks": blocks}).to_string();
    dev.home().write(file, text)
}

fn api(url: &str, secret: &str) -> Value {
    json!([{"name": "b", "type": "external_api", "method": "GET", "url": url,
        "headers": {"X-Key": format!("{{{{secrets.{secret}}}}}")}}])
}

fn python(code: &str) -> Value {
    json!([{"name": "b", "type": "python", "code": code}])
}

fn block(dev: &Dev, words: &[&str]) -> Done {
    dev.keyroll(["block"].iter().chain(words).chain(&ALLOW))
        .run()
}

fn run_of(dev: &Dev, file: &str) -> String {
    let report = block(dev, &["run", file]).code(0).json();
    report["run"].as_str().expect("a run").to_owned()
}

#[test]
fn a_replay_is_of_the_secret_and_not_of_its_name() {
    let dev = Dev::start();
    let server = Echo::start();
    dev.create("Token", "value-of-then");
    let sent = write(&dev, "sent.json", &api(&server.url("/"), "Token"));
    let code = "result = secrets.Token == 'value-of' + '-then'";
    let read = write(&dev, "read.json", &python(code));
    let runs = [run_of(&dev, &sent), run_of(&dev, &read)];
    dev.keyroll(["secret", "edit", "Token", "--stdin"])
        .stdin("value-of-later")
        .run()
        .code(0);
    // The name now belongs to another secret, whose first version is another value.
    dev.keyroll(["secret", "rename", "Token", "Former"])
        .run()
        .code(0);
    dev.create("Token", "another-secret");
    let again = block(&dev, &["replay", &runs[0], &sent]).code(0).json();
    assert_eq!(again["secrets"], json!([{"name": "Former", "version": 1}]));
    let again = block(&dev, &["replay", &runs[1], &read]).code(0).json();
    assert_eq!(again["result"], true);
    // A block that was corrected after the rename means the same secret.
    let mended = write(&dev, "mended.json", &api(&server.url("/"), "Former"));
    block(&dev, &["replay", &runs[0], &mended]).code(0);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert!(request.contains("x-key: value-of-then\r\n"), "{request}");
    }
    let foreign = write(&dev, "foreign.json", &api(&server.url("/"), "Unknown"));
    block(&dev, &["replay", &runs[0], &foreign])
        .code(3)
        .stderr_has("did not use the secret Unknown");

    // A deleted secret is reported, although another secret has its old name.
    dev.keyroll(["secret", "delete", "Former", "--yes"])
        .run()
        .code(0);
    let before = dev.audit();
    for (id, file) in runs.iter().zip([&sent, &read]) {
        block(&dev, &["replay", id, file])
            .code(3)
            .error_code("secret_deleted")
            .stderr_has("Former");
    }
    dev.keyroll(["secret", "destroy", "Former", "--yes"])
        .run()
        .code(0);
    for (id, file) in runs.iter().zip([&sent, &read]) {
        block(&dev, &["replay", id, file])
            .code(3)
            .error_code("destroyed")
            .stderr_has("cannot be replayed")
            .lacks("another-secret");
    }
    let after = dev.audit();
    let revealed = |rows: &[Value]| {
        let kind = |row: &&Value| row["type"] == "secret.revealed";
        rows.iter().filter(kind).count()
    };
    assert_eq!(revealed(&before), revealed(&after));
    assert_eq!(server.requests().len(), 3);
    dev.verifies();
}

#[test]
fn a_replay_keeps_to_the_hosts_of_today() {
    let dev = Dev::start();
    let server = Echo::start();
    dev.create("Token", "value-of-then");
    let sent = write(&dev, "sent.json", &api(&server.url("/"), "Token"));
    let id = run_of(&dev, &sent);
    let bind = ["secret", "describe", "Token", "--allow-host", "api.example"];
    dev.keyroll(bind).run().code(0);
    dev.keyroll(["secret", "rename", "Token", "Former"])
        .run()
        .code(0);
    dev.create("Token", "another-secret");
    let before = dev.audit();
    block(&dev, &["replay", &id, &sent])
        .code(4)
        .error_code("host_not_allowed");
    assert_eq!(dev.audit(), before);
}

#[test]
fn a_run_that_was_started_here_is_known_by_its_name_alone() {
    let dev = Dev::start();
    dev.create("Token", "value-of-then");
    let code = "result = [len(secrets.Token), document]";
    let file = write(&dev, "python.json", &python(code));
    let input = dev.home().write("in.json", "{\"id\": 7}");
    let report = block(&dev, &["run", &file, "--input", &input])
        .code(0)
        .json();
    let id = report["run"].as_str().expect("a run");
    // From another directory, too.
    let again = dev
        .keyroll(["block", "replay", id, "--json"])
        .in_directory("/")
        .run()
        .code(0)
        .lacks("changed");
    assert_eq!(again.json()["result"], json!([13, {"id": 7}]));
    let other = dev.home().write("other.json", "8");
    let again = block(&dev, &["replay", id, "--input", &other]).code(0);
    assert_eq!(again.json()["result"], json!([13, 8]));

    // The kept file has the block's path, and none of its content.
    let runs = dev.home().data().join("runs");
    let kept = std::fs::read_to_string(runs.join(format!("{id}.json"))).expect("kept");
    assert!(
        kept.contains("python.json") && !kept.contains("Token"),
        "{kept}"
    );

    write(&dev, "python.json", &python("result = secrets.Token[:5]"));
    let again = block(&dev, &["replay", id]).code(0).stderr_has("changed");
    assert_eq!(again.json()["result"], "value");
    std::fs::remove_file(&file).expect("removed");
    block(&dev, &["replay", id]).code(1).stderr_has(&file);
    std::fs::remove_dir_all(&runs).expect("removed");
    block(&dev, &["replay", id])
        .code(2)
        .stderr_has(&format!("keyroll block replay {id} FILE"));
}
