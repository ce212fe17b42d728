//! A planted value reaches only those who were given it.

use std::fs;

use futures::StreamExt as _;
use keyroll_tests::harness::home::files;
use keyroll_tests::harness::http::Echo;
use keyroll_tests::harness::process::words_of_processes;
use keyroll_tests::harness::run::Running;
use keyroll_tests::harness::scan::Canary;
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Dev, Done, Home};

/// Every file of a test's directory in which a canary is found, and its form.
fn found_in_files(home: &Home, canary: &Canary) -> Vec<String> {
    let all = files(&home.data())
        .into_iter()
        .chain(files(&home.scratch()));
    let found = all.filter_map(|path| {
        let bytes = fs::read(&path).ok()?;
        let form = canary.found_in(&bytes)?;
        Some(format!("{} ({form})", path.display()))
    });
    found.collect()
}

/// A run that must not show any part of a canary.
fn silent(run: Done, canary: &Canary) -> Done {
    assert_eq!(canary.found_in(run.bytes()), None, "{run}");
    assert_eq!(canary.found_in(run.error_bytes()), None, "{run}");
    run
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn a_value_is_in_no_file_no_message_and_no_process() {
    let dev = Dev::start();
    let (first, second) = (Canary::new(), Canary::new());
    let operator = dev.nats_as("operator").await;
    let mut ledger_account = operator.subscribe(">").await;
    let client = dev.nats().await;
    let mut notices = client.subscribe("keyroll.events.>").await;
    let mut mail = client.subscribe("_INBOX_client.dev.>").await;

    // Every command that handles a value, successful and refused.
    let keyroll = |words: &[&str], stdin: &Canary| dev.keyroll(words).stdin(&stdin.value).run();
    silent(
        keyroll(&["secret", "create", "A", "--stdin"], &first).code(0),
        &first,
    );
    silent(
        keyroll(&["secret", "create", "A", "--stdin"], &first).code(5),
        &first,
    );
    silent(
        keyroll(&["secret", "create", "B", "--stdin", "--json"], &first).code(0),
        &first,
    );
    silent(
        keyroll(&["secret", "edit", "A", "--stdin", "--json"], &second).code(0),
        &second,
    );
    silent(
        keyroll(&["secret", "create", "a b", "--stdin"], &first).code(2),
        &first,
    );
    silent(
        keyroll(&["secret", "edit", "None_such", "--stdin"], &first).code(3),
        &first,
    );
    let with_newline = format!("{}\n", first.value);
    silent(
        dev.keyroll(["secret", "edit", "A", "--stdin"])
            .stdin(with_newline)
            .run()
            .code(2),
        &first,
    );
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout(&second.value)
        .quiet();
    let revealed = dev
        .keyroll(["secret", "reveal", "A", "--version", "1", "--json"])
        .run()
        .code(0)
        .quiet();
    assert_eq!(revealed.json()["value"], first.value);
    dev.keyroll(["secret", "rollback", "A", "--to", "1"])
        .run()
        .code(0)
        .lacks(&first.value);
    let vera = dev.member("vera", "viewer", "*");
    silent(
        dev.keyroll_as(&vera, ["secret", "reveal", "A"])
            .run()
            .code(4),
        &first,
    );
    silent(
        dev.keyroll_as(&vera, ["secret", "edit", "A", "--stdin"])
            .stdin(&first.value)
            .run()
            .code(4),
        &first,
    );
    let blocked = block(&dev, "Block");
    silent(
        dev.keyroll([
            "block",
            "run",
            &blocked,
            "--allow-address",
            "127.0.0.0/8",
            "--json",
        ])
        .run()
        .code(4),
        &first,
    );
    let server = Echo::start();
    let sent = dev
        .home()
        .write("sent.json", block_for(&server.url("/"), "A"));
    let allow = [
        "--allow-address",
        "127.0.0.0/8",
        "--allow-http",
        "127.0.0.1",
        "--json",
    ];
    let run = dev
        .keyroll(["block", "run", &sent].iter().chain(&allow))
        .run()
        .code(0);
    assert!(
        first
            .found_in(server.requests().join("").as_bytes())
            .is_some(),
        "the server was sent the value"
    );
    silent(run, &first);
    for words in [
        &["secret", "show", "A", "--json"] as &[&str],
        &["secret", "history", "A"],
        &["audit", "log", "--json"],
    ] {
        silent(dev.keyroll(words).run().code(0), &first);
    }
    dev.keyroll(["projection", "rebuild"]).run().code(0);
    let bundle = dev.home().path("bundle");
    dev.keyroll(["audit", "export", "--out", &bundle])
        .run()
        .code(0);
    // Checked while a command that was given a value still runs.
    let waiting = waiting_for_input(&dev);

    let directory = dev.home().data().display().to_string();
    let directory = directory
        .strip_suffix("/data")
        .expect("the test's directory");
    let processes = words_of_processes(directory);
    assert!(
        processes.iter().any(|(pid, _)| *pid == waiting.pid()) && processes.len() >= 3,
        "{processes:?}"
    );
    operator.round_trip().await;
    client.round_trip().await;
    let mut heard = Vec::new();
    for subscriber in [&mut ledger_account, &mut notices, &mut mail] {
        let mut count = 0;
        while let Some(Some(message)) = futures::FutureExt::now_or_never(subscriber.next()) {
            let headers = format!("{:?}", message.headers);
            heard.push(
                [
                    message.subject.as_bytes(),
                    headers.as_bytes(),
                    &message.payload,
                ]
                .concat(),
            );
            count += 1;
        }
        assert!(count > 5, "the capture works");
    }
    for canary in [&first, &second] {
        assert_eq!(found_in_files(dev.home(), canary), Vec::<String>::new());
        for (pid, words) in &processes {
            assert_eq!(canary.found_in(words), None, "process {pid}");
        }
        for message in &heard {
            assert_eq!(
                canary.found_in(message),
                None,
                "{}",
                String::from_utf8_lossy(message)
            );
        }
        assert_eq!(canary.found_in(dev.stderr().as_bytes()), None);
    }
    drop(waiting);
    let home = dev.stop();
    assert_eq!(found_in_files(&home, &first), Vec::<String>::new());

    // The control: the same scan finds leaks of every kind.
    let leaks = [
        ("log", first.value.clone()),
        ("hex", hex::encode(&first.value)),
        ("json", format!("{{\"value\": \"{}\"}}", first.value)),
        ("bytes", format!("{:?}", first.value.as_bytes())),
    ];
    for (number, (name, leak)) in leaks.into_iter().enumerate() {
        fs::write(
            home.data().join("jetstream").join(name),
            format!("2026 INFO {leak} and more"),
        )
        .expect("written");
        assert_eq!(found_in_files(&home, &first).len(), number + 1, "{name}");
    }
    assert_eq!(found_in_files(&home, &second), Vec::<String>::new());
}

fn block(dev: &Dev, name: &str) -> String {
    dev.home().write(
        &format!("{name}.json"),
        block_for("http://127.0.0.1:1/", "A"),
    )
}

fn block_for(url: &str, secret: &str) -> String {
    serde_json::json!({
        "workflow": "w",
        "blocks": [{
            "name": "call", "type": "external_api", "method": "POST", "url": url,
            "auth": {"type": "bearer", "token": format!("{{{{secrets.{secret}}}}}")},
            "body": {"json": {"key": format!("{{{{secrets.{secret}}}}}")}},
        }],
    })
    .to_string()
}

/// A command that follows the log until it is stopped.
fn waiting_for_input(dev: &Dev) -> Running {
    let following = dev.keyroll(["audit", "log", "--follow"]).start();
    let directory = dev.home().data().display().to_string();
    until("a process to show itself", || {
        words_of_processes(&directory)
            .iter()
            .any(|(pid, _)| *pid == following.pid())
            .then_some(())
    });
    following
}

#[test]
fn private_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dev = Dev::start();
    dev.create("A", "value");
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&dev.home().data()), 0o700);
    for name in ["identity.pem", "config.toml", "run/nats-server.conf"] {
        assert_eq!(mode(&dev.home().data().join(name)), 0o600, "{name}");
    }
    let keys = files(&dev.home().data().join("keys"));
    assert!(!keys.is_empty());
    for key in keys {
        assert_eq!(mode(&key) & 0o077, 0, "{}", key.display());
    }
    let open = dev.home().write(
        "open.pem",
        fs::read(dev.home().data().join("identity.pem")).expect("read"),
    );
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("chmod");
    dev.keyroll(["--identity", &open, "secret", "list"])
        .run()
        .code(1)
        .stderr_has("chmod 600");
    dev.keyroll(["identity", "new"]).run().code(1).stdout("");
}
