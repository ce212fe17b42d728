//! Bad input on the command line: each gets its code, exit status and message.

use keyroll_tests::harness::Dev;
use keyroll_tests::harness::done::Done;

fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "",
        "a b",
        "1x",
        "_x",
        "é",
        "../x",
        "a\nb",
        "a.b",
        "a-b",
        "a/b",
        "x*",
        "{{x}}",
        "aé",
        "class",
        "None",
        "lambda",
        "token_hex",
        "SystemRandom",
        "binascii",
        "DEFAULT_ENTROPY",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("a".repeat(129));
    names
}

#[test]
fn bad_names_are_refused_everywhere() {
    let dev = Dev::start();
    dev.create("Good", "value");
    let before = dev.audit();
    let refused = |run: Done| run.code(2).error_code("invalid_name");
    for name in &names() {
        refused(
            dev.keyroll(["secret", "create", name, "--stdin"])
                .stdin("value")
                .run(),
        );
        refused(
            dev.keyroll(["secret", "edit", name, "--stdin"])
                .stdin("value")
                .run(),
        );
        refused(dev.keyroll(["secret", "rename", "Good", name]).run());
        for command in ["reveal", "show", "history", "delete", "restore"] {
            refused(dev.keyroll(["secret", command, name, "--yes"]).run());
        }
    }
    assert_eq!(dev.audit(), before);
    let longest = "a".repeat(128);
    dev.create(&longest, "value");
    dev.keyroll(["secret", "reveal", &longest])
        .run()
        .code(0)
        .stdout("value");
}

#[test]
fn bad_names_of_workspaces_members_and_hosts_are_refused() {
    let dev = Dev::start();
    let longest = "w".repeat(64);
    dev.keyroll(["workspace", "create", "--", "-a"])
        .run()
        .code(2)
        .error_code("invalid_name");
    for name in [
        "", "A", "a_b", "a.b", "*", ">", "_ledger", "é", "a b", &longest,
    ] {
        dev.keyroll(["workspace", "create", name])
            .run()
            .code(2)
            .error_code("invalid_name");
        if !name.is_empty() {
            dev.keyroll(["-w", name, "secret", "list"])
                .run()
                .code(2)
                .error_code("invalid_name");
        }
    }
    let bob = dev.person("bob");
    let long = "n".repeat(129);
    for name in ["", "a\nb", "\u{1b}[31m", &long] {
        let run = dev
            .keyroll(["member", "add", name, &bob.key, "--role", "viewer"])
            .run();
        run.code(2).error_code("invalid_name");
    }
    dev.keyroll(["member", "add", "bob", "ed25519:short", "--role", "viewer"])
        .run()
        .code(2);
    dev.keyroll(["member", "add", "bob", &bob.key, "--role", "king"])
        .run()
        .code(2)
        .stdout("");
    for glob in ["", "a b", "é*"] {
        let run = dev
            .keyroll([
                "member",
                "add",
                "bob",
                &bob.key,
                "--role",
                "viewer",
                "--secrets",
                glob,
            ])
            .run();
        run.code(2).error_code("invalid_name");
    }
    for host in ["", "a b", "https://", "*", "a.*.b", "a..b", "/path"] {
        let run = dev
            .keyroll(["secret", "create", "A", "--stdin", "--allow-host", host])
            .stdin("x")
            .run();
        run.code(2).error_code("invalid_name");
    }
    assert_eq!(dev.audit().len(), 1);
}

#[test]
fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    let dev = Dev::start();
    dev.create("A", "kept");
    let before = dev.audit();
    let forms: [&[&str]; 12] = [
        &["secret", "create", "B", "hunter2-hunter2"],
        &["secret", "create", "B=hunter2-hunter2"],
        &["secret", "create", "B", "--value", "hunter2-hunter2"],
        &["secret", "create", "B", "--value=hunter2-hunter2"],
        &["secret", "create", "B", "--stdin=hunter2-hunter2"],
        &["secret", "create", "B", "--stdin", "hunter2-hunter2"],
        &["secret", "create", "B", "--generate", "hunter2-hunter2"],
        &["secret", "create", "B", "--", "--hunter2-hunter2"],
        &["secret", "edit", "A", "hunter2-hunter2"],
        &["secret", "edit", "A=hunter2-hunter2"],
        &["secret", "edit", "A", "--hunter2-hunter2"],
        &[
            "--json",
            "secret",
            "edit",
            "A",
            "hunter2-hunter2",
            "--stdin",
        ],
    ];
    for words in forms {
        let run = dev.keyroll(words).stdin("other").run();
        run.code(2).stdout("").lacks("hunter2");
    }
    let said = dev
        .keyroll(["secret", "create", "B", "hunter2-hunter2"])
        .run();
    said.code(2)
        .error_code("usage")
        .stderr_has("--stdin")
        .stderr_has("--file");
    assert_eq!(dev.audit(), before);
}

#[test]
fn what_is_not_there_or_not_as_expected_is_said() {
    let dev = Dev::start();
    dev.create("A", "one");
    dev.keyroll(["secret", "reveal", "A", "--version", "2"])
        .run()
        .code(3)
        .error_code("not_found")
        .stderr_has("version 2");
    dev.keyroll(["secret", "reveal", "A", "--version", "0"])
        .run()
        .code(3)
        .error_code("not_found");
    dev.keyroll(["secret", "reveal", "A", "--version", "4294967295"])
        .run()
        .code(3)
        .error_code("not_found");
    dev.keyroll(["secret", "reveal", "A", "--version=-1"])
        .run()
        .code(2)
        .stdout("");
    dev.keyroll(["secret", "reveal", "A", "--version", "4294967296"])
        .run()
        .code(2)
        .stdout("");
    dev.keyroll(["secret", "rollback", "A", "--to", "1"])
        .run()
        .code(2)
        .error_code("invalid_field");
    dev.keyroll(["secret", "rollback", "A", "--to", "2"])
        .run()
        .code(2)
        .error_code("invalid_field");
    for command in ["show", "history", "restore"] {
        dev.keyroll(["secret", command, "None_such"])
            .run()
            .code(3)
            .error_code("not_found");
    }
    for words in [
        ["secret", "delete", "None_such"],
        ["member", "remove", "nobody"],
    ] {
        dev.keyroll(words.iter().chain(&["--yes"]))
            .run()
            .code(3)
            .error_code("not_found");
    }
    dev.keyroll(["secret", "describe", "A"])
        .run()
        .code(2)
        .error_code("usage");
    dev.keyroll(["secret", "delete", "A"])
        .run()
        .code(2)
        .error_code("usage")
        .stderr_has("--yes");
    dev.keyroll(["audit", "prove", "999"])
        .run()
        .code(3)
        .error_code("not_found");
    dev.keyroll(["audit", "log", "--action", "secret.stolen"])
        .run()
        .code(2)
        .error_code("usage");
    dev.keyroll(["audit", "log", "--since", "yesterday-ish"])
        .run()
        .code(2)
        .error_code("usage");
    dev.keyroll(["audit", "log", "--actor", "nobody"])
        .run()
        .code(3)
        .error_code("not_found");
    dev.keyroll(["secret", "steal", "A"]).run().code(2);
    let text = "x".repeat(1_025);
    dev.keyroll(["secret", "describe", "A", "--description", &text])
        .run()
        .code(2)
        .error_code("invalid_name");
    dev.keyroll(["secret", "reveal", "A", "--reason", "a\u{7}b"])
        .run()
        .code(2)
        .error_code("invalid_name");
}

#[test]
fn a_version_that_moved_on_is_a_conflict() {
    let dev = Dev::start();
    dev.create("A", "one");
    // Two edits of the same version: both have read it before either has written.
    let edit = |value: &str| {
        dev.keyroll(["secret", "edit", "A", "--stdin"])
            .stdin(value)
            .start()
    };
    let runs: Vec<_> = (0..6)
        .map(|number| edit(&format!("value {number}")))
        .collect();
    let codes: Vec<_> = runs
        .into_iter()
        .map(|run| run.wait().code_in(&[0, 5]))
        .collect();
    let history = dev
        .keyroll(["secret", "history", "A", "--json"])
        .run()
        .code(0)
        .rows();
    let done = codes
        .iter()
        .filter(|done| done.error_bytes().starts_with(b"edited"))
        .count();
    assert_eq!(
        history.len(),
        1 + done,
        "every edit that was confirmed is a version, and no other"
    );
    for done in codes
        .into_iter()
        .filter(|done| !done.error_bytes().starts_with(b"edited"))
    {
        done.error_code("conflict");
    }
    dev.verifies();
}

#[test]
fn without_a_ledger_there_is_no_long_wait() {
    let dev = Dev::start();
    let home = dev.home().path("empty-home");
    let nowhere = ["--nats", "nats://127.0.0.1:1"];
    let identity = dev.home().data().join("identity.pem");
    let run = keyroll_tests::harness::Run::keyroll(
        nowhere.iter().chain(&["-w", "demo", "secret", "list"]),
    )
    .env("KEYROLL_HOME", &home)
    .env("KEYROLL_IDENTITY", &identity)
    .run();
    run.code(7).error_code("unreachable");
    let without = keyroll_tests::harness::Run::keyroll(["-w", "demo", "secret", "list"])
        .env("KEYROLL_HOME", &home);
    without.run().code(1).stderr_has("keyroll identity new");
    // A ledger other than the pinned one is not trusted.
    let other = Dev::start();
    let creds = other.nats_creds().display().to_string();
    let nats = ["--nats", other.nats_url(), "--nats-creds", &creds];
    let run = dev.keyroll(nats).args(["secret", "list"]).run();
    run.code(6).error_code("wrong_ledger");
}
