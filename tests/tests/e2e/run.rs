//! A command with secrets in its environment, its output masked.

use std::fs;

use keyroll_tests::harness::Dev;
use keyroll_tests::harness::process::Process;
use keyroll_tests::harness::wait::until;
use nix::sys::signal::Signal;

#[test]
fn values_are_in_the_environment_and_not_in_the_output() {
    let dev = Dev::start();
    dev.create("Api_Key", "hunter2-hunter2");
    dev.create("Other", "second-hunter2");
    let before = dev.audit().len();
    let script = "printf '%s|' \"$Api_Key\"; cat; echo \"$Other\" >&2; printf hunter2-; sleep 0.2; printf hunter2";
    dev.keyroll(["run", "--", "sh", "-c", script])
        .stdin("from outside|")
        .run()
        .code(0)
        .stdout("[REDACTED:Api_Key]|from outside|[REDACTED:Api_Key]")
        .stderr_has("[REDACTED:Other]")
        .lacks("hunter2");
    let rows = dev.audit();
    assert_eq!(rows.len(), before + 1, "one reveal");
    assert_eq!(rows[before]["type"], "secret.revealed");
    dev.keyroll([
        "run",
        "--no-masking",
        "--only",
        "Api_Key",
        "--",
        "sh",
        "-c",
        "printf %s \"$Api_Key,$Other\"",
    ])
    .run()
    .code(0)
    .stdout("hunter2-hunter2,");
    let rows = dev.audit();
    let last = &rows[rows.len() - 1];
    assert_eq!(last["secrets"].as_array().map(Vec::len), Some(1), "{last}");
}

#[test]
fn the_status_is_the_commands() {
    let dev = Dev::start();
    dev.create("Api_Key", "hunter2-hunter2");
    let sh = |script: &str| dev.keyroll(["run", "--", "sh", "-c", script]).run();
    sh("exit 7").code(7);
    sh("kill -KILL $$").code(137);
    sh("kill -TERM $$").code(143);
    // What cannot be started gets no value.
    let before = dev.audit();
    for (program, code) in [
        ("/nonexistent/program", 127),
        ("no-such-program", 127),
        ("/etc/passwd", 126),
        ("/tmp", 126),
    ] {
        dev.keyroll(["run", "--", program]).run().code(code);
    }
    assert_eq!(dev.audit(), before);
    dev.keyroll(["run"]).run().code(2);
    // More than a pipe holds, of both outputs.
    sh("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2").code(0);
}

#[test]
fn signals_reach_the_command() {
    let dev = Dev::start();
    dev.create("Api_Key", "hunter2-hunter2");
    for (name, signal, code) in [
        ("INT", Signal::SIGINT, 11),
        ("TERM", Signal::SIGTERM, 12),
        ("HUP", Signal::SIGHUP, 13),
        ("QUIT", Signal::SIGQUIT, 14),
        ("USR1", Signal::SIGUSR1, 15),
        ("USR2", Signal::SIGUSR2, 16),
        ("ALRM", Signal::SIGALRM, 17),
    ] {
        let ready = dev.home().scratch().join(format!("ready-{name}"));
        let script = format!(
            "trap 'echo got {name}; exit {code}' {name}; : > '{}'; while :; do sleep 0.05; done",
            ready.display()
        );
        let running = dev.keyroll(["run", "--", "sh", "-c", &script]).start();
        until("the command", || ready.exists().then_some(()));
        Process { pid: running.pid() }.signal(signal);
        running.wait().code(code).stdout(format!("got {name}\n"));
    }
}

/// Whoever may create secrets must not choose what others execute.
#[test]
fn a_secrets_name_does_not_steer_the_command_unless_it_is_asked_for() {
    let dev = Dev::start();
    dev.create("Api_Key", "hunter2-hunter2");
    dev.create("PATH", "/somewhere/of/an/editors");
    dev.create("Bash_Env", "/somewhere/of/an/editors");
    let before = dev.audit().len();
    let script = "printf '%s,%s' \"${PATH#/somewhere}\" \"$Api_Key\" | grep -c /of/an || true";
    dev.keyroll(["run", "--", "sh", "-c", script])
        .run()
        .code(0)
        .stdout("0\n")
        .stderr_has("Bash_Env, PATH")
        .stderr_has("--only");
    let revealed = dev.audit()[before]["secrets"].clone();
    assert_eq!(revealed.as_array().map(Vec::len), Some(1), "{revealed}");
    let asked = ["run", "--only", "PATH", "--", "/bin/sh", "-c", "echo $PATH"];
    dev.keyroll(asked).run().code(0).stdout("[REDACTED:PATH]\n");
}

/// By shape, by list, and what the environment has already: named once each, and to be had by name.
#[test]
fn what_may_steer_programs_is_left_out_by_its_shape_or_as_it_is_set_already() {
    let dev = Dev::start();
    dev.create("Api_Key", "hunter2-hunter2");
    let names = [
        "TAR_OPTIONS",
        "PERLLIB",
        "MAKEFLAGS",
        "http_proxy",
        "KUBECONFIG",
        "DOCKER_HOST",
        "NoToolOfToday_Wrapper",
        "CC",
    ];
    for name in names {
        dev.create(name, "of-an-editor");
    }
    dev.create("Set_Already", "of-an-editor");
    let env = |words: &[&str]| {
        let words = ["run"].iter().chain(words).chain(&["--", "env"]);
        let run = dev.keyroll(words).env("Set_Already", "mine");
        run.env("Elsewhere", "mine").run().code(0)
    };
    let done = env(&[])
        .stdout_has("Api_Key=[REDACTED:Api_Key]")
        .stdout_has("Set_Already=mine");
    let said = String::from_utf8_lossy(done.error_bytes()).into_owned();
    assert!(!done.text().contains("REDACTED:TAR") && !done.text().contains("of-an-editor"));
    for name in names.into_iter().chain(["Set_Already"]) {
        assert_eq!(said.matches(name).count(), 1, "{name}: {said}");
        assert!(!done.text().contains(&format!("{name}=[")), "{name}");
    }
    assert_eq!(said.matches("--only").count(), 2, "{said}");
    env(&["--only", "http_proxy,Set_Already,CC"])
        .stdout_has("http_proxy=[REDACTED:http_proxy]")
        .stdout_has("Set_Already=[REDACTED:")
        .stdout_has("CC=[REDACTED:");
    // A rule about names is no fault of a value.
    env(&["--strict"]).stdout_has("Api_Key=");
}

/// Two good secrets, two that are no text, and one whose current version is destroyed.
fn odd_secrets() -> Dev {
    let dev = Dev::start();
    dev.create("Api_Key", "hunter2-hunter2");
    dev.create("Other", "hunter2-other");
    dev.create("Binary", b"\xffbinary");
    dev.create("Nul", b"nul\0inside");
    dev.create("Old", "hunter2-first");
    let edit = ["secret", "edit", "Old", "--stdin"];
    dev.keyroll(edit).stdin("hunter2-second").run().code(0);
    let destroy = ["secret", "destroy", "Old", "--version", "2", "--yes"];
    dev.keyroll(destroy).run().code(0);
    dev
}

#[test]
fn whoever_destroys_the_current_version_is_told() {
    let dev = Dev::start();
    dev.create("Old", "hunter2-first");
    let edit = ["secret", "edit", "Old", "--stdin"];
    dev.keyroll(edit).stdin("hunter2-second").run().code(0);
    let destroy = |version: &str, more: &[&str]| {
        let words = ["secret", "destroy", "Old", "--version", version];
        dev.keyroll(words.iter().chain(more)).run()
    };
    let current = "version 2 is the current version of Old: nobody can reveal the secret";
    destroy("2", &["--dry-run"]).code(0).stderr_has(current);
    let trial = destroy("2", &["--dry-run", "--json"]).code(0);
    assert_eq!(trial.json()["destroys_current"], true);
    let trial = destroy("1", &["--dry-run", "--json"]).code(0);
    assert_eq!(
        trial.lacks("current version").json()["destroys_current"],
        false
    );
    destroy("1", &["--yes"]).code(0).lacks("current version");
    destroy("2", &["--yes"])
        .code(0)
        .stderr_has("no value is left, so the secret is destroyed with it");
    let row = dev.keyroll(["secret", "show", "Old", "--json"]).run();
    assert_eq!(row.code(0).json()["state"], "destroyed");
}

#[test]
fn what_shows_a_secret_shows_that_it_cannot_be_revealed() {
    let dev = odd_secrets();
    let list = dev.keyroll(["secret", "list", "--json"]).run().code(0);
    for row in list.rows() {
        let gone = row["value_state"].as_str();
        let expected = ["destroyed", "erased"];
        let is_gone = gone.is_some_and(|gone| expected.contains(&gone));
        assert_eq!(is_gone, row["name"] == "Old", "{row}");
        assert_eq!(row["state"], "active");
    }
    dev.keyroll(["secret", "list"])
        .run()
        .code(0)
        .stdout_has("value destroyed");
    dev.keyroll(["secret", "show", "Old"])
        .run()
        .code(0)
        .stdout_has("value destroyed");
    let block = r#"{"workflow": "w", "blocks": [{"name": "a", "type": "external_api", "method": "GET",
        "url": "https://a.example/", "headers": {"X": "{{secrets.Old}}", "Y": "{{secrets.Other}}"}}]}"#;
    let block = dev.home().write("block.json", block);
    dev.keyroll(["block", "check", &block])
        .run()
        .code(3)
        .stdout_has("its current version is destroyed")
        .stderr_has("the secret Old is active, but its current version is destroyed");
    dev.keyroll(["block", "check", &block, "--values"])
        .run()
        .code(3)
        .stderr_has("not searched for, because their current version is destroyed: Old")
        .stderr_has("searched for the values of 3 secrets");
    dev.keyroll(["block", "check", &block, "--values", "--strict"])
        .run()
        .code(3)
        .stderr_has("the file was not searched. Exclude these with --except, or repair them: Old");
    let except = ["--values", "--strict", "--except", "Old,Nul"];
    dev.keyroll(["block", "check", &block].iter().chain(&except))
        .run()
        .code(3)
        .stderr_has("searched for the values of 2 secrets");
}

/// Whatever is wrong with one secret, the others are there.
#[test]
fn one_secret_never_stops_the_others() {
    let dev = odd_secrets();
    let script = "printf %s \"${Api_Key+a}${Other+o}${Binary+b}${Nul+n}${Old+x}\"";
    let sh = ["--", "sh", "-c", script];
    let run = |words: &[&str]| dev.keyroll(["run"].iter().chain(words).chain(&sh)).run();
    run(&[])
        .code(0)
        .stdout("ao")
        .stderr_has("version is destroyed: Old")
        .stderr_has("not UTF-8 text without NUL: Binary, Nul");
    run(&["--except", "api_key,Old"]).code(0).stdout("o");
    run(&["--except", "Nowhere"])
        .code(0)
        .stdout("ao")
        .stderr_has("--except names Nowhere");
    run(&["--only", "Other", "--except", "Other"])
        .code(2)
        .stderr_has("--except leaves nothing");
    run(&["--only", "Other", "--except", "Nowhere"])
        .code(0)
        .stderr_has("--only does not name it");
    run(&["--strict"])
        .code(3)
        .error_code("destroyed")
        .stderr_has("nothing was started")
        .stderr_has("Old")
        .stdout("");
    run(&["--strict", "--except", "Old"])
        .code(2)
        .error_code("invalid_value")
        .stderr_has("Binary, Nul")
        .stdout("");
    run(&["--strict", "--except", "Old,Binary,Nul"])
        .code(0)
        .stdout("ao");
    // By name as well; but nothing of what was asked for is nothing to start with.
    run(&["--only", "Old,Other,Binary"])
        .code(0)
        .stdout("o")
        .stderr_has("Old");
    run(&["--only", "Old"]).code(3).error_code("destroyed");
    run(&["--only", "Binary,Nul"])
        .code(2)
        .error_code("invalid_value");

    let export = |words: &[&str]| dev.keyroll(["export"].iter().chain(words)).run();
    export(&["--format", "dotenv"])
        .code(0)
        .stdout("Api_Key=hunter2-hunter2\nOther=hunter2-other\n")
        .stderr_has("version is destroyed: Old")
        .stderr_has("Binary, Nul");
    export(&["--format", "dotenv", "--strict"])
        .code(3)
        .error_code("destroyed")
        .stdout("");
    let done = export(&["--out", "all.json", "--json", "--except", "Other"]).code(0);
    let done = done.json();
    assert_eq!(done["exported"], 3, "{done}");
    assert_eq!(done["left_out"], serde_json::json!(["Old"]));
    assert_eq!(done["left_out_reasons"][0]["reason"], "destroyed");
    dev.keyroll(["secret", "edit", "Old", "--stdin"])
        .stdin("hunter2-third")
        .run()
        .code(0);
    run(&[]).code(0).stdout("aox");
}

/// One value of the vault is gone, which no entry says yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_value_does_not_stop_the_others() {
    let dev = Dev::start();
    for at in 0..5 {
        dev.create(&format!("S{at}"), format!("hunter2-{at}"));
    }
    let operator = dev.nats_as("operator").await;
    let context = async_nats::jetstream::new(operator.client.clone());
    let vault = context.get_stream("KEYROLL_VAULT").await;
    let deleted = vault.expect("the vault").delete_message(3).await;
    deleted.expect("deleted");
    let dev = Dev::start_in(dev.stop());
    let env = "echo ${S0-x} ${S1-x} ${S2-x} ${S3-x} ${S4-x}";
    let run = ["run", "--no-masking", "--", "sh", "-c", env];
    dev.keyroll(run)
        .run()
        .code(0)
        .stdout("hunter2-0 hunter2-1 x hunter2-3 hunter2-4\n")
        .stderr_has("version is lost: S2");
    dev.keyroll(["run", "--strict", "--", "true"])
        .run()
        .code(6)
        .error_code("value_lost")
        .stderr_has("S2");
    dev.keyroll(["export", "--format", "json"])
        .run()
        .code(0)
        .stderr_has("version is lost: S2")
        .stdout_has("hunter2-4");
    // On record, it is shown.
    dev.keyroll(["recover", "--yes"]).run().code(0);
    let show = ["secret", "show", "S2", "--json"];
    let row = dev.keyroll(show).run().code(0).json();
    assert_eq!(row["value_state"], "lost", "{row}");
    dev.keyroll(run)
        .run()
        .code(0)
        .stderr_has("version is lost: S2");
    dev.verifies();
}

#[test]
fn more_than_fit_one_entry_are_revealed_in_several() {
    let dev = Dev::start();
    let lines = (0..300).map(|at| format!("KEY_{at:03}=value-of-{at}\n"));
    let text = lines.collect::<Vec<_>>().concat();
    let file = dev.home().write("many.env", text);
    dev.keyroll(["import", &file, "--yes"]).run().code(0);
    let before = dev.audit().len();
    dev.keyroll(["run", "--", "sh", "-c", "env | grep -c ^KEY_"])
        .run()
        .code(0)
        .stdout("300\n");
    let rows = dev.audit();
    assert_eq!(rows.len(), before + 2, "two reveals");
    // More than an environment holds: the largest are left out.
    let lines = (0..120).map(|at| format!("LARGE_{at:03}={}\n", "x".repeat(60_000)));
    let text = lines.collect::<Vec<_>>().concat();
    let file = dev.home().write("large.env", text);
    dev.keyroll(["import", &file, "--yes"]).run().code(0);
    dev.keyroll(["run", "--", "sh", "-c", "env | grep -c ^KEY_"])
        .run()
        .code(0)
        .stdout("300\n")
        .stderr_has("their values are too large: LARGE_");
    dev.keyroll(["run", "--strict", "--", "true"])
        .run()
        .code(1)
        .error_code("too_large");
}

/// As a person sees it: the file holds what a terminal would show.
#[test]
fn output_does_not_wait_behind_a_prompt_or_for_grandchildren() {
    let dev = Dev::start();
    dev.create("Api_Key", "n-hunter2-hunter2");
    let scratch = dev.home().scratch();
    for (at, prompt) in ["Continue? y/n", "name> ", "100%", "C:\\", "it's", "Name"]
        .iter()
        .enumerate()
    {
        let (out, go) = (
            scratch.join(format!("out-{at}")),
            scratch.join(format!("go-{at}")),
        );
        let script = format!(
            "printf '%s' \"$PROMPT\"; while [ ! -e '{}' ]; do sleep 0.05; done; echo \", $Api_Key.\"",
            go.display()
        );
        // The shell gives the file; what is run is `keyroll run`.
        let command = dev
            .keyroll(["run", "--", "sh", "-c", &script])
            .env("PROMPT", prompt)
            .out_to(&out)
            .start();
        until("the prompt", || {
            (fs::read(&out).is_ok_and(|shown| shown == prompt.as_bytes())).then_some(())
        });
        fs::write(go, "").expect("written");
        command.wait().code(0);
        let shown = fs::read_to_string(&out).expect("read");
        assert_eq!(shown, format!("{prompt}, [REDACTED:Api_Key].\n"));
    }
    // More than a pipe holds, and somebody who holds both outputs open.
    let pid = scratch.join("pid");
    let script = format!(
        "sleep 600 & echo $! > '{}'; head -c 300000 /dev/zero; echo $Api_Key; echo end >&2; exit 7",
        pid.display()
    );
    let done = dev
        .keyroll(["run", "--", "sh", "-c", &script])
        .run()
        .code(7);
    assert!(done.bytes().ends_with(b"\0[REDACTED:Api_Key]\n"));
    assert_eq!(done.bytes().len(), 300_000 + "[REDACTED:Api_Key]\n".len());
    let done = done.stderr_has("end");
    drop(done);
    let pid = fs::read_to_string(pid).expect("read");
    let left = Process {
        pid: pid.trim().parse().expect("a process"),
    };
    assert!(left.is_alive(), "it was not waited for");
    left.signal(Signal::SIGKILL);
}

#[test]
fn nothing_starts_when_the_reveal_fails() {
    let dev = Dev::start();
    dev.create("Api_Key", "hunter2-hunter2");
    let mark = dev.home().scratch().join("started");
    let touch = format!(": > '{}'", mark.display());
    let run = ["run", "--", "sh", "-c", &touch];
    let frozen = dev.freeze_nats();
    dev.keyroll(run).run().code_in(&[7, 8]);
    drop(frozen);
    assert!(!mark.exists());
    for (name, role) in [("vera", "viewer"), ("audi", "auditor"), ("run", "runner")] {
        let who = dev.member(name, role, "*");
        dev.keyroll_as(&who, run).run().code(4).error_code("denied");
    }
    dev.keyroll(["run", "--only", "Nowhere", "--", "sh", "-c", &touch])
        .run()
        .code(3)
        .error_code("not_found");
    dev.create("Binary", b"nul\0inside");
    dev.keyroll(["run", "--strict", "--", "sh", "-c", &touch])
        .run()
        .code(2)
        .error_code("invalid_value")
        .stderr_has("Binary");
    assert!(!mark.exists());
    dev.keyroll(["run", "--only", "Api_Key", "--", "sh", "-c", &touch])
        .run()
        .code(0);
    assert!(mark.exists());
    fs::remove_file(mark).expect("removed");
}

#[test]
fn restricted_secrets_are_left_out() {
    let dev = Dev::start();
    dev.create("Api_Key", "hunter2-hunter2");
    let closed = [
        "secret",
        "create",
        "Closed",
        "--generate=passphrase",
        "--restricted",
    ];
    dev.keyroll(closed).run().code(0);
    dev.keyroll(["run", "--", "sh", "-c", "printf \"${Closed-unset}\""])
        .run()
        .code(0)
        .stdout("unset")
        .stderr_has("Closed");
    dev.keyroll(["run", "--only", "Closed", "--", "true"])
        .run()
        .code(4)
        .error_code("denied");
}

#[test]
fn generated_values_have_the_form_that_was_asked_for() {
    let dev = Dev::start();
    let made = |name: &str, spec: &str| {
        let generate = format!("--generate{spec}");
        dev.keyroll(["secret", "create", name, &generate])
            .run()
            .code(0)
            .stdout("");
        dev.keyroll(["secret", "reveal", name]).run().code(0).text()
    };
    assert_eq!(made("Plain", "").len(), 32);
    assert_eq!(made("Long", "=48,symbols").len(), 48);
    assert_eq!(made("Uuid", "=uuid").matches('-').count(), 4);
    let hex = made("Hex", "=hex,40");
    assert!(hex.len() == 40 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(made("Words", "=passphrase,6").split('-').count(), 6);
    dev.keyroll(["secret", "edit", "Words", "--generate=passphrase"])
        .run()
        .code(0);
    let words = dev
        .keyroll(["secret", "reveal", "Words"])
        .run()
        .code(0)
        .text();
    assert_eq!(words.split('-').count(), 8);
    for spec in ["7", "hunter2", "32,hunter2", "passphrase,1"] {
        let generate = format!("--generate={spec}");
        dev.keyroll(["secret", "create", "Bad", &generate])
            .run()
            .code(2)
            .lacks("hunter2");
    }
}
