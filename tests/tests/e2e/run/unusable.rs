//! Secrets that cannot be used do not stop the others.

use keyroll_tests::harness::Dev;

/// Two usable secrets, two that are not UTF-8 text, and one whose current version is destroyed.
fn unusable_secrets() -> Dev {
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
    let dev = unusable_secrets();
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

/// Whatever is wrong with one secret, the others are available.
#[test]
fn one_secret_never_stops_the_others() {
    let dev = unusable_secrets();
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
        .stderr_has("--except excludes every secret");
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
    // By name as well; but if none of the requested ones is usable, nothing is started.
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

/// One value of the vault is missing, and no entry records that yet.
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
    // Once recorded, it is shown.
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
