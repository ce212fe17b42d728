//! An external API block against a real web server.

use keyroll_tests::harness::http::{ALLOW, Echo};
use keyroll_tests::harness::{Dev, Done};
use serde_json::{Value, json};

fn run(dev: &Dev, file: &str) -> Done {
    dev.keyroll(["block", "run", file].iter().chain(&ALLOW))
        .run()
}

fn file(dev: &Dev, blocks: &Value) -> String {
    let text = json!({"workflow": "billing", "blocks": blocks}).to_string();
    dev.home().write("block.json", text)
}

fn with_token(url: &str) -> Value {
    json!({
        "name": "charge", "type": "external_api", "method": "POST", "url": url,
        "auth": {"type": "bearer", "token": "{{secrets.Token}}"},
        "headers": {"X-Api-Key": "key={{ secrets.Key }}", "X-Plain": "plain"},
        "body": {"json": {"card": "{{secrets.Card}}", "list": [1, "{{secrets.Token}}"], "other": "{{workflow.input}}"}},
    })
}

#[test]
fn a_block_sends_the_values_and_shows_none() {
    let dev = Dev::start();
    let server = Echo::start();
    let card = "4000 \"0000\" \\ é";
    for (name, value) in [
        ("Token", "token-value-1"),
        ("Key", "key-value-1"),
        ("Card", card),
    ] {
        dev.create(name, value);
    }
    let before = dev.audit().len();
    let file = file(&dev, &json!([with_token(&server.url("/charge?x=1"))]));
    let done = run(&dev, &file)
        .code(0)
        .lacks("token-value-1")
        .lacks("key-value-1")
        .lacks("4000");
    let report = done.json();
    keyroll_tests::harness::done::shape(
        &report,
        &[
            "status",
            "http_status",
            "output",
            "run",
            "secrets",
            "index",
            "warnings",
        ],
        &["unmasked"],
    );
    assert_eq!(
        (&report["status"], &report["http_status"]),
        (&json!("ok"), &json!(200)),
        "{report}"
    );

    let requests = server.requests();
    let [request] = requests.as_slice() else {
        panic!("one request was expected: {requests:?}")
    };
    let (head, body) = request.split_once("\r\n\r\n").expect("head and body");
    let head = head.to_lowercase();
    assert!(head.starts_with("post /charge?x=1 http/1.1\r\n"), "{head}");
    for line in [
        "authorization: bearer token-value-1",
        "x-api-key: key=key-value-1",
        "x-plain: plain",
    ] {
        assert!(
            head.lines().any(|found| found == line),
            "{line:?} is missing: {head}"
        );
    }
    let body: Value = serde_json::from_str(body).expect("JSON");
    let expected =
        json!({"card": card, "list": [1, "token-value-1"], "other": "{{workflow.input}}"});
    assert_eq!(body, expected);

    // One entry for all of them, with their purpose.
    let rows = dev.audit();
    let [row] = &rows[before..] else {
        panic!("one entry was expected: {:?}", &rows[before..])
    };
    assert_eq!(
        (&row["type"], &row["index"]),
        (&json!("secret.revealed"), &report["index"])
    );
    assert_eq!(
        row["run"],
        json!({"workflow": "billing", "block": "charge", "run": report["run"]})
    );
    let mut names: Vec<_> = row["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["Card", "Key", "Token"]);
    let run_id = report["run"].as_str().expect("a run");
    let of_run = dev
        .keyroll(["audit", "log", "--run", run_id, "--json"])
        .run()
        .code(0)
        .rows();
    assert_eq!(of_run, std::slice::from_ref(row));
    dev.verifies();
}

#[test]
fn after_a_rotation_the_next_run_has_the_new_value() {
    let dev = Dev::start();
    let server = Echo::start();
    dev.create("Token", "first-value-1");
    let block = json!({
        "name": "b", "type": "external_api", "method": "GET", "url": server.url("/"),
        "auth": {"type": "bearer", "token": "{{secrets.Token}}"},
    });
    let file = file(&dev, &json!([block]));
    assert_eq!(
        run(&dev, &file).code(0).json()["secrets"],
        json!([{"name": "Token", "version": 1}])
    );
    dev.keyroll(["secret", "edit", "Token", "--stdin"])
        .stdin("second-value-2")
        .run()
        .code(0);
    assert_eq!(
        run(&dev, &file).code(0).json()["secrets"],
        json!([{"name": "Token", "version": 2}])
    );
    let requests = server.requests();
    assert!(
        requests[0].contains("Bearer first-value-1")
            && requests[1].contains("Bearer second-value-2"),
        "{requests:?}"
    );
    // Output for people has the body, masked as well.
    let words = [
        "block",
        "run",
        &file,
        "--allow-address",
        "127.0.0.0/8",
        "--allow-http",
        "127.0.0.1",
    ];
    dev.keyroll(words)
        .run()
        .code(0)
        .stdout_has("GET / HTTP/1.1")
        .lacks("second-value-2")
        .stderr_has("HTTP 200");
}

#[test]
fn what_cannot_be_sent_is_not_revealed() {
    let dev = Dev::start();
    let server = Echo::start();
    let create = [
        "secret",
        "create",
        "Bound",
        "--stdin",
        "--allow-host",
        "api.example.com",
    ];
    dev.keyroll(create).stdin("the-value").run().code(0);
    dev.create("Free", "the-value");
    dev.create("Gone", "the-value");
    dev.keyroll(["secret", "delete", "Gone", "--yes"])
        .run()
        .code(0);
    let before = dev.audit();
    let block = |name: &str, url: &str| {
        json!({
            "name": "b", "type": "external_api", "method": "GET", "url": url,
            "headers": {"X-Key": format!("{{{{secrets.{name}}}}}")},
        })
    };
    let url = server.url("/");
    for (block, code, status) in [
        (block("Bound", &url), "host_not_allowed", 4),
        (block("None_such", &url), "secret_not_found", 3),
        (block("FREE", &url), "secret_not_found", 3),
        (block("Gone", &url), "secret_deleted", 3),
        (block("a b", &url), "template_syntax", 2),
        (block("class", &url), "invalid_name", 2),
        (block("Free", "not a url"), "block_invalid", 2),
        (block("Free", "ftp://127.0.0.1/"), "block_invalid", 2),
        (
            block("Free", &format!("{url}?key={{{{secrets.Free}}}}")),
            "context_forbidden",
            2,
        ),
        (
            block("Free", "http://{{secrets.Free}}/"),
            "context_forbidden",
            2,
        ),
        (block("Free", "http://localhost:1/"), "host_not_allowed", 4),
        (block("Free", "https://192.168.0.1/"), "address_blocked", 4),
        (
            block("Free", "https://169.254.169.254/"),
            "address_blocked",
            4,
        ),
    ] {
        let shown = block.to_string();
        let run = run(&dev, &file(&dev, &json!([block])));
        assert!(run.bytes().is_empty(), "{shown}\n{run}");
        run.code(status).error_code(code).lacks("the-value");
    }
    assert_eq!(dev.audit(), before, "nothing was revealed");
    assert_eq!(server.requests(), Vec::<String>::new(), "nothing was sent");
    let without = json!([block("Free", &url)]);
    let words = ["block", "run", &file(&dev, &without), "--json"];
    dev.keyroll(words).run().code(4).stdout("");
    assert_eq!(dev.audit(), before);
    run(&dev, &file(&dev, &without)).code(0);
    assert_eq!(dev.audit().len(), before.len() + 1);
}

/// Any error in a block's own text is found without a value, and so before one is released.
#[test]
fn what_needs_no_value_is_checked_before_the_reveal() {
    let dev = Dev::start();
    let server = Echo::start();
    dev.create("Token", "the-value");
    let before = dev.audit();
    let url = server.url("/");
    let of = |fields: &Value| {
        let mut block = json!({
            "name": "b", "type": "external_api", "method": "POST", "url": url,
            "body": {"json": {"token": "{{secrets.Token}}"}},
        });
        for (name, value) in fields.as_object().expect("fields") {
            block[name] = value.clone();
        }
        block
    };
    let reserved = [
        "Accept-Encoding",
        "Connection",
        "Content-Length",
        "Expect",
        "HOST",
        "Keep-Alive",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    ];
    let mut blocks: Vec<Value> = reserved
        .iter()
        .map(|name| of(&json!({"headers": {*name: "x"}})))
        .collect();
    blocks.extend([
        of(&json!({"auth": {"type": "header", "name": "Host", "value": "{{secrets.Token}}"}})),
        of(&json!({"headers": {"a b": "x"}})),
        of(&json!({"headers": {"": "x"}})),
        of(&json!({"headers": {"X-A": "1", "x-a": "2"}})),
        of(&json!({"auth": {"type": "bearer", "token": "{{secrets.Token}}"}, "headers": {"Authorization": "x"}})),
        of(&json!({"method": "TRACE"})),
        of(&json!({"method": "post"})),
        of(&json!({"url": format!("{url}#{{{{secrets.Token}}}}")})),
        of(&json!({"url": url.replace("://", "://user:password@")})),
    ]);
    for block in blocks {
        let done = run(&dev, &file(&dev, &json!([block])));
        done.code(2).lacks("the-value");
    }
    for (fields, code) in [
        (
            json!({"headers": {"X-A": "{{secrets.Token}} é"}}),
            "value_illegal_for_context",
        ),
        (
            json!({"headers": {"X-A": "two\nlines"}}),
            "value_illegal_for_context",
        ),
        (
            json!({"auth": {"type": "basic", "username": "a:b", "password": "{{secrets.Token}}"}}),
            "value_illegal_for_context",
        ),
        (
            json!({"auth": {"type": "basic", "username": "a", "password": "{{secrets.Token}}\u{7}"}}),
            "value_illegal_for_context",
        ),
    ] {
        let done = run(&dev, &file(&dev, &json!([of(&fields)])));
        done.code(2).error_code(code);
    }
    // A name whose address is refused, and one that has none.
    let port = url.rsplit(':').next().expect("a port");
    for (host, code, status) in [
        ("localhost", "address_blocked", 4),
        ("keyroll.invalid", "http_failed", 1),
    ] {
        let block = of(&json!({"url": format!("http://{host}:{port}")}));
        let path = file(&dev, &json!([block]));
        let words = ["block", "run", &path, "--allow-http", host];
        dev.keyroll(words)
            .run()
            .code(status)
            .error_code(code)
            .stderr_has(host);
    }
    assert_eq!(dev.audit(), before, "nothing was revealed");
    assert_eq!(server.requests(), Vec::<String>::new(), "nothing was sent");
    // An allowed request goes to the address that was checked.
    let localhost = of(&json!({"url": format!("http://localhost:{port}")}));
    let path = file(&dev, &json!([localhost]));
    let words = [
        "block",
        "run",
        &path,
        "--allow-http",
        "localhost",
        "--allow-address",
        "127.0.0.0/8",
    ];
    dev.keyroll(words.iter().chain(&["--allow-address", "::1"]))
        .run()
        .code(0);
    assert_eq!(dev.audit().len(), before.len() + 1);
}

#[test]
fn a_failed_request_says_which_entry_the_reveal_is() {
    let dev = Dev::start();
    dev.create("Token", "the-value");
    let block = json!({
        "name": "b", "type": "external_api", "method": "GET", "url": "http://127.0.0.1:1/",
        "auth": {"type": "bearer", "token": "{{secrets.Token}}"},
    });
    let done = run(&dev, &file(&dev, &json!([block])))
        .code(1)
        .error_code("http_failed")
        .lacks("the-value");
    done.stderr_has("the reveal is entry 2");
    assert_eq!(dev.audit()[2]["type"], "secret.revealed");
}

#[test]
fn a_runner_runs_blocks_and_sees_no_value() {
    let dev = Dev::start();
    let server = Echo::start();
    let create = ["secret", "create", "Token", "--stdin", "--restricted"];
    dev.keyroll(create).stdin("the-value").run().code(0);
    let rudi = dev.member("rudi", "runner", "Token");
    let block = json!({
        "name": "b", "type": "external_api", "method": "GET", "url": server.url("/"),
        "auth": {"type": "bearer", "token": "{{secrets.Token}}"},
    });
    let path = file(&dev, &json!([block]));
    dev.keyroll_as(&rudi, ["block", "run", &path].iter().chain(&ALLOW))
        .run()
        .code(0)
        .lacks("the-value");
    assert!(server.requests()[0].contains("Bearer the-value"));
    dev.keyroll_as(&rudi, ["secret", "reveal", "Token"])
        .run()
        .code(4)
        .error_code("denied");
    // The owner may not see it, not even through a block.
    run(&dev, &path).code(4).error_code("denied");
    assert_eq!(server.requests().len(), 1);
    let kinds: Vec<_> = dev.audit()[3..]
        .iter()
        .map(|row| json!([row["type"], row["actor_name"]]))
        .collect();
    assert_eq!(
        kinds,
        [
            json!(["secret.revealed", "rudi"]),
            json!(["access.denied", "rudi"]),
            json!(["access.denied", "owner"])
        ]
    );
}

#[test]
fn block_files_are_checked_without_a_request() {
    let dev = Dev::start();
    dev.create("Token", "the-value");
    let block = |name: &str, secret: &str| {
        json!({
            "name": name, "type": "external_api", "method": "GET", "url": "https://api.example.com/",
            "auth": {"type": "bearer", "token": format!("{{{{secrets.{secret}}}}}")},
        })
    };
    let good = file(&dev, &json!([block("a", "Token")]));
    let rows = dev
        .keyroll(["block", "check", &good, "--json"])
        .run()
        .code(0)
        .rows();
    assert_eq!(
        json!([rows[0]["block"], rows[0]["secret"], rows[0]["state"]]),
        json!(["a", "Token", "active"])
    );
    let bad = file(&dev, &json!([block("a", "Token"), block("b", "None_such")]));
    dev.keyroll(["block", "check", &bad])
        .run()
        .code(3)
        .stderr_has("None_such");
    dev.keyroll(["block", "check", &bad, "--offline"])
        .run()
        .code(0);
    dev.keyroll(["block", "run", &bad])
        .run()
        .code(2)
        .error_code("block_invalid")
        .stderr_has("several blocks");
    dev.keyroll(["block", "run", &bad, "--block", "c"])
        .run()
        .code(2)
        .error_code("block_invalid");
    let broken = dev
        .home()
        .write("broken.json", "{\"workflow\": \"w\",\n \"blocks\": [}");
    dev.keyroll(["block", "check", &broken])
        .run()
        .code(2)
        .stderr_has("line 2");
    let missing = dev.home().path("missing.json");
    dev.keyroll(["block", "run", &missing])
        .run()
        .code(1)
        .stderr_has("missing.json");
    assert_eq!(dev.audit().len(), 2);
}
