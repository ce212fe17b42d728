//! Blocks against hostile services, awkward values, and a ledger that cannot write.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use keyroll_tests::harness::http::{ALLOW, Echo, response};
use keyroll_tests::harness::{Dev, Done};
use serde_json::{Value, json};

use crate::faults::with_full;

const VALUE: &str = "k+9/ \"x\"\\</tag>{{secrets.Other}}~z";

fn run_with(dev: &Dev, blocks: &Value, more: &[&str]) -> Done {
    let text = json!({"workflow": "w", "blocks": blocks}).to_string();
    let file = dev.home().write("block.json", text);
    dev.keyroll(["block", "run", &file].iter().chain(more).chain(&ALLOW))
        .run()
}

fn run(dev: &Dev, block: &Value) -> Done {
    run_with(dev, &json!([block]), &[])
}

fn post(url: &str) -> Value {
    json!({"name": "b", "type": "external_api", "method": "POST", "url": url,
        "body": {"json": {"key": "{{secrets.Token}}"}}})
}

/// How a service may spell the value that it got.
fn spelling(number: &str) -> Option<String> {
    let bytes = VALUE.as_bytes();
    let each = |spell: fn(u8) -> String| bytes.iter().map(|byte| spell(*byte)).collect::<String>();
    let base64 = |before: &str| STANDARD.encode(format!("{before}{VALUE}and more"));
    let spellings = [
        VALUE.to_owned(),
        json!(VALUE).to_string(),
        json!({"a": [VALUE, {VALUE: 1}]}).to_string(),
        each(|byte| format!("{byte:02x}")),
        each(|byte| format!("{byte:02X}")),
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("\\u{byte:04X}")),
        base64(""),
        base64("a"),
        base64("ab"),
        URL_SAFE.encode(format!("abc{VALUE}")),
        VALUE.replace('&', "&amp;").replace('<', "&lt;"),
    ];
    spellings.get(number.parse::<usize>().ok()?).cloned()
}

#[test]
fn no_spelling_of_a_value_comes_out() {
    let dev = Dev::start();
    dev.create("Token", VALUE);
    // One byte at a time, so that every split is among them.
    let server = Echo::serving(|request, stream| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let body = spelling(path.trim_start_matches('/')).unwrap_or_default();
        stream.set_nodelay(true)?;
        for byte in response("200 OK", "", body.as_bytes()) {
            stream.write_all(&[byte])?;
        }
        Ok(())
    });
    let mut number = 0;
    while let Some(form) = spelling(&number.to_string()) {
        let url = server.url(&format!("/{number}"));
        let done = run(&dev, &post(&url)).code(0).lacks(&form);
        let output = done.json()["output"].as_str().expect("text").to_owned();
        assert!(output.contains("[REDACTED:Token]"), "{form}: {output}");
        assert!(output.len() < 70, "{form}: {output}");
        number += 1;
    }
    assert_eq!(number, 12);
    let request = &server.requests()[0];
    assert!(
        request.ends_with(&json!({"key": VALUE}).to_string()),
        "{request}"
    );
}

#[test]
fn a_service_that_misbehaves_ends_the_block_and_learns_nothing_more() {
    let dev = Dev::start();
    dev.create("Token", VALUE);
    let other = Echo::start();
    let elsewhere = other.url("/stolen");
    let bomb = Command::new("python3")
        .args([
            "-c",
            "import gzip, sys; sys.stdout.buffer.write(gzip.compress(bytes(80 << 20)))",
        ])
        .output()
        .expect("python3")
        .stdout;
    assert!((1..1 << 20).contains(&bomb.len()));
    let server = Echo::serving(move |request, stream| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        match path {
            "/away" => {
                let location = format!("location: {elsewhere}\r\n");
                stream.write_all(&response("307 T", &location, b""))
            }
            "/round" => stream.write_all(&response("307 T", "location: /round\r\n", b"")),
            "/drip" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                loop {
                    stream.write_all(b"a")?;
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            "/flood" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                let part = vec![b'a'; 1 << 20];
                for _ in 0..100 {
                    stream.write_all(&part)?;
                }
                Ok(())
            }
            "/bomb" => stream.write_all(&response("200 OK", "content-encoding: gzip\r\n", &bomb)),
            "/cut" => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"),
            _ => stream.write_all(&response("500 Oops", "", VALUE.as_bytes())),
        }
    });
    let following = |path: &str| {
        let mut block = post(&server.url(path));
        block["redirects"] = json!("same_origin");
        block
    };
    let plain = |path: &str| post(&server.url(path));
    for (block, error, status) in [
        (following("/away"), "redirect_blocked", 4),
        (following("/round"), "redirect_blocked", 4),
        (plain("/drip"), "timeout", 1),
        (plain("/flood"), "output_limit", 1),
        (plain("/bomb"), "output_limit", 1),
        (plain("/cut"), "http_failed", 1),
    ] {
        let more: &[&str] = if error == "timeout" {
            &["--timeout", "1s"]
        } else {
            &[]
        };
        run_with(&dev, &json!([block]), more)
            .code(status)
            .error_code(error)
            .stderr_has("the reveal is entry")
            .lacks(VALUE);
    }
    let report = run(&dev, &plain("/away")).code(1).json();
    assert_eq!(
        (&report["http_status"], &report["status"]),
        (&json!(307), &json!("failed"))
    );
    let report = run(&dev, &plain("/oops")).code(1).json();
    assert_eq!(report["output"], "[REDACTED:Token]");
    assert_eq!(other.requests(), Vec::<String>::new());
    dev.verifies();
}

#[test]
fn a_proxy_in_the_environment_is_not_asked() {
    let dev = Dev::start();
    dev.create("Token", VALUE);
    let (server, proxy) = (Echo::start(), Echo::start());
    let text = json!({"workflow": "w", "blocks": [post(&server.url("/"))]}).to_string();
    let file = dev.home().write("block.json", text);
    let mut command = dev.keyroll(["block", "run", &file].iter().chain(&ALLOW));
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command = command.env(name, proxy.url(""));
    }
    command.run().code(0);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(proxy.requests(), Vec::<String>::new());
}

#[test]
fn a_secret_stands_in_a_query_where_the_run_allows_it() {
    let dev = Dev::start();
    let server = Echo::start();
    dev.create("Token", "a&b=c#d /?é");
    dev.create("Other", "other-value");
    let url = server.url("/p?x=1&k={{secrets.Token}}&y={{document.id}}#part");
    let block = json!({"name": "b", "type": "external_api", "method": "GET", "url": url});
    let before = dev.audit();
    for more in [&[][..], &["--allow-query", "Other"]] {
        run_with(&dev, &json!([block]), more)
            .code(2)
            .error_code("context_forbidden")
            .stderr_has("--allow-query")
            .lacks("x=1");
    }
    assert_eq!(dev.audit(), before, "nothing was revealed");
    let done = run_with(&dev, &json!([block]), &["--allow-query", "Token"]).code(0);
    let line = "GET /p?x=1&k=[REDACTED:Token]&y={{document.id}} HTTP/1.1";
    let report = done.lacks("a&b=c").json();
    assert!(
        report["output"].as_str().expect("text").starts_with(line),
        "{report}"
    );
    let request = &server.requests()[0];
    assert!(
        request.starts_with("GET /p?x=1&k=a%26b%3Dc%23d%20%2F%3F%C3%A9&y="),
        "{request}"
    );
    run_with(&dev, &json!([block]), &["--allow-query", "a b"])
        .code(2)
        .error_code("usage");
}

#[test]
fn values_of_any_size_arrive_whole() {
    let dev = Dev::start();
    let server = Echo::start();
    let large: String = VALUE.chars().cycle().take(64 * 1024 - 1).collect();
    dev.create("One", "x");
    dev.create("Large", &large);
    let mut block = post(&server.url("/"));
    block["body"] = json!({"json": ["{{secrets.One}}", "{{secrets.Large}}"]});
    let report = run(&dev, &block).code(0).lacks(&large[..64]).json();
    assert_eq!(report["unmasked"], json!(["One"]));
    let request = &server.requests()[0];
    let body = request.split_once("\r\n\r\n").expect("a body").1;
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body, json!(["x", large]));
    let code = "print(secrets.Large)\nresult = [len(secrets.One), len(secrets.Large), secrets.Large[:65000]]";
    let block = json!({"name": "p", "type": "python", "code": code});
    let text = json!({"workflow": "w", "blocks": [block]}).to_string();
    let file = dev.home().write("block.json", text);
    let report = dev
        .keyroll(["block", "run", &file, "--json"])
        .run()
        .code(0)
        .json();
    assert_eq!(report["output"], "[REDACTED:Large]\n");
    assert_eq!(
        (&report["result"][0], &report["result"][1]),
        (&json!(1), &json!(65535))
    );
}

#[test]
fn one_entry_reveals_everything_a_block_names() {
    let dev = Dev::start();
    let server = Echo::start();
    let mut lines = String::new();
    for number in 0..257 {
        writeln!(lines, "Key_{number}=value-{number}-value").expect("text");
    }
    let file = dev.home().write("many.env", lines);
    dev.keyroll(["import", &file, "--yes"]).run().code(0);
    let before = dev.audit().len();
    let references = |secrets: usize| -> Vec<String> {
        (0..1000)
            .map(|number| format!("{{{{secrets.Key_{}}}}}", number % secrets))
            .collect()
    };
    let mut block = post(&server.url("/"));
    block["body"] = json!({"json": references(256)});
    let report = run(&dev, &block).code(0).json();
    assert_eq!(report["secrets"].as_array().map(Vec::len), Some(256));
    assert_eq!(dev.audit().len(), before + 1);
    block["body"] = json!({"json": references(257)});
    run(&dev, &block)
        .code(2)
        .error_code("block_invalid")
        .stderr_has("at most 256 secrets");
    assert_eq!(dev.audit().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_released() {
    let dev = Dev::start();
    let server = Echo::start();
    dev.create("Token", VALUE);
    let before = dev.audit();
    with_full(&dev, "KEYROLL_LOG", || {
        run(&dev, &post(&server.url("/")))
            .code(8)
            .error_code("audit_unavailable")
            .lacks(VALUE);
        let code = "print('begun')\nresult = secrets.Token";
        let file = dev.home().write(
            "python.json",
            json!({"workflow": "w", "blocks": [{"name": "p", "type": "python", "code": code}]})
                .to_string(),
        );
        dev.keyroll(["block", "run", &file])
            .run()
            .code(8)
            .error_code("audit_unavailable")
            .lacks(VALUE);
        assert_eq!(dev.audit(), before);
    })
    .await;
    assert_eq!(server.requests(), Vec::<String>::new());
    run(&dev, &post(&server.url("/"))).code(0);
}

/// The file at the beginning of the manual and the plan.
#[test]
fn the_first_block_file_of_the_manual_runs() {
    let dev = Dev::start();
    let server = Echo::start();
    let page = include_str!("../../../docs/blocks.md");
    let (_, rest) = page.split_once("```json\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    for name in ["CRM_Token", "API_Key", "Account_ID"] {
        dev.create(name, format!("value-of-{name}"));
    }
    let address = server.url("");
    let local = example.replace("https://api.crm.example", &address);
    assert_ne!(local, example);
    let file = dev.home().write("manual.json", local);
    let input = dev.home().write("in.json", r#"{"id": 7}"#);
    dev.keyroll(["block", "check", &file]).run().code(0);
    let words = ["block", "run", &file, "--block", "push-invoice"];
    let report = dev
        .keyroll(words.iter().chain(&ALLOW))
        .run()
        .code(0)
        .lacks("value-of")
        .json();
    assert_eq!(report["secrets"].as_array().map(Vec::len), Some(3));
    let request = &server.requests()[0];
    for line in [
        "POST /v1/invoices HTTP/1.1\r\n",
        "authorization: Bearer value-of-CRM_Token\r\n",
        "x-api-key: value-of-API_Key\r\n",
        "{{document.id}}",
        "\"value-of-Account_ID\"",
    ] {
        assert!(request.contains(line), "{request}");
    }
    let words = [
        "block", "run", &file, "--block", "enrich", "--input", &input, "--json",
    ];
    let report = dev.keyroll(words).run().code(0).lacks("value-of").json();
    assert_eq!(report["result"]["id"], 7);
    assert_eq!(report["result"]["signed"].as_str().map(str::len), Some(64));
}
