//! The secrets in a command's environment.

use keyroll_tests::harness::Dev;

/// A member who may create secrets must not choose what others execute.
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

/// By pattern, by list, and because the environment has the name already: each is reported once,
/// and available by name.
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
    // A rule about names is no error of a value.
    env(&["--strict"]).stdout_has("Api_Key=");
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
