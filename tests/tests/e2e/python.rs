//! Python blocks: a real interpreter, in the real sandbox.

use keyroll_tests::harness::{Dev, Done};
use serde_json::{Value, json};

fn file(dev: &Dev, code: &str) -> String {
    let blocks = json!([{"name": "p", "type": "python", "code": code}]);
    let text = json!({"workflow": "w", "blocks": blocks}).to_string();
    dev.home().write("python.json", text)
}

fn run_with(dev: &Dev, code: &str, more: &[&str]) -> Done {
    let path = file(dev, code);
    dev.keyroll(["block", "run", &path, "--json"].iter().chain(more))
        .run()
}

fn run(dev: &Dev, code: &str) -> Done {
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
    // One entry per secret that was asked for, none for the one that was not.
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
    // The result is the data for people, too.
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
    // A block may go on without a secret; what it does wrong then is its own failure.
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
    // No class of ours hides a secret.
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

/// The block speaks to its parent itself: it can say nothing that gets it more.
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

/// Each attempt with what it raises. `OSError` is any refusal by the kernel.
const ATTEMPTS: &[&str] = &[
    "os.fork()",
    "os.posix_spawn(sys.executable, ['python3', '-c', ''], {})",
    "subprocess.run(['/bin/true'])",
    "os.execv('/bin/sh', ['sh', '-c', 'echo out'])",
    "os.execv(os.path.realpath('/bin/true'), ['true'])",
    "open('/proc/self/environ').read()",
    "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
    "os.listdir('/proc')",
    "os.listdir('/')",
    "os.listdir(os.environ.get('HOME', '/root'))",
    "open('/etc/passwd').read()",
    "open('/etc/hostname').read()",
    "open('/tmp/keyroll-block-was-here', 'w')",
    "open('/dev/shm/keyroll-block-was-here', 'w')",
    "os.mkdir('/tmp/keyroll-block-directory')",
    "os.truncate('/tmp', 0)",
    "os.chmod('/tmp', 0o777)",
    "os.utime('/tmp')",
    "os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)",
    "os.symlink('/etc/passwd', '/tmp/keyroll-block-link')",
    "os.memfd_create('x')",
    "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "socket.socket(socket.AF_INET6, socket.SOCK_STREAM)",
    "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
    "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "socket.create_connection(('127.0.0.1', 22), 1)",
    "os.kill(os.getppid(), 0)",
    "os.kill(os.getppid(), 9)",
    "os.kill(-1, 9)",
    "os.killpg(0, 9)",
    "fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "os.sched_setaffinity(os.getppid(), {0})",
    "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
    "resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
    "os.chroot('/')",
    "os.setuid(0)",
    "call(101, 16, os.getppid(), 0, 0)",
    "call(310, os.getppid(), 0, 0, 0, 0, 0)",
    "call(165, b'none', b'/tmp', b'tmpfs', 0, 0)",
    "call(321, 0, 0, 0)",
    "call(250, 0, 0, 0, 0)",
    "call(425, 8, 0)",
    "call(272, 0x10000000)",
    "call(308, 0, 0)",
    "call(434, os.getppid(), 0)",
    "call(56, 0x10000011, 0, 0, 0, 0)",
    "call(56, 17, 0, 0, 0, 0)",
    "call(435, 0, 0)",
    "call(0x40000000 | 41, 2, 1, 0)",
    "call(322, 3, b'', 0, 0, 0x1000)",
    "call(298, 0, 0, -1, -1, 0)",
    "call(323, 0)",
];

#[cfg(target_arch = "x86_64")]
#[test]
fn no_attempt_to_get_out_of_the_sandbox_succeeds() {
    let dev = Dev::start();
    let attempts = serde_json::to_string(ATTEMPTS).expect("JSON");
    let code = format!(
        r"
import ctypes, fcntl, os, resource, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    if libc.syscall(*args) < 0:
        raise OSError(ctypes.get_errno(), 'refused')
result = []
for attempt in {attempts}:
    try:
        eval(attempt)
        result.append('SUCCEEDED: ' + attempt)
    except (OSError, ValueError) as error:
        pass
    except BaseException as error:
        result.append(repr(error) + ': ' + attempt)
"
    );
    let report = run(&dev, &code).code(0).json();
    assert_eq!(report["result"], json!([]), "{report}");
    // The same attempts are no empty words: without the sandbox most of them succeed.
    let harmless = r"
import os, socket
socket.socket(socket.AF_INET, socket.SOCK_STREAM)
socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
os.listdir('/'), os.listdir('/proc'), open('/etc/passwd').read(), os.kill(os.getppid(), 0)
child = os.fork()
if child == 0: os._exit(0)
os.waitpid(child, 0)
result = 'all of it'
";
    let report = run_with(&dev, harmless, &["--sandbox", "off"])
        .code(0)
        .stderr_has("without the sandbox")
        .json();
    assert_eq!(report["result"], "all of it", "{report}");
}

#[test]
fn what_ordinary_code_needs_works_in_the_sandbox() {
    let dev = Dev::start();
    let code = r"
import asyncio, base64, concurrent.futures, csv, datetime, decimal, email, functools, hashlib, hmac
import html, io, json, logging, math, os, random, re, ssl, statistics, sys, threading, time, uuid
import urllib.parse, xml.etree.ElementTree, zlib
async def main():
    await asyncio.sleep(0)
    return await asyncio.get_running_loop().run_in_executor(None, lambda: 41)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    total = sum(pool.map(lambda x: x * x, range(10)))
result = {
    'async': asyncio.run(main()), 'threads': total,
    'hash': hashlib.sha256(b'').hexdigest()[:8], 'tls': ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED,
    'uuid': len(str(uuid.uuid4())), 'env': {k: v for k, v in os.environ.items() if not k.startswith('LC_')},
    'argv': sys.argv, 'stdin': sys.stdin.read(), 'cwd': os.getcwd(), 'root': os.getuid() == 0,
    'fds': len([n for n in range(64) if n > 2 and os.path.exists(f'/dev/fd/{n}')]),
    'main': __name__,
}
";
    let report = run(&dev, code).code(0).json();
    // The one file besides the standard three is the channel.
    let expected = json!({
        "async": 41, "threads": 285, "hash": "e3b0c442", "tls": true, "uuid": 36, "env": {},
        "argv": [""], "stdin": "", "cwd": "/", "root": false, "fds": 1, "main": "__main__",
    });
    assert_eq!(report["result"], expected, "{report}");
}

/// The standard library's own tests of the module that blocks see under the same name.
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
    // Outside the sandbox, as the interpreter that has these tests may lie in a closed directory.
    let report = run_with(&dev, code, &["--sandbox", "off"]).code(0).json();
    if let Some(reason) = report["result"]["skipped"].as_str() {
        eprintln!("skipped: this Python ships no tests of its own ({reason})");
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
