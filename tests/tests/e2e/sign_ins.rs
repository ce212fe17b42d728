//! Sign-ins: fresh keys that act for a member for a while.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keyroll_tests::harness::{Dev, Person, Run};
use serde_json::{Value, json};

/// A member whose identity file lies elsewhere, as on a stick.
struct Traveller {
    who: Person,
    stick: PathBuf,
}

impl Traveller {
    fn new(dev: &Dev, name: &str, role: &str) -> Self {
        Self::of(dev, dev.member(name, role, "*"))
    }

    fn of(dev: &Dev, who: Person) -> Self {
        let stick = dev.home().scratch().join(format!("{}.pem", who.name));
        fs::rename(who.home.join("identity.pem"), &stick).expect("moved");
        Self { who, stick }
    }

    fn sign_in_file(&self) -> PathBuf {
        self.who.home.join("sign-in.pem")
    }

    fn login(&self, dev: &Dev, more: &[&str]) -> Value {
        let words = ["--json", "login"];
        let run = self.with(dev, &self.stick, &words).args(more).run();
        run.code(0).json()
    }

    /// A command that the key in a file signs.
    fn with(&self, dev: &Dev, file: &Path, words: &[&str]) -> Run {
        dev.keyroll_as(&self.who, ["--identity", file.to_str().expect("UTF-8")])
            .args(words)
    }

    /// A command without an identity file.
    fn run(&self, dev: &Dev, words: &[&str]) -> Run {
        dev.keyroll_as(&self.who, words)
    }

    fn sign_ins(&self, dev: &Dev) -> Vec<Value> {
        self.with(dev, &self.stick, &["--json", "signin", "list"])
            .run()
            .code(0)
            .rows()
    }
}

const REVEAL: [&str; 3] = ["secret", "reveal", "A"];

#[test]
fn a_sign_in_signs_where_there_is_no_identity_file() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let ana = Traveller::new(&dev, "ana", "editor");
    ana.run(&dev, &REVEAL)
        .run()
        .code(1)
        .stderr_has("keyroll login");
    let made = ana.login(&dev, &["--expires", "2h", "--where", "a laptop"]);
    assert_eq!(
        (&made["where"], &made["member"]),
        (&json!("a laptop"), &json!(ana.who.key))
    );
    let mode = fs::metadata(ana.sign_in_file())
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    ana.run(&dev, &REVEAL).run().code(0).stdout("the value");
    ana.run(&dev, &["secret", "edit", "A", "--stdin"])
        .stdin("new")
        .run()
        .code(0);
    ana.run(&dev, &["identity", "show"])
        .run()
        .code(0)
        .stdout_has(&ana.who.key);
    // One entry opened it, and the log says which key signed.
    let rows = dev.audit();
    let of = |kind: &str| rows.iter().filter(|row| row["type"] == kind).count();
    assert_eq!(of("signin.opened"), 1);
    let revealed = rows.iter().find(|row| row["type"] == "secret.revealed");
    let revealed = revealed.expect("a reveal");
    assert_eq!(
        (&revealed["actor"], &revealed["sign_in_key"]),
        (&json!(ana.who.key), &made["key"])
    );
    let listed = ana.sign_ins(&dev);
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0]["id"], &listed[0]["where"]),
        (&made["key"], &json!("a laptop"))
    );
    // A sign-in lasts at most 12 h.
    ana.with(&dev, &ana.stick, &["login", "--expires", "13h"])
        .run()
        .code(2);
    // The identity file signs where it is named.
    ana.with(&dev, &ana.stick, &REVEAL).run().code(0);
    ana.run(&dev, &["logout"]).run().code(0);
    assert!(!ana.sign_in_file().exists());
    ana.run(&dev, &REVEAL).run().code(1);
    assert!(ana.sign_ins(&dev).is_empty());
    dev.verifies();
}

#[test]
fn a_stolen_sign_in_is_worth_nothing_once_it_is_closed() {
    let dev = Dev::start();
    dev.create("A", "the value");
    dev.keyroll(["workspace", "create", "later"]).run().code(0);
    dev.keyroll(["workspace", "create", "both"]).run().code(0);
    let ana = Traveller::new(&dev, "ana", "editor");
    let add = ["member", "add", "ana", &ana.who.key, "--role", "editor"];
    dev.keyroll(["-w", "both"]).args(add).run().code(0);
    let made = ana.login(&dev, &[]);
    let stolen = dev.home().scratch().join("stolen.pem");
    fs::copy(ana.sign_in_file(), &stolen).expect("copied");
    let steal = |words: &[&str]| ana.with(&dev, &stolen, words);
    steal(&REVEAL).run().code(0).stdout("the value");
    // A sensitive act needs the member's own key, and other workspaces know nobody of the kind.
    steal(&["key", "rotate"]).run().code(4);
    steal(&["-w", "later", "secret", "list"]).run().code(4);
    // Closed with the member's own key: also in `both`, where it was never used.
    let key = made["key"].as_str().expect("a key");
    let closed = ana.with(&dev, &ana.stick, &["--json", "signin", "close", key]);
    let closed = closed.run().code(0).json();
    let workspaces: Vec<&Value> = closed["closed"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| &row["workspace"])
        .collect();
    assert_eq!(workspaces, [&json!("both"), &json!("demo")]);
    for place in ["demo", "both"] {
        steal(&["-w", place, "secret", "list"])
            .run()
            .code(4)
            .stderr_has("sign-in has ended");
    }
    // It opens nothing in a workspace that its member joins later.
    dev.keyroll(["-w", "later"]).args(add).run().code(0);
    steal(&["-w", "later", "secret", "list"])
        .run()
        .code(4)
        .stderr_has("older than your membership");
    // A new one does.
    ana.login(&dev, &[]);
    ana.run(&dev, &["-w", "later", "secret", "list"])
        .run()
        .code(0);
    for place in ["demo", "both", "later"] {
        dev.keyroll(["-w", place, "audit", "verify", "--full"])
            .run()
            .code(0);
    }
}

#[test]
fn a_removed_members_sign_ins_end_for_good() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let ana = Traveller::new(&dev, "ana", "editor");
    ana.login(&dev, &[]);
    ana.run(&dev, &REVEAL).run().code(0);
    let removed = ["member", "remove", "ana", "--yes"];
    dev.keyroll(removed).run().code(0);
    ana.run(&dev, &REVEAL).run().code(4);
    let add = ["member", "add", "ana", &ana.who.key, "--role", "editor"];
    dev.keyroll(add).run().code(0);
    ana.run(&dev, &REVEAL)
        .run()
        .code(4)
        .stderr_has("older than your membership");
    ana.login(&dev, &[]);
    ana.run(&dev, &REVEAL).run().code(0);
    dev.verifies();
}

#[test]
fn an_owner_closes_the_sign_ins_of_others_with_its_own_key() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let ana = Traveller::new(&dev, "ana", "editor");
    let bob = Traveller::new(&dev, "bob", "viewer");
    let olga = Traveller::new(&dev, "olga", "owner");
    let key = |made: &Value| made["key"].as_str().expect("a key").to_owned();
    let anas = key(&ana.login(&dev, &["--where", "https://console.example"]));
    bob.login(&dev, &[]);
    olga.login(&dev, &[]);
    ana.run(&dev, &REVEAL).run().code(0);
    // Others neither see it nor close it.
    assert_eq!(bob.sign_ins(&dev).len(), 1);
    bob.with(&dev, &bob.stick, &["signin", "list", "--member", "ana"])
        .run()
        .code(4);
    let close = ["signin", "close", anas.as_str()];
    assert_eq!(olga.sign_ins(&dev).len(), 3);
    olga.run(&dev, &close).run().code(4).stderr_has("own key");
    ana.run(&dev, &REVEAL).run().code(0);
    olga.with(&dev, &olga.stick, &close).run().code(0);
    ana.run(&dev, &REVEAL).run().code(4);
    // By where it is used, and all at once.
    ana.login(&dev, &["--where", "https://console.example"]);
    ana.with(
        &dev,
        &ana.stick,
        &["signin", "close", "--where", "https://elsewhere"],
    )
    .run()
    .code(0);
    ana.run(&dev, &REVEAL).run().code(0);
    ana.with(
        &dev,
        &ana.stick,
        &["signin", "close", "--where", "https://console.example"],
    )
    .run()
    .code(0);
    ana.run(&dev, &REVEAL).run().code(4);
    ana.login(&dev, &[]);
    ana.run(&dev, &["signin", "close", "--all"]).run().code(0);
    ana.run(&dev, &REVEAL).run().code(4);
    ana.with(&dev, &ana.stick, &["signin", "close"])
        .run()
        .code(2);
    dev.verifies();
}

#[test]
fn a_key_that_is_none_of_ones_own_is_blocked_and_a_members_is_closed_by_name() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let ana = Traveller::new(&dev, "ana", "editor");
    let made = ana.login(&dev, &[]);
    let key = made["key"].as_str().expect("a key");
    let bob = Traveller::new(&dev, "bob", "viewer");
    let close = ["signin", "close", key];
    let blocked = bob.with(&dev, &bob.stick, &close).run().code(0);
    blocked.stderr_has("none of your sign-ins");
    ana.run(&dev, &REVEAL).run().code(0);
    bob.with(&dev, &bob.stick, &close)
        .args(["--member", "ana"])
        .run()
        .code(4)
        .stderr_has("nothing was closed");
    ana.run(&dev, &REVEAL).run().code(0);
    dev.keyroll(close).args(["--member", "ana"]).run().code(0);
    ana.run(&dev, &REVEAL).run().code(4);
    dev.verifies();
}

#[test]
fn signing_in_again_closes_the_sign_in_of_before() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let ana = Traveller::new(&dev, "ana", "editor");
    ana.login(&dev, &[]);
    let earlier = dev.home().scratch().join("earlier.pem");
    fs::copy(ana.sign_in_file(), &earlier).expect("copied");
    let made = ana.login(&dev, &[]);
    ana.with(&dev, &earlier, &REVEAL)
        .run()
        .code(4)
        .stderr_has("sign-in has ended");
    ana.run(&dev, &REVEAL).run().code(0);
    let open = ana.sign_ins(&dev);
    assert_eq!((open.len(), &open[0]["id"]), (1, &made["key"]));
    // Where the ledger cannot be asked, the file stays: nobody could close the sign-in without it.
    ana.run(&dev, &["logout"])
        .env("KEYROLL_NATS_URL", "nats://127.0.0.1:1")
        .run()
        .code(7)
        .stderr_has("not signed out");
    assert!(ana.sign_in_file().exists());
    ana.run(&dev, &["logout"]).run().code(0);
    assert!(!ana.sign_in_file().exists() && ana.sign_ins(&dev).is_empty());
}

#[test]
fn sign_ins_outlast_a_restart_and_a_rebuild() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let ana = Traveller::new(&dev, "ana", "editor");
    ana.login(&dev, &[]);
    let rebuilt = dev.keyroll(["projection", "rebuild", "--json", "--yes"]);
    assert_eq!(rebuilt.run().code(0).json()["identical"], true);
    ana.run(&dev, &REVEAL).run().code(0);
    let bundle = dev.home().path("demo.bundle");
    dev.keyroll(["audit", "export", "--out", &bundle])
        .run()
        .code(0);
    dev.keyroll(["audit", "verify", "--bundle", &bundle])
        .run()
        .code(0);
}

/// An open sign-in gets its NATS credentials from the ledger, like a member's own key.
#[test]
fn a_sign_in_needs_no_nats_user_of_its_own() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let ana = Traveller::new(&dev, "ana", "editor");
    let alone = |run: Run| run.env("KEYROLL_NATS_CREDS", "");
    alone(ana.with(&dev, &ana.stick, &["login"])).run().code(0);
    alone(ana.run(&dev, &REVEAL))
        .run()
        .code(0)
        .stdout("the value");
    let stolen = dev.home().scratch().join("stolen.pem");
    fs::copy(ana.sign_in_file(), &stolen).expect("copied");
    alone(ana.run(&dev, &["logout"])).run().code(0);
    // Elsewhere, so that no credentials of before are there.
    let home = dev.home().scratch().join("home-thief");
    alone(ana.with(&dev, &stolen, &REVEAL))
        .env("KEYROLL_HOME", &home)
        .run()
        .code(4)
        .stderr_has("sign-in has ended");
}
