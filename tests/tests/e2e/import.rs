//! Secrets from files: all of them or none, and unchanged ones are recognised.

use std::fmt::Write as _;
use std::fs;

use keyroll_tests::harness::Dev;
use serde_json::json;

fn names(dev: &Dev) -> Vec<String> {
    let list = dev.keyroll(["secret", "list", "--json"]).run().code(0);
    let name = |row: &serde_json::Value| row["name"].as_str().expect("a name").to_owned();
    list.rows().iter().map(name).collect()
}

fn dotenv(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "KEY_{at:05}=value-of-{at}");
        text
    })
}

#[test]
fn files_of_each_format_become_secrets() {
    let dev = Dev::start();
    for (file, text) in [
        (
            "a.env",
            "# said\nexport ENV_A='two\nlines'\nENV_B=\"tab\\t$HOME\"\n",
        ),
        (
            "b.json",
            "{\"JSON_A\": \"two\\nlines\", \"JSON_B\": {\"value_base64\": \"/wA=\"}}",
        ),
        (
            "c.yaml",
            "YAML_A: |\n  two\n  lines\nYAML_B: !!binary /wA=\n",
        ),
    ] {
        let file = dev.home().write(file, text);
        let done = dev
            .keyroll(["import", &file, "--yes", "--json"])
            .run()
            .code(0);
        done.stderr_has(if text.starts_with('Y') { "YAML_A" } else { "" });
    }
    for (name, value) in [
        ("ENV_A", &b"two\nlines"[..]),
        ("ENV_B", b"tab\t$HOME"),
        ("JSON_A", b"two\nlines"),
        ("JSON_B", b"\xff\x00"),
        ("YAML_A", b"two\nlines\n"),
        ("YAML_B", b"\xff\x00"),
    ] {
        dev.keyroll(["secret", "reveal", name])
            .run()
            .code(0)
            .stdout(value);
    }
    dev.verifies();
}

#[test]
fn a_preview_shows_no_values_and_changes_nothing() {
    let dev = Dev::start();
    dev.create("Taken", "some-value");
    let file = dev
        .home()
        .write("x.env", "NEW=hunter2-value\ntaken=hunter2-other\n");
    let trial = ["import", &file, "--dry-run", "--json"];
    let rows = dev.keyroll(trial).run().code(5).lacks("hunter2").rows();
    let said: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["name"].clone(),
                row["line"].clone(),
                row["action"].clone(),
            )
        })
        .collect();
    let expected = [("NEW", 1, "create"), ("taken", 2, "refuse")];
    assert_eq!(
        said,
        expected.map(|(name, line, what)| (json!(name), json!(line), json!(what)))
    );
    dev.keyroll(["import", &file, "--dry-run", "--skip-existing"])
        .run()
        .code(0)
        .stdout_has("skip")
        .lacks("hunter2");
    // A name that is taken stops the whole import, before anything is sent.
    dev.keyroll(["import", &file, "--yes"])
        .run()
        .code(5)
        .error_code("conflict")
        .stderr_has("line 2")
        .stderr_has("Taken")
        .lacks("hunter2");
    assert_eq!(names(&dev), ["Taken"]);
    dev.keyroll(["import", &file]).run().code(5);
    let done = ["import", &file, "--skip-existing", "--yes", "--json"];
    let done = dev.keyroll(done).run().code(0).json();
    assert_eq!(
        (done["created"].clone(), done["skipped"].clone()),
        (json!(1), json!(["taken"]))
    );
    assert_eq!(names(&dev), ["NEW", "Taken"]);
    // Without a terminal, consent must be given beforehand.
    let more = dev.home().write("y.env", "MORE=hunter2-value\n");
    dev.keyroll(["import", &more])
        .run()
        .code(2)
        .error_code("usage");
    assert_eq!(names(&dev), ["NEW", "Taken"]);
}

#[test]
fn every_bad_line_is_named_and_nothing_is_sent() {
    let dev = Dev::start();
    let text = "GOOD=1\nhunter2\n1BAD=hunter2\nGOOD=hunter2\nEMPTY=\nlambda=hunter2\n";
    let file = dev.home().write("bad.env", text);
    let refused = dev.keyroll(["import", &file, "--yes"]).run().code(2);
    let mut refused = refused.error_code("invalid_file").lacks("hunter2");
    for line in 2..=6 {
        refused = refused.stderr_has(&format!("line {line}: "));
    }
    assert!(names(&dev).is_empty());
    let unknown = dev.home().write("secrets.txt", "A=1\n");
    dev.keyroll(["import", &unknown, "--yes"])
        .run()
        .code(2)
        .error_code("usage");
    dev.keyroll(["import", &unknown, "--format", "dotenv", "--yes"])
        .run()
        .code(0);
    dev.keyroll(["import", "/nonexistent/x.env", "--yes"])
        .run()
        .code(1);
}

#[test]
fn names_that_exist_get_new_versions_when_somebody_says_so() {
    let dev = Dev::start();
    for name in ["Taken", "Other", "Cased"] {
        dev.create(name, "hunter2-first");
    }
    let describe = ["secret", "describe", "Taken", "--description", "stays"];
    dev.keyroll(describe).run().code(0);
    let text = "New=hunter2-new\nTaken=hunter2-second\n";
    let file = dev.home().write("x.env", text);
    let import = |words: &[&str]| dev.keyroll(["import", &file].iter().chain(words)).run();
    let trial = import(&["--replace", "--dry-run", "--json"]).code(0);
    let rows = trial.lacks("hunter2").rows();
    assert_eq!(rows[0]["action"], "create");
    assert_eq!(rows[1]["action"], "replace");
    import(&["--replace", "--dry-run"])
        .code(0)
        .stdout_has("replace")
        .stderr_has("1 to replace by a new version")
        .lacks("hunter2");
    // It needs consent, and shows the changes before.
    import(&["--replace"])
        .code(2)
        .error_code("usage")
        .stderr_has("Taken (as version 2)")
        .stderr_has("1 to create, 1 to replace by a new version");
    assert_eq!(names(&dev), ["Cased", "Other", "Taken"]);
    import(&["--replace", "--skip-existing"]).code(2);
    // A member who may not edit is refused, also in a dry run, and is not asked for consent in
    // vain.
    let vera = dev.member("vera", "viewer", "*");
    let taken = dev.home().write("taken.env", "Taken=hunter2-third\n");
    for how in ["--dry-run", "--yes"] {
        let refused = dev.keyroll_as(&vera, ["import", &taken, "--replace", how]);
        let refused = refused
            .run()
            .code(4)
            .stderr_has("your role does not allow it");
        refused.stderr_has("Taken").lacks("to continue");
    }
    let done = import(&["--replace", "--yes", "--json"]).code(0).json();
    assert_eq!(
        (&done["created"], &done["replaced"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(done["entries"].as_array().map(Vec::len), Some(2));
    let row = dev.keyroll(["secret", "show", "Taken", "--json"]).run();
    let row = row.code(0).json();
    assert_eq!(
        (&row["version"], &row["description"]),
        (&json!(2), &json!("stays"))
    );
    let reveal = |name: &str| dev.keyroll(["secret", "reveal", name]).run().code(0).text();
    assert_eq!(reveal("Taken"), "hunter2-second");
    assert_eq!(reveal("Other"), "hunter2-first");
    // Run again, it is a new import.
    import(&["--replace", "--yes"]).code(0);
    // Another spelling is another name.
    let file = dev
        .home()
        .write("y.env", "CASED=hunter2-second\nOther=hunter2-second\n");
    dev.keyroll(["import", &file, "--replace", "--yes"])
        .run()
        .code(5)
        .error_code("conflict")
        .stderr_has("line 1: the name CASED is taken (by Cased)")
        .lacks("Other");
    assert_eq!(reveal("Other"), "hunter2-first");
    dev.verifies();
}

#[test]
fn a_replacement_that_was_cut_short_goes_on() {
    let dev = Dev::start();
    let names: Vec<String> = (0..250).map(|at| format!("KEY_{at:05}")).collect();
    let first = dev.home().write("first.env", dotenv(250));
    dev.keyroll(["import", &first, "--yes"]).run().code(0);
    let second = dev
        .home()
        .write("second.env", dotenv(250).replace("value-of", "newer"));
    let eddy = dev.member("eddy", "editor", "KEY_*");
    let import = ["import", &second, "--replace", "--yes", "--json"];
    let running = dev.keyroll_as(&eddy, import).start();
    let version = |name: &str| {
        let show = ["secret", "show", name, "--json"];
        dev.keyroll(show).run().code(0).json()["version"].as_u64()
    };
    keyroll_tests::harness::wait::until("more than a hundred", || {
        (version(&names[110]) == Some(2)).then_some(())
    });
    drop(running);
    let cut = version(&names[249]) == Some(1);
    if cut {
        let done = dev.keyroll_as(&eddy, import).run().code(0).json();
        let count = |field: &str| done[field].as_u64().expect("a number");
        assert!(count("done_before") >= 100, "{done}");
        assert_eq!(count("done_before") + count("replaced"), 250, "{done}");
    }
    for name in [&names[0], &names[50], &names[99]] {
        assert_eq!(version(name), Some(2), "what was noted is not done again");
    }
    let value = dev.keyroll(["secret", "reveal", &names[249]]).run().code(0);
    value.stdout("newer-249");
    dev.verifies();
}

#[test]
fn empty_values_and_what_programs_read_differently() {
    let dev = Dev::start();
    let file = dev
        .home()
        .write("x.env", "A=hunter2-value\nEMPTY=\nALSO=''\n");
    dev.keyroll(["import", &file, "--yes"])
        .run()
        .code(2)
        .error_code("invalid_file")
        .stderr_has("line 2: EMPTY is empty")
        .stderr_has("--skip-empty");
    let done = ["import", &file, "--skip-empty", "--yes", "--json"];
    let done = dev.keyroll(done).run().code(0).stderr_has("EMPTY, ALSO");
    let done = done.json();
    assert_eq!(done["skipped_empty"], json!(["EMPTY", "ALSO"]));
    assert_eq!(names(&dev), ["A"]);
    let text = "B=hunter2\u{a0}\nC=1\rD=hunter2\nE='\u{a0}'\n";
    let file = dev.home().write("y.env", text);
    dev.keyroll(["import", &file, "--yes"])
        .run()
        .code(2)
        .error_code("invalid_file")
        .stderr_has("line 1: a blank here is neither a space nor a tab")
        .stderr_has("line 2: a carriage return here has no line feed after it")
        .lacks("line 3")
        .lacks("hunter2");
    assert_eq!(names(&dev), ["A"]);
}

#[test]
fn a_thousand_secrets_are_one_entry_and_more_are_several() {
    let dev = Dev::start();
    let file = dev.home().write("thousand.env", dotenv(1_000));
    let import = ["import", &file, "--yes", "--json"];
    let before = dev.audit().len();
    let done = dev.keyroll(import).run().code(0).json();
    assert_eq!(done["created"], 1_000);
    assert_eq!(done["entries"].as_array().map(Vec::len), Some(1));
    // One entry, with a row for each secret, all of the same index.
    let rows = dev.audit();
    assert_eq!(rows.len() - before, 1_000);
    assert!(
        rows[before..]
            .iter()
            .all(|row| row["index"] == done["entries"][0])
    );
    // The limit counts rows, also within an entry.
    let last = dev.keyroll(["audit", "log", "--json", "--limit", "3"]);
    assert_eq!(last.run().code(0).rows(), rows[rows.len() - 3..]);
    dev.keyroll(["secret", "reveal", "KEY_00999"])
        .run()
        .code(0)
        .stdout("value-of-999");
    // The same file again: its names are taken, since it was finished.
    dev.keyroll(import).run().code(5).error_code("conflict");
    let larger = dev.home().write("larger.env", dotenv(2_500));
    let rest = ["import", &larger, "--yes", "--json", "--skip-existing"];
    let done = dev.keyroll(rest).run().code(0).json();
    assert_eq!(
        (
            done["created"].clone(),
            done["skipped"].as_array().map(Vec::len)
        ),
        (json!(1_500), Some(1_000))
    );
    assert_eq!(done["entries"].as_array().map(Vec::len), Some(2));
    dev.verifies();
}

#[test]
fn an_import_that_was_cut_short_goes_on() {
    let dev = Dev::start();
    let file = dev.home().write("cut.env", dotenv(2_200));
    let import = ["import", &file, "--yes", "--json"];
    // The journal that the import writes before it sends anything, as it is after a kill.
    let journals = dev.home().data().join("imports");
    let running = dev.keyroll(import).start();
    let made = || names(&dev).len();
    keyroll_tests::harness::wait::until("the first thousand", || (made() >= 1_000).then_some(()));
    drop(running);
    let after = made();
    let left = fs::read_dir(&journals).map_or(0, Iterator::count);
    let again = dev.keyroll(import).run();
    if left == 1 {
        let again = again.code(0).json();
        // A command under way at the kill may have been committed only now.
        let count = |field: &str| again[field].as_u64().expect("a number");
        assert!(count("done_before") >= after as u64, "{again}");
        assert_eq!(count("done_before") + count("created"), 2_200);
    } else {
        // It was faster than the kill: then it is complete.
        assert_eq!(after, 2_200);
        again.code(5);
    }
    assert_eq!(made(), 2_200);
    assert_eq!(fs::read_dir(&journals).expect("listed").count(), 0);
    dev.keyroll(["secret", "reveal", "KEY_02199"])
        .run()
        .code(0)
        .stdout("value-of-2199");
    dev.verifies();
}

#[test]
fn who_may_not_write_imports_nothing() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    let scoped = dev.member("eddy", "editor", "app_*");
    let file = dev
        .home()
        .write("x.env", "app_One=first-value\nother_Two=second-value\n");
    for who in [&vera, &scoped] {
        dev.keyroll_as(who, ["import", &file, "--yes"])
            .run()
            .code(4)
            .stderr_has("denied");
    }
    assert!(names(&dev).is_empty());
    let rows = dev.audit();
    let denied = rows.iter().filter(|row| row["outcome"] == "denied");
    assert_eq!(denied.count(), 2);
}
