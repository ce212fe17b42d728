//! NATS credentials that the ledger issues: nobody edits a nats-server's file for a person or a workspace.

mod guests;
mod inbox;
mod short;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keyroll_nats::Creds;
use keyroll_nats::creds::seconds;
use keyroll_nats::jwt::{self, User};
use keyroll_nats::nkeys::KeyPair;
use keyroll_tests::harness::dev::Person;
use keyroll_tests::harness::{Dev, Run};

/// A command of a person who has a key, the address and nothing else.
fn bare<'a>(dev: &Dev, who: &Person, words: impl IntoIterator<Item = &'a str>) -> Run {
    Run::keyroll(words)
        .env("KEYROLL_HOME", &who.home)
        .env("KEYROLL_NATS_URL", dev.nats_url())
        .env("KEYROLL_WORKSPACE", "demo")
        .in_directory(dev.home().scratch())
}

/// The file of the issued credentials in a home.
fn stored(home: &Path) -> PathBuf {
    let files = fs::read_dir(home.join("credentials")).expect("a directory");
    let files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// The owner from another directory, with the key alone.
fn owner(dev: &Dev, name: &str) -> Person {
    let home = dev.home().scratch().join(name);
    fs::create_dir(&home).expect("a directory");
    fs::copy(
        dev.home().data().join("identity.pem"),
        home.join("identity.pem"),
    )
    .expect("copied");
    let key = Run::keyroll(["identity", "show"]).env("KEYROLL_HOME", &home);
    let key = key.run().code(0).text();
    Person {
        name: name.to_owned(),
        key: key.split(' ').next().expect("the public id").to_owned(),
        home,
    }
}

#[test]
fn a_member_needs_no_nats_user_and_keeps_the_credentials() {
    let dev = Dev::start();
    dev.create("Key", "value");
    let vera = dev.member("vera", "viewer", "*");
    bare(&dev, &vera, ["secret", "list"])
        .run()
        .code(0)
        .stdout_has("Key");
    let file = stored(&vera.home);
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let creds = Creds::load(&file).expect("credentials");
    assert_eq!(creds.claims().nats.tags, ["ws:demo"]);
    let raw = creds.public_key();
    assert!(
        raw.starts_with('U') && !vera.key.contains(raw),
        "a key of its own: {raw}"
    );
    bare(&dev, &vera, ["secret", "list"]).run().code(0);
    let again = Creds::load(&file).expect("credentials");
    assert_eq!(again.jwt(), creds.jwt(), "they are used again");
}

#[test]
fn new_workspaces_and_members_need_no_edit_and_no_reload() {
    let dev = Dev::start();
    let ann = owner(&dev, "ann");
    let bob = dev.person("bob");
    bare(&dev, &ann, ["workspace", "create", "billing"])
        .run()
        .code(0);
    let other = |who: &Person, words: &[&str]| {
        let words = ["-w", "billing"].into_iter().chain(words.iter().copied());
        bare(&dev, who, words).run()
    };
    other(&bob, &["secret", "list"])
        .code(4)
        .stderr_has("not a member of workspace billing");
    other(
        &ann,
        &["member", "add", "bob", &bob.key, "--role", "editor"],
    )
    .code(0);
    other(&bob, &["secret", "create", "Key", "--generate"]).code(0);
    other(&ann, &["secret", "reveal", "Key"]).code(0);
    // Both workspaces by one connection key.
    bare(&dev, &ann, ["secret", "list"]).run().code(0);
    let creds = Creds::load(&stored(&ann.home)).expect("credentials");
    let mut tags = creds.claims().nats.tags.clone();
    tags.sort();
    assert_eq!(tags, ["ws:billing", "ws:demo"]);
}

#[test]
fn a_lost_membership_does_not_bar_the_others() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    let owner = |workspace: &str, words: &[&str]| {
        let words = ["-w", workspace].into_iter().chain(words.iter().copied());
        dev.keyroll(words).run().code(0);
    };
    for workspace in ["billing", "third"] {
        dev.keyroll(["workspace", "create", workspace])
            .run()
            .code(0);
        owner(
            workspace,
            &["member", "add", "vera", &vera.key, "--role", "viewer"],
        );
    }
    let list = |workspace: &str| bare(&dev, &vera, ["-w", workspace, "secret", "list"]).run();
    list("demo").code(0);
    list("billing").code(0);
    owner("billing", &["member", "remove", "vera", "--yes"]);
    // The credentials name billing, and new ones for all three are refused.
    list("third").code(0);
    let creds = Creds::load(&stored(&vera.home)).expect("credentials");
    assert_eq!(creds.claims().nats.tags, ["ws:third"]);
    list("demo").code(0);
    list("billing").code(4);
}

#[test]
fn a_stranger_gets_no_credentials() {
    let dev = Dev::start();
    let eve = dev.person("eve");
    bare(&dev, &eve, ["secret", "list"])
        .run()
        .code(4)
        .stderr_has("not a member of workspace demo");
    bare(&dev, &eve, ["-w", "none", "secret", "list"])
        .run()
        .code(4)
        .stderr_has("not a member of workspace none");
    bare(&dev, &eve, ["workspace", "list"]).run().code(4);
    assert!(!eve.home.join("credentials").exists());
}

#[test]
fn a_removed_member_is_refused_at_once_with_and_without_credentials() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    bare(&dev, &vera, ["secret", "list"]).run().code(0);
    dev.keyroll(["member", "remove", "vera", "--yes"])
        .run()
        .code(0);
    // The log still has the entries that she saw: it is no rollback.
    bare(&dev, &vera, ["secret", "list"]).run().code(4);
    fs::remove_dir_all(vera.home.join("credentials")).expect("removed");
    bare(&dev, &vera, ["secret", "list"]).run().code(4);
}

#[test]
fn credentials_for_one_workspace_do_not_reach_another() {
    let dev = Dev::start();
    dev.keyroll(["workspace", "create", "billing"])
        .run()
        .code(0);
    let vera = dev.member("vera", "owner", "*");
    let file = dev.home().path("vera.creds");
    bare(&dev, &vera, ["nats", "creds", "--out", &file])
        .run()
        .code(0);
    let creds = Creds::load(Path::new(&file)).expect("credentials");
    let with_file = |words: &[&str]| {
        let first = ["-w", "billing", "--nats-creds", &file];
        bare(&dev, &vera, first.into_iter().chain(words.iter().copied())).run()
    };
    for (words, kind) in [
        (&["secret", "list"] as &[&str], "query"),
        (&["secret", "create", "Key", "--generate"], "command"),
    ] {
        let refused = with_file(words).code(4);
        let subject = format!("keyroll.v1.billing.{kind}");
        refused.stderr_has(creds.name()).stderr_has(&subject);
    }
    let first = ["-w", "demo", "--nats-creds", &file, "secret", "list"];
    bare(&dev, &vera, first).run().code(0);
}

/// Whoever uses the file goes on under the same NATS name, and hears below the same inbox.
#[test]
fn a_renewed_file_keeps_its_key() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    let file = dev.home().path("vera.creds");
    let write = || {
        bare(&dev, &vera, ["nats", "creds", "--out", &file])
            .run()
            .code(0);
        let creds = Creds::load(Path::new(&file)).expect("credentials");
        creds.public_key().to_owned()
    };
    let first = write();
    assert_eq!(write(), first);
    fs::write(&file, "no credentials").expect("written");
    assert_ne!(write(), first, "a fresh key");
}

#[test]
fn a_home_that_cannot_keep_credentials_still_gets_them() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    // A file where the directory would be: its owner may write anywhere.
    fs::write(vera.home.join("credentials"), "").expect("written");
    for _ in 0..2 {
        bare(&dev, &vera, ["secret", "list"]).run().code(0);
    }
}

#[test]
fn processes_of_one_home_may_get_credentials_at_once() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    let started: Vec<_> = (0..6)
        .map(|_| bare(&dev, &vera, ["secret", "list"]).start())
        .collect();
    for running in started {
        running.wait().code(0);
    }
    Creds::load(&stored(&vera.home)).expect("whole credentials");
}

/// Credentials that look as if they were in force, by a clock that is wrong for example: the server refuses
/// them, and does not make their bearer a guest. The client gets new ones.
#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_replaced() {
    let dev = Dev::start();
    let vera = dev.member("vera", "viewer", "*");
    bare(&dev, &vera, ["secret", "list"]).run().code(0);
    let file = stored(&vera.home);
    let (user, account) = (KeyPair::new_user(), KeyPair::new_account());
    let about = (&*user.public_key(), &*user.public_key());
    let hour = (seconds(), Some(seconds() + 3_600));
    let jwt = jwt::sign(&account, about, hour, User::unrestricted()).expect("signed");
    let foreign = Creds::new(jwt, user).expect("they fit");
    let refused = foreign.connect_options().connect(dev.nats_url()).await;
    let refused = refused.expect_err("a foreign JWT").to_string();
    assert!(refused.contains("authorization violation"), "{refused}");
    fs::write(&file, foreign.render().expect("a text")).expect("written");
    bare(&dev, &vera, ["secret", "list"]).run().code(0);
    let new = Creds::load(&file).expect("credentials");
    assert_ne!(new.jwt(), foreign.jwt());
}
