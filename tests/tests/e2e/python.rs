//! Python blocks: a real interpreter, in the real sandbox.

use keyroll_tests::harness::{Dev, Done, skipped};
use serde_json::{Value, json};

pub(crate) fn file(dev: &Dev, code: &str) -> String {
    let blocks = json!([{"name": "p", "type": "python", "code": code}]);
    let text = json!({"workflow": "w", "blocks": blocks}).to_string();
    dev.home().write("python.json", text)
}

pub(crate) fn run_with(dev: &Dev, code: &str, more: &[&str]) -> Done {
    let path = file(dev, code);
    dev.keyroll(["block", "run", &path, "--json"].iter().chain(more))
        .run()
}

pub(crate) fn run(dev: &Dev, code: &str) -> Done {
    run_with(dev, code, &[])
}

#[test]
fn a_block_gets_its_secrets_when_it_asks_for_them() {
    let dev = Dev::start();
    for name in ["Api_Key", "Other", "Never", "Quoted"] {
        dev.create(name, format!("value-of-{name}"));
    }
    let input = dev.home().write(
        "in.json",
        r#"{"id": 7, "text": "é", "big": 12345678901234567890}"#,
    );
    let code = r#"
import secrets as s
from secrets import Other, token_hex
print("printed", secrets.Api_Key, repr(secrets.Api_Key), len(token_hex(4)))
if document["id"] == 0:
    print(secrets.Never)
names = {"q": "Quoted"}
again = secrets["Quoted"] == secrets[names["q"]] == getattr(s, "Quoted")
result = {"id": document["id"], "text": document["text"], "big": document["big"], "again": again,
          "key": s.Api_Key, "in " + Other: [1.5, None, "x" + Other + "y"], "is_str": isinstance(Other, str)}
"#;
    let before = dev.audit().len();
    let done = run_with(&dev, code, &["--input", &input])
        .code(0)
        .lacks("value-of");
    let report = done.json();
    assert_eq!(report["status"], json!("ok"), "{report}");
    assert_eq!(
        report["result"],
        json!({
            "id": 7, "text": "é", "big": 12_345_678_901_234_567_890_u64, "again": true,
            "key": "[REDACTED:Api_Key]", "in [REDACTED:Other]": [1.5, null, "x[REDACTED:Other]y"],
            "is_str": true,
        })
    );
    assert_eq!(report["output"], "printed [REDACTED:Api_Key] <secret> 8\n");
    // One entry per requested secret, and none for the other one.
    let rows = dev.audit();
    let names: Vec<&Value> = rows[before..]
        .iter()
        .map(|row| &row["secrets"][0]["name"])
        .collect();
    assert_eq!(names, ["Other", "Api_Key", "Quoted"]);
    for row in &rows[before..] {
        let expected = json!({"workflow": "w", "block": "p", "run": report["run"]});
        assert_eq!(
            (&row["type"], &row["run"]),
            (&json!("secret.revealed"), &expected)
        );
    }
    dev.verifies();
    // The result is the data in output for people, too.
    let path = file(&dev, "print('words')\nresult = [1, secrets.Other]");
    dev.keyroll(["block", "run", &path])
        .run()
        .code(0)
        .stdout("[1,\"[REDACTED:Other]\"]\n")
        .stderr_has("words");
}

#[test]
fn a_name_that_is_not_written_out_is_not_to_be_had() {
    let dev = Dev::start();
    dev.create("Declared", "declared-value");
    dev.create("Hidden", "hidden-value");
    dev.create("Gone", "gone-value");
    dev.create("Bytes", "plain-value");
    dev.keyroll(["secret", "delete", "Gone", "--yes"])
        .run()
        .code(0);
    dev.keyroll([
        "secret",
        "edit",
        "Bytes",
        "--file",
        &dev.home().write("raw", [0xff, 0xfe, 1]),
    ])
    .run()
    .code(0);
    let before = dev.audit();
    for (code, error, status) in [
        ("x = 'Hid' + 'den'\nprint(getattr(secrets, x))", "denied", 4),
        ("x = 'Hid' + 'den'\nprint(secrets[x])", "denied", 4),
        ("print(secrets.Missing)", "secret_not_found", 3),
        ("from secrets import Missing", "secret_not_found", 3),
        ("print(secrets.DECLARED)", "secret_not_found", 3),
        ("print(secrets.Gone)", "secret_deleted", 3),
        ("def (:", "block_invalid", 2),
        ("x = 1\n  y = 2", "block_invalid", 2),
        ("print('\\0')\0", "block_invalid", 2),
    ] {
        let done = run(&dev, code);
        done.code(status).error_code(error).lacks("hidden-value");
    }
    run(&dev, "x = 1\n  y = 2").stderr_has("line 2");
    assert_eq!(dev.audit(), before, "nothing was revealed");
    run(&dev, "secrets.Bytes")
        .code(2)
        .error_code("value_illegal_for_context");
    // A block may continue without a secret; its errors then are its own.
    let done = run(
        &dev,
        "result = [hasattr(secrets, 'Missing'), hasattr(secrets, '__path__')]",
    );
    assert_eq!(done.code(0).json()["result"], json!([false, false]));
    for code in [
        "print(secrets.Declared)\n1 / 0",
        "raise ValueError(secrets.Declared)",
    ] {
        let done = run(&dev, code).code(1).lacks("declared-value");
        let report = done.json();
        assert_eq!(report["status"], "failed");
        let stderr = report["stderr"].as_str().expect("text");
        assert!(
            stderr.contains("Error") && stderr.contains("<block p>"),
            "{stderr}"
        );
    }
}

#[test]
fn a_block_that_goes_too_far_is_stopped() {
    let dev = Dev::start();
    dev.create("Token", "token-value");
    for (code, error) in [
        ("while True: pass", "timeout"),
        ("import time\ntime.sleep(1000)", "timeout"),
        (
            "import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()\nwhile True: pass",
            "timeout",
        ),
        (
            "print(secrets.Token)\nfor _ in range(100): print('x' * (1 << 20))",
            "output_limit",
        ),
        (
            "import sys\nfor _ in range(100): sys.stderr.write('x' * (1 << 20))",
            "output_limit",
        ),
        ("result = 'x' * (100 << 20)", "output_limit"),
        (
            "import os\nos.write(3, b'\\xff' * 64); os.write(4, b'\\xff' * 64); os.write(5, b'\\xff' * 64)\nwhile True: pass",
            "",
        ),
    ] {
        let more: &[&str] = if error == "timeout" {
            &["--timeout", "2s"]
        } else {
            &[]
        };
        let done = run_with(&dev, code, more).code(1).lacks("token-value");
        if !error.is_empty() {
            done.error_code(error);
        }
    }
    for (code, says) in [
        ("x = bytearray(8 << 30)", "MemoryError"),
        ("import sys\nsys.exit(3)", ""),
        ("import os\nos._exit(0)", "without a result"),
        ("import os\nos.abort()", "signal"),
        ("result = object()", "cannot be written as JSON"),
        ("result = float('nan')", "cannot be written as JSON"),
        ("def f(): f()\nf()", "RecursionError"),
    ] {
        let report = run(&dev, code).code(1).json();
        assert_eq!(report["status"], "failed", "{code}");
        let stderr = report["stderr"].as_str().expect("text");
        assert!(stderr.contains(says), "{code}: {stderr}");
    }
    run(&dev, "import sys\nresult = 1\nsys.exit(0)").code(0);
}

/// A text of `depth` nested arrays.
fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[test]
fn a_result_is_what_json_can_say() {
    let dev = Dev::start();
    let deep = "def deep(n):\n    x = secrets.Deep\n    for _ in range(n): x = [x]\n    return x\n";
    dev.create("Deep", "deep-value");
    for depth in [200, 500, 512] {
        let done = run(&dev, &format!("{deep}result = deep({depth})"));
        let masked = format!(
            "{}\"[REDACTED:Deep]\"{}",
            "[".repeat(depth),
            "]".repeat(depth)
        );
        done.code(0).stdout_has(&masked).lacks("deep-value");
    }
    // The error names the fault even of a result that Python writes and the parent does not parse.
    for (code, says) in [
        ("result = deep(513)", "nested more than 512 deep"),
        ("result = {'a': deep(600)}", "nested more than 512 deep"),
        ("result = deep(100000)", "recursion"),
        ("result = '\\ud800'", "surrogates not allowed"),
        ("result = {'\\udfff': 1}", "surrogates not allowed"),
        (
            "result = [1, {1: 'a', '1': 'b'}]",
            "a JSON key occurs twice",
        ),
        ("result = float('inf')", "not JSON compliant"),
        ("result = [float('nan')]", "not JSON compliant"),
        ("result = {(1, 2): 3}", "keys must be"),
        ("result = []\nresult.append(result)", "Circular"),
        ("result = b'bytes'", "bytes"),
    ] {
        let report = run(&dev, &format!("{deep}{code}")).code(1).json();
        assert_eq!(report["status"], "failed", "{code}");
        let stderr = report["stderr"].as_str().expect("text");
        assert!(stderr.contains("the result cannot be"), "{code}: {stderr}");
        assert!(stderr.contains(says), "{code}: {stderr}");
    }
    // Private names of a library are ordinary names here.
    let odd = r"{'$serde_json::private::Number': '12', '$serde_json::private::RawValue': '[1'}";
    let report = run(&dev, &format!("result = {odd}")).code(0);
    report.stdout_has(
        r#"{"$serde_json::private::Number":"12","$serde_json::private::RawValue":"[1"}"#,
    );
    let digits = "7".repeat(4000);
    run(
        &dev,
        &format!("result = [{digits}, -0.0, 1e-300, 10 ** 30, True]"),
    )
    .code(0)
    .stdout_has(&format!("[{digits},-0.0,1e-300,1{},true]", "0".repeat(30)));
    // The block writes to the channel directly.
    for (result, says) in [
        (nested(513), "nested more than 512 deep"),
        (r#""\ud800""#.to_owned(), "unpaired surrogate"),
        (r#"{"a": 1, "a": 2}"#.to_owned(), "occurs twice"),
    ] {
        let message = serde_json::to_string(&format!(r#"{{"result": {result}}}"#)).expect("JSON");
        let code = format!(
            "import os, time\ndata = {message}.encode()\nfor fd in range(3, 20):\n    try: os.write(fd, len(data).to_bytes(4, 'big') + data)\n    except OSError: pass\ntime.sleep(1000)"
        );
        let report = run(&dev, &code).code(1).json();
        let stderr = report["stderr"].as_str().expect("text");
        assert!(stderr.contains(says), "{stderr}");
    }
}

#[test]
fn a_document_is_read_whole_or_not_at_all() {
    let dev = Dev::start();
    let with = |text: &[u8], code: &str| {
        let input = dev.home().write("document.json", text);
        run_with(&dev, code, &["--input", &input])
    };
    with(nested(512).as_bytes(), "result = document")
        .code(0)
        .stdout_has(&nested(512));
    let odd = br#"{"$serde_json::private::Number": "12"}"#;
    with(odd, "result = list(document)")
        .code(0)
        .stdout_has(r#"["$serde_json::private::Number"]"#);
    let digits = "7".repeat(10_000);
    for (text, says) in [
        (nested(513).as_bytes(), "nested more than 512 deep"),
        (b"{\"a\": 1,\n \"a\": 2}", "(line 2 column 2)"),
        (br#"["\udc00"]"#, "unpaired surrogate"),
        (b"[NaN]", "not a JSON document"),
        (b"[1] 2", "not a JSON document"),
        (b"[\"\xff\"]", "not UTF-8"),
        (b"", "not a JSON document"),
    ] {
        with(text, "result = 1").code(2).stderr_has(says);
    }
    // This Python's own limit, if it has one.
    let done = with(digits.as_bytes(), "result = document");
    if !done.is_code(0) {
        done.code(2)
            .error_code("block_invalid")
            .stderr_has("digits");
    }
}

#[test]
fn a_value_is_text_wherever_text_goes() {
    let dev = Dev::start();
    dev.create("Token", "token-value");
    let code = r"
import copy, io, json, pickle
token, plain = secrets.Token, 'token' + '-value'
read = [pickle.loads(pickle.dumps(token, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
out = io.BytesIO()
pickle._Pickler(out).dump({'key': [token]})
read += pickle.loads(out.getvalue())['key']
read += pickle.loads(pickle.dumps((token, token)))
copies = [copy.copy(token), copy.deepcopy(token), copy.deepcopy({'a': [token]})['a'][0]]
result = [all(one == plain and type(one) is str for one in read), all(one == plain for one in copies),
          [repr(one) for one in copies], json.loads(json.dumps(token)) == plain, hash(token) == hash(plain)]
";
    let report = run(&dev, code).code(0).lacks("token-value").json();
    let expected = json!([true, true, ["<secret>", "<secret>", "<secret>"], true, true]);
    assert_eq!(report["result"], expected, "{report}");
}

#[test]
fn asking_again_for_what_was_refused_makes_no_further_entry() {
    let dev = Dev::start();
    let create = ["secret", "create", "Token", "--stdin", "--restricted"];
    dev.keyroll(create).stdin("token-value").run().code(0);
    let before = dev.audit().len();
    let code = r"
refused = []
for _ in range(30):
    try:
        secrets.Token
    except (AttributeError, KeyError) as error:
        refused.append(error.code)
result = [len(refused), sorted(set(refused))]
";
    let report = run(&dev, code).code(0).json();
    assert_eq!(report["result"], json!([30, ["denied"]]));
    let rows = dev.audit();
    let kinds: Vec<&Value> = rows[before..].iter().map(|row| &row["type"]).collect();
    assert_eq!(kinds, ["access.denied"]);
}

#[test]
fn names_are_found_behind_other_names_of_the_module() {
    let dev = Dev::start();
    // No class of ours shadows a secret.
    for name in ["SecretError", "Inner", "Hidden"] {
        dev.create(name, format!("value-of-{name}"));
    }
    let code = r"
def late():
    return vault.Inner
vault = s = secrets
result = [len(late()), len(s.SecretError)]
";
    let path = file(&dev, code);
    let rows = dev.keyroll(["block", "check", &path, "--json"]).run();
    let rows = rows.code(0).rows();
    let names: Vec<&Value> = rows.iter().map(|row| &row["secret"]).collect();
    assert_eq!(names, ["Inner", "SecretError"], "{rows:?}");
    assert_eq!(run(&dev, code).code(0).json()["result"], json!([14, 20]));
    run(&dev, "def f(s): return s.Hidden\nf(secrets)")
        .code(4)
        .error_code("denied")
        .stderr_has("as `secrets.NAME`");
}

/// The block talks to its parent directly: no message gets it more.
#[test]
fn a_forged_message_reveals_nothing() {
    let dev = Dev::start();
    dev.create("Declared", "declared-value");
    dev.create("Hidden", "hidden-value");
    let before = dev.audit();
    for messages in [
        r#"[{"get": "Hidden"}]"#,
        r#"[{"analysis": {"references": [["Hidden", 1, 1]], "dynamic": []}}, {"get": "Hidden"}]"#,
        r#"[{"syntax": ["x", 1, 1]}, {"get": "Hidden"}]"#,
        r#"[{"get": ["Hidden"]}, {"get": "Hidden"}]"#,
        r#"[{"failed": "denied"}]"#,
    ] {
        let code = format!(
            r#"
import json, os
for number in range(3, 20):
    for message in {messages}:
        data = json.dumps(message).encode()
        try:
            os.write(number, len(data).to_bytes(4, "big") + data)
            print(os.read(number, 4096))
        except OSError:
            break
name = "Hid" + "den"
result = getattr(secrets, name)
secrets.Declared
"#
        );
        let done = run(&dev, &code).lacks("hidden-value");
        done.code_in(&[1, 4]);
    }
    assert_eq!(dev.audit(), before);
}

/// The standard library's tests of the module that blocks see under the same name.
#[test]
fn the_secrets_object_passes_the_standard_modules_tests() {
    let dev = Dev::start();
    dev.create("Token", "token-value");
    let code = r"
import io, unittest
try:
    import test.test_secrets as tests
except ImportError as error:
    result = {'skipped': str(error)}
else:
    assert tests.secrets is secrets and secrets.Token == 'token' + '-value'
    done = unittest.TextTestRunner(io.StringIO()).run(unittest.defaultTestLoader.loadTestsFromModule(tests))
    result = {'run': done.testsRun, 'ok': done.wasSuccessful(), 'failures': str(done.failures + done.errors)}
";
    // Outside the sandbox, because the interpreter that has these tests may lie in a closed
    // directory.
    let report = run_with(&dev, code, &["--sandbox", "off"]).code(0).json();
    if let Some(reason) = report["result"]["skipped"].as_str() {
        skipped(&format!("this Python ships no tests of its own: {reason}"));
        return;
    }
    assert_eq!(report["result"]["failures"], "[]", "{report}");
    assert!(report["result"]["run"].as_u64() > Some(5), "{report}");
}

#[test]
fn a_secret_bound_to_hosts_stays_inside() {
    let dev = Dev::start();
    let create = [
        "secret",
        "create",
        "Bound",
        "--stdin",
        "--allow-host",
        "api.example.com",
    ];
    dev.keyroll(create).stdin("bound-value").run().code(0);
    let before = dev.audit();
    let code = "result = len(secrets.Bound)";
    for open in [["--sandbox", "off"].as_slice(), &["--allow-network"]] {
        run_with(&dev, code, open)
            .code(4)
            .error_code("host_not_allowed");
    }
    assert_eq!(dev.audit(), before);
    assert_eq!(run(&dev, code).code(0).json()["result"], 11);
}

#[test]
fn a_missing_python_or_sandbox_is_said() {
    let dev = Dev::start();
    dev.create("Token", "token-value");
    let before = dev.audit();
    let shell = dev.home().write("not-python", "#!/bin/sh\necho no\n");
    for python in [
        "/nonexistent/python3",
        "/etc/passwd",
        "/bin/true",
        shell.as_str(),
    ] {
        run_with(&dev, "print(secrets.Token)", &["--python", python])
            .code(1)
            .error_code("sandbox_unavailable")
            .stderr_has(python);
    }
    assert_eq!(dev.audit(), before);
}
