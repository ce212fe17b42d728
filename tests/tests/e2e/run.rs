//! A command with secrets in its environment, its output masked.

mod environment;
mod unusable;

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
    // A command that cannot be started gets no value.
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
    // More than a pipe holds, on both outputs.
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

#[test]
fn more_than_fit_one_entry_are_revealed_in_several() {
    let dev = Dev::start();
    let lines = (0..300).map(|at| format!("KEY_{at:03}=value-of-{at}\n"));
    let text = lines.collect::<Vec<_>>().concat();
    let file = dev.home().write("many.env", text);
    dev.import_many(&file);
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
    dev.import_many(&file);
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

/// As a terminal would show it: a person's view, in a file.
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
        // The shell opens the file; the program run is `keyroll run`.
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
    // More than a pipe holds, and a process that holds both outputs open.
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
    for (name, role) in [("vera", "viewer"), ("audi", "auditor")] {
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
