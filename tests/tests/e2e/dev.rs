//! `keyroll dev` as a program: its output, its end, and the files it leaves.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyroll_tests::harness::process::Process;
use keyroll_tests::harness::run::Running;
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Dev, Home, Run};
use nix::sys::signal::Signal;

fn dev_with(home: &Home, more: &[&str]) -> Run {
    let data = home.data();
    let words = [
        "dev",
        "--data-dir",
        data.to_str().expect("a path in UTF-8"),
        "--no-open",
    ];
    Run::keyroll(words.iter().chain(more))
}

#[test]
fn it_says_one_line_when_it_is_ready() {
    let dev = Dev::start();
    let ready = dev.ready();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["workspace"], "demo");
    let home = fs::canonicalize(dev.home().data()).expect("there");
    assert_eq!(ready["home"].as_str().map(Path::new), Some(home.as_path()));
    let url = dev.nats_url();
    assert!(url.starts_with("nats://127.0.0.1:"), "{url}");
    let creds = ready["nats_creds"].as_str().map(Path::new);
    assert_eq!(creds, Some(home.join("nats.creds").as_path()));
    // The home alone is enough to work with it.
    dev.keyroll(["status"]).run().code(0).stdout_has("verified");
    let origins = dev.keyroll(["config", "show", "--origin"]).run().code(0);
    origins.stdout_has("config.toml").stdout_has("KEYROLL_HOME");
    let status = dev.keyroll(["status", "--json"]).run().code(0).json();
    assert_eq!(
        (&status["sync_verified"], &status["problems"]),
        (&true.into(), &serde_json::json!([]))
    );
    // It prints nothing on stderr as long as nothing is wrong.
    assert_eq!(dev.stderr(), "");
}

#[test]
fn a_command_gets_the_ledger_and_gives_its_status() {
    let home = Home::new();
    let script = "keyroll=$0; printf value | \"$keyroll\" secret create A --stdin && \"$keyroll\" secret reveal A && exit 7";
    let program = keyroll_tests::harness::programs::keyroll()
        .to_str()
        .expect("a path in UTF-8");
    let run = dev_with(&home, &["--", "sh", "-c", script, program]).run();
    run.code(7).stdout("value");
    let script = "printf '%s %s ' \"$KEYROLL_WORKSPACE\" \"$KEYROLL_HOME\"; printf '%s ' \"$KEYROLL_NATS_CREDS\"; printf %s \"$KEYROLL_NATS_URL\" | cut -c1-9";
    let data = fs::canonicalize(home.data()).expect("there");
    let run = dev_with(&home, &["--", "sh", "-c", script])
        .run()
        .code(0)
        .quiet();
    let data = data.display();
    run.stdout(format!("demo {data} {data}/nats.creds nats://12\n"));
    dev_with(&home, &["--", "cat"])
        .stdin("from outside")
        .run()
        .code(0)
        .stdout("from outside")
        .quiet();
    dev_with(&home, &["--", "true"])
        .run()
        .code(0)
        .stdout("")
        .quiet();
    dev_with(&home, &["--", "sh", "-c", "kill -9 $$"])
        .run()
        .code(137);
    dev_with(&home, &["--", "/nonexistent/program"])
        .run()
        .code(127)
        .stderr_has("/nonexistent/program");
    let not_runnable = home.write("text", "no program");
    dev_with(&home, &["--", &not_runnable]).run().code(126);
    let json = dev_with(&home, &["--json", "--", "true"])
        .run()
        .code(0)
        .json();
    assert_eq!(json["ready"], true);
}

#[test]
fn nothing_of_it_outlives_it() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
        let mut dev = Dev::start();
        dev.create("A", "value");
        let nats_server = dev.nats_server();
        dev.process().signal(signal);
        let status = dev.ended();
        assert_eq!(status, (signal != Signal::SIGKILL).then_some(0), "{signal}");
        nats_server.wait_gone();
    }
}

#[test]
fn its_command_ends_with_a_signal_to_it() {
    let home = Home::new();
    let running = dev_with(
        &home,
        &[
            "--",
            "sh",
            "-c",
            "trap 'exit 3' TERM; while :; do sleep 0.01; done",
        ],
    )
    .start();
    let shell = until("the command", || Process::child(running.pid(), "sh"));
    // The trap is set once the shell has a child of its own.
    until("the command to have begun", || {
        Process::child(shell.pid, "sleep")
    });
    Process { pid: running.pid() }.signal(Signal::SIGTERM);
    running.wait().code(3);
    shell.wait_gone();
}

#[test]
fn a_restart_keeps_everything() {
    let dev = Dev::start();
    dev.create("A", "value");
    let vera = dev.member("vera", "viewer", "*");
    let (rows, digest, ledger) = (dev.audit(), dev.digest(), dev.ledger());
    let old_url = dev.nats_url().to_owned();
    let dev = Dev::start_in(dev.stop());
    assert_eq!(
        (dev.audit(), dev.digest(), dev.ledger()),
        (rows, digest, ledger)
    );
    assert_ne!(dev.nats_url(), old_url, "the port is that of one run");
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("value");
    dev.keyroll_as(&vera, ["secret", "list"]).run().code(0);
    let dev = Dev::start_in(dev.kill());
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("value");
    dev.verifies();
}

#[test]
fn one_directory_holds_one_at_a_time() {
    let dev = Dev::start();
    dev.create("A", "value");
    let second = dev_with(dev.home(), &["--json", "--", "true"]).run();
    second
        .code(1)
        .stdout("")
        .stderr_has("in use")
        .stderr_has("another data directory");
    // The first one is not disturbed: its configuration and credentials are unchanged.
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("value");
    dev.create("B", "value");
    dev.verifies();
    // Also right after a kill, while the old nats-server may still be ending.
    let dev = Dev::start_in(dev.kill());
    dev.keyroll(["secret", "reveal", "B"])
        .run()
        .code(0)
        .stdout("value");
}

#[test]
fn an_ephemeral_one_leaves_nothing() {
    let home = Home::new();
    let place = home.path("tmp");
    fs::create_dir(&place).expect("made");
    let program = keyroll_tests::harness::programs::keyroll()
        .to_str()
        .expect("a path in UTF-8");
    let script = "printf '%s' \"$KEYROLL_HOME\"; printf value | \"$0\" secret create A --stdin";
    let run = Run::keyroll([
        "dev",
        "--ephemeral",
        "--no-open",
        "--",
        "sh",
        "-c",
        script,
        program,
    ]);
    let used = run
        .env("TMPDIR", &place)
        .in_directory(home.scratch())
        .run()
        .code(0)
        .text();
    assert!(used.starts_with(&place), "{used}");
    assert!(!Path::new(&used).exists(), "{used} is still there");
    assert_eq!(fs::read_dir(&place).expect("listed").count(), 0);
    Run::keyroll(["dev", "--ephemeral", "--data-dir", "x"])
        .in_directory(home.scratch())
        .run()
        .code(2);
    // When a signal stops it, it leaves nothing either.
    let words = [
        "dev",
        "--ephemeral",
        "--no-open",
        "--json",
        "--",
        "sleep",
        "1000",
    ];
    let running = Run::keyroll(words)
        .env("TMPDIR", &place)
        .in_directory(home.scratch())
        .start();
    until("the command", || Process::child(running.pid(), "sleep"));
    Process { pid: running.pid() }.signal(Signal::SIGTERM);
    running.wait().code(143);
    assert_eq!(fs::read_dir(&place).expect("listed").count(), 0);
}

#[test]
fn a_directory_of_another_ledger_or_of_nobody_is_refused() {
    let dev = Dev::start();
    dev.create("A", "value");
    let other = Dev::start();
    let (home, other) = (dev.stop(), other.stop());
    // Another ledger's keys.
    home.save("keys", "own-keys");
    home.remove("keys");
    copy(&other.data().join("keys"), &home.data().join("keys"));
    let run = dev_with(&home, &["--json", "--", "true"]).run();
    run.code(1)
        .stdout("")
        .stderr_has("is the read model of ledger ed25519:");
    home.put_back("own-keys", "keys");
    // A file instead of the directory.
    let file = home.write("file", "x");
    Run::keyroll(["dev", "--data-dir", &file, "--", "true"])
        .run()
        .code(1)
        .stderr_has("file");
    let dev = Dev::start_in(home);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("value");
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("-r")
        .arg(from)
        .arg(to)
        .status()
        .expect("cp runs");
    assert!(status.success());
}

#[test]
fn many_callers_at_once_are_all_served() {
    let dev = Dev::start();
    let runs: Vec<Running> = (0..24)
        .map(|number| {
            dev.keyroll(["secret", "create", &format!("S{number}"), "--generate"])
                .start()
        })
        .collect();
    for run in runs {
        run.wait().code(0);
    }
    assert_eq!(dev.secrets().len(), 24);
    let indexes: Vec<_> = dev
        .audit()
        .iter()
        .map(|row| row["index"].as_u64().expect("an index"))
        .collect();
    assert_eq!(indexes, (0..25).collect::<Vec<_>>());
    dev.verifies();
}
