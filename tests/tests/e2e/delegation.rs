//! Keys that act for an identity for a time.

use std::fs;
use std::process::Command;

use keyroll_tests::harness::{Dev, Run};
use serde_json::{Value, json};

/// A command of the owner under a delegated key.
fn through(dev: &Dev, file: &str, words: &[&str]) -> Run {
    dev.keyroll(["--identity", file]).args(words)
}

fn delegated(dev: &Dev, file: &str, more: &[&str]) -> Value {
    let path = dev.home().path(file);
    let new = ["--json", "delegation", "new", "--out", &path];
    dev.keyroll(new).args(more).run().code(0).json()
}

#[test]
fn a_delegated_key_acts_for_its_identity_within_limits() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let made = delegated(&dev, "page.pem", &["--where", "a page"]);
    let (key, page) = (
        made["key"].as_str().expect("a key"),
        dev.home().path("page.pem"),
    );
    let shown = dev
        .keyroll(["--json", "delegation", "show", &page])
        .run()
        .code(0)
        .json();
    assert_eq!(shown, made);
    assert_eq!(made["where"], "a page");
    through(&dev, &page, &["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
    through(&dev, &page, &["secret", "edit", "A", "--stdin"])
        .stdin("new")
        .run()
        .code(0);
    through(&dev, &page, &["audit", "verify", "--full"])
        .run()
        .code(0);
    // The actor, and the key.
    let rows = dev.audit();
    for row in &rows[rows.len() - 2..] {
        assert_eq!(
            (&row["actor_name"], &row["delegate_key"]),
            (&json!("owner"), &json!(key))
        );
    }
    dev.keyroll(["audit", "log"])
        .run()
        .code(0)
        .stdout_has(&format!("owner (through {key})"));
    let other = dev.person("other").key;
    for words in [
        &["member", "add", "other", &other, "--role", "viewer"] as &[&str],
        &["delegation", "revoke", key],
        &["delegation", "revoke", &other, "--of", "owner"],
    ] {
        through(&dev, &page, words)
            .run()
            .code(4)
            .error_code("denied");
    }
    // A delegation that the ledger would refuse is not created.
    let twice = dev.home().path("twice.pem");
    through(&dev, &page, &["delegation", "new", "--out", &twice])
        .run()
        .code(2);
    dev.keyroll(["delegation", "new", "--out", &twice, "--expires", "13h"])
        .run()
        .code(2);
    assert!(!std::path::Path::new(&twice).exists());
    dev.keyroll(["delegation", "revoke", key]).run().code(0);
    through(&dev, &page, &["secret", "reveal", "A"])
        .run()
        .code(4)
        .error_code("denied")
        .lacks("new");
    through(&dev, &page, &["secret", "list"])
        .run()
        .code(4)
        .error_code("denied");
    dev.keyroll(["delegation", "revoke", key])
        .run()
        .code(5)
        .error_code("conflict");
    dev.verifies();
}

#[test]
fn a_delegation_is_worth_what_its_identity_is() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let eve = dev.member("eve", "editor", "*");
    let page = dev.home().path("eve.pem");
    let new = ["--json", "delegation", "new", "--out", &page];
    let made = dev.keyroll_as(&eve, new).run().code(0).json();
    let reveal = || {
        dev.keyroll_as(&eve, ["--identity", &page, "secret", "reveal", "A"])
            .run()
    };
    reveal().code(0).stdout("the value");
    // In another workspace it has no rights, although its identity may have some there.
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    let add = [
        "-w", "other", "member", "add", "eve", &eve.key, "--role", "editor",
    ];
    dev.keyroll(add).run().code(0);
    let elsewhere = ["--identity", &page, "-w", "other", "secret", "list"];
    dev.keyroll_as(&eve, elsewhere)
        .run()
        .code(4)
        .error_code("denied");
    // Roles apply to the key as to its identity, from the next command on.
    dev.keyroll(["member", "change", "eve", "--role", "viewer", "--yes"])
        .run()
        .code(0);
    reveal().code(4).error_code("denied").lacks("the value");
    dev.keyroll(["member", "change", "eve", "--role", "editor", "--yes"])
        .run()
        .code(0);
    reveal().code(0);
    // Only an owner revokes it.
    let bob = dev.member("bob", "editor", "*");
    let key = made["key"].as_str().expect("a key");
    let revoke = ["delegation", "revoke", key, "--of", "eve"];
    dev.keyroll_as(&bob, revoke)
        .run()
        .code(4)
        .error_code("denied");
    dev.keyroll(revoke).run().code(0);
    reveal().code(4).error_code("denied").lacks("the value");
    dev.verifies();
}

/// The ledger revokes a delegation that it has seen in use, and reports whose it was.
#[test]
fn a_key_is_ended_for_whom_it_was_seen_to_act() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let (eve, bob) = (
        dev.member("eve", "editor", "*"),
        dev.member("bob", "editor", "*"),
    );
    let page = dev.home().path("eve.pem");
    let new = ["--json", "delegation", "new", "--out", &page];
    let made = dev.keyroll_as(&eve, new).run().code(0).json();
    let key = made["key"].as_str().expect("a key");
    let reveal = || {
        dev.keyroll_as(&eve, ["--identity", &page, "secret", "reveal", "A"])
            .run()
    };
    let revoke = ["--json", "delegation", "revoke", key];
    // Never used: the ledger does not know for whom it acts.
    for unseen in [
        dev.keyroll(revoke).run(),
        dev.keyroll_as(&eve, revoke).run(),
    ] {
        unseen.code(3).error_code("not_found").stderr_has("--of");
    }
    reveal().code(0);
    // A member who may not revoke it gets the same answer as for an unseen one.
    let refused = dev.keyroll_as(&bob, revoke).run();
    refused.code(3).error_code("not_found");
    // An owner who names another identity is told that it is still valid.
    let wrong = dev.keyroll(["delegation", "revoke", key, "--of", "bob"]);
    wrong.run().code(0).stderr_has("still acts for eve");
    reveal().code(0);
    let ended = dev.keyroll(revoke).run().code(0).json();
    assert_eq!(ended["identity"], json!(eve.key));
    assert_eq!(
        ended["ended"],
        json!([{"identity": eve.key, "name": "eve"}])
    );
    reveal().code(4).error_code("denied").lacks("the value");
    dev.keyroll(revoke).run().code(5).error_code("conflict");
    // Unseen keys are revoked by name.
    let second = dev.home().path("second.pem");
    let new = ["--json", "delegation", "new", "--out", &second];
    let made = dev.keyroll_as(&eve, new).run().code(0).json();
    let key = made["key"].as_str().expect("a key");
    let by_name = ["delegation", "revoke", key, "--of", "eve"];
    dev.keyroll(by_name).run().code(0).stderr_has("of eve");
    dev.keyroll_as(&eve, ["--identity", &second, "secret", "reveal", "A"])
        .run()
        .code(4)
        .error_code("denied");
    dev.verifies();
}

#[test]
fn an_identity_file_with_a_passphrase_is_openssls_too() {
    let dev = Dev::start();
    let (file, words) = (
        dev.home().path("locked.pem"),
        dev.home().write("words", "several easy words\n"),
    );
    let chmod = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
    };
    chmod(&words);
    let new = ["identity", "new", "--passphrase", "--out", &file];
    dev.keyroll(new)
        .run()
        .code(2)
        .stderr_has("KEYROLL_PASSPHRASE_FILE");
    let made = dev
        .keyroll(new)
        .env("KEYROLL_PASSPHRASE_FILE", &words)
        .run()
        .code(0);
    let made = made
        .text()
        .split(' ')
        .next()
        .expect("the public id")
        .to_owned();
    let shown = |words: &str| {
        let show = dev.keyroll(["--identity", &file, "identity", "show"]);
        show.env("KEYROLL_PASSPHRASE_FILE", words).run()
    };
    shown(&words).code(0).stdout_has(&made);
    let wrong = dev.home().write("wrong", "several other words");
    chmod(&wrong);
    shown(&wrong).code(1).stderr_has("passphrase");
    // openssl opens it, encrypts it again in its own way, and that is readable as well.
    let openssl = |arguments: &[&str]| {
        let run = Command::new("openssl")
            .args(arguments)
            .output()
            .expect("openssl runs");
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
    };
    let pass = format!("file:{words}");
    let (plain, again) = (dev.home().path("plain.pem"), dev.home().path("again.pem"));
    openssl(&["pkcs8", "-in", &file, "-passin", &pass, "-out", &plain]);
    openssl(&[
        "pkcs8",
        "-topk8",
        "-in",
        &plain,
        "-v2",
        "aes-256-cbc",
        "-passout",
        &pass,
        "-out",
        &again,
    ]);
    chmod(&plain);
    chmod(&again);
    for file in [&plain, &again] {
        let show = dev.keyroll(["--identity", file, "identity", "show"]);
        show.env("KEYROLL_PASSPHRASE_FILE", &words)
            .run()
            .code(0)
            .stdout_has(&made);
    }
}
