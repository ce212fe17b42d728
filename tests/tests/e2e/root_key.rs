//! The places of the root key: a file, a file under a passphrase, systemd's credentials.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use keyroll_tests::harness::{Cluster, Done};

const WORDS: &str = "KEYROLL_ROOT_PASSPHRASE_FILE";
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

fn private(cluster: &Cluster, name: &str, text: &str) -> String {
    let path = cluster.home().write(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
    path
}

fn key_file(cluster: &Cluster, name: &str) -> PathBuf {
    cluster.home().data().join("keys").join(name)
}

fn moved(cluster: &Cluster, to: &str, (variable, value): (&str, &str)) -> Done {
    let words = ["root-key", "move", to, "--json"];
    cluster.keyroll(words).env(variable, value).run()
}

/// A service in this environment either shows the value, or ends with this status and the reason.
fn serves(
    cluster: &Cluster,
    environment: &[(&'static str, String)],
) -> Result<(), (Option<i32>, String)> {
    let service = cluster.service(0);
    let environment = environment.iter().cloned();
    let mut replica = environment
        .fold(service, |service, (name, value)| service.env(name, value))
        .start();
    if !replica.is_ready() {
        let code = replica.ended().code();
        return Err((code, replica.stderr()));
    }
    let reveal = cluster.keyroll(["secret", "reveal", "A"]).run();
    reveal.code(0).stdout("the value");
    replica.kill();
    Ok(())
}

#[test]
fn the_root_key_is_kept_where_an_operator_wants_it() {
    let cluster = Cluster::start(1, 1);
    let service = cluster.serve(0, 0, 0);
    let keyroll = |words: &[&str]| cluster.keyroll(words);
    keyroll(&["workspace", "create", "demo"]).run().code(0);
    let create = ["secret", "create", "A", "--stdin"];
    keyroll(&create).stdin("the value").run().code(0);
    service.kill();
    let plain = key_file(&cluster, "root.key");
    let key = fs::read_to_string(&plain).expect("a key");
    let words = private(&cluster, "words", "several easy words\n");
    let said = |text: String| vec![(WORDS, text)];

    // Under a passphrase. The output has nothing of the key or of the passphrase.
    moved(&cluster, "passphrase", (WORDS, "/nonexistent")).code(1);
    let short = private(&cluster, "short", "too short\n");
    moved(&cluster, "passphrase", (WORDS, &short)).code(2);
    serves(&cluster, &[]).expect("all is as it was");
    let done = moved(&cluster, "passphrase", (WORDS, &words)).code(0);
    assert_eq!(done.json()["to"], "passphrase");
    fs::remove_file(&plain).expect("erased");
    let locked = fs::read_to_string(key_file(&cluster, "root.locked")).expect("written");
    assert!(locked.contains("argon2id m=65536 t=3 p=1"), "{locked}");
    assert!(!locked.contains(key.trim()) && !locked.contains("easy"));
    serves(&cluster, &said(words.clone())).expect("the passphrase opens it");
    let wrong = private(&cluster, "wrong", "several other words\n");
    let (code, why) = serves(&cluster, &said(wrong)).expect_err("another passphrase");
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("the passphrase is wrong"), "{why}");
    let (code, why) = serves(&cluster, &[]).expect_err("nobody to ask");
    assert_eq!(code, Some(2), "{why}");
    assert!(why.contains(WORDS), "{why}");

    // Among systemd's credentials, where only systemd puts it.
    let directory = cluster.home().scratch().join("credentials");
    fs::create_dir(&directory).expect("a directory");
    let named = directory.to_str().expect("a path").to_owned();
    let move_there = || {
        let words = ["root-key", "move", "credential"];
        let run = cluster.keyroll(words).env(CREDENTIALS, &named);
        run.env(WORDS, private(&cluster, "words", "several easy words"))
            .run()
    };
    move_there().code(1).stderr_has("keyroll-root-key");
    fs::write(directory.join("keyroll-root-key"), "11".repeat(32)).expect("written");
    move_there().code(2).stderr_has("another key");
    fs::write(directory.join("keyroll-root-key"), &key).expect("written");
    move_there().code(0);
    fs::remove_file(key_file(&cluster, "root.locked")).expect("erased");
    serves(&cluster, &[(CREDENTIALS, named.clone())]).expect("the credential is the key");
    let (code, why) = serves(&cluster, &[]).expect_err("no credentials");
    assert_eq!(code, Some(2), "{why}");
    assert!(why.contains("LoadCredentialEncrypted"), "{why}");

    // And back into a file.
    moved(&cluster, "file", (CREDENTIALS, &named)).code(0);
    assert_eq!(fs::read_to_string(&plain).expect("a key"), key);
    serves(&cluster, &[]).expect("the file is the key");
}

/// With another root key no key can be wrapped or unwrapped: that is reported at the start, not at
/// the first reveal.
#[test]
fn another_root_key_is_noticed_at_the_start() {
    let cluster = Cluster::start(1, 1);
    let service = cluster.serve(0, 0, 0);
    cluster
        .keyroll(["workspace", "create", "demo"])
        .run()
        .code(0);
    service.kill();
    let plain = key_file(&cluster, "root.key");
    let key = fs::read_to_string(&plain).expect("a key");
    fs::write(&plain, "11".repeat(32)).expect("written");
    let mut replica = cluster.service(0).start();
    assert!(!replica.is_ready(), "{}", replica.stderr());
    assert_eq!(replica.ended().code(), Some(1), "{}", replica.stderr());
    assert!(
        replica.stderr().contains("root key"),
        "{}",
        replica.stderr()
    );
    fs::write(&plain, key).expect("written");
    let _service = cluster.serve(0, 0, 0);
}
