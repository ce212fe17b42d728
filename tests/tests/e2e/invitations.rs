//! Invitations, by people in homes of their own who have nothing but the link.

use std::path::PathBuf;

use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Dev, Run};
use serde_json::{Value, json};

const VALUE: &str = "the value";

/// Somebody with an empty home: no identity, no configuration, no NATS credentials.
struct Guest {
    home: PathBuf,
}

impl Guest {
    fn new(dev: &Dev, name: &str) -> Self {
        Self {
            home: dev.home().scratch().join(format!("guest-{name}")),
        }
    }

    fn keyroll(&self, words: &[&str]) -> Run {
        Run::keyroll(words).env("KEYROLL_HOME", &self.home)
    }

    /// Accepts, without waiting for a confirmation.
    fn accept(&self, link: &str) -> Value {
        let accept = ["--json", "accept", link, "--no-wait"];
        self.keyroll(&accept).run().code(0).json()
    }

    #[track_caller]
    fn refused(&self, link: &str) -> String {
        let accept = ["--json", "accept", link, "--no-wait"];
        let run = self.keyroll(&accept).run().code(4).error_code("denied");
        run.message()
    }
}

fn invite(dev: &Dev, words: &[&str]) -> String {
    let words = [&["member", "invite"], words].concat();
    let run = dev.keyroll(words).run().code(0);
    let link = run.text();
    assert!(
        link.starts_with("keyroll://") && link.lines().count() == 1,
        "{link}"
    );
    link.trim().to_owned()
}

fn members(dev: &Dev) -> Vec<Value> {
    dev.keyroll(["member", "list", "--json"])
        .run()
        .code(0)
        .rows()
}

fn member(dev: &Dev, name: &str) -> Value {
    let found = members(dev).into_iter().find(|row| row["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not listed"))
}

#[test]
fn three_people_join_by_links_alone() {
    let dev = Dev::start();
    dev.create("Stripe_Key", VALUE);
    dev.create("Mail_Key", VALUE);
    let ana = invite(&dev, &["ana", "--role", "editor"]);
    let rita = invite(&dev, &["rita", "--role", "reader", "--secrets", "stripe_*"]);
    let carl = invite(&dev, &["carl", "--role", "runner", "--expires", "90d"]);
    let waiting = member(&dev, "rita");
    assert_eq!(waiting["member"], Value::Null);
    assert_eq!(waiting["invited"]["by"], "owner");

    // A reader and a runner have joined at once.
    let (reader, runner) = (Guest::new(&dev, "rita"), Guest::new(&dev, "carl"));
    let joined = reader.accept(&rita);
    assert_eq!(
        (&joined["status"], &joined["name"]),
        (&json!("joined"), &json!("rita"))
    );
    let reveal = reader.keyroll(&["secret", "reveal", "Stripe_Key"]);
    reveal.run().code(0).stdout(VALUE);
    let outside = reader.keyroll(&["secret", "reveal", "Mail_Key"]);
    outside.run().code(4).error_code("denied");
    let edit = reader.keyroll(&["secret", "edit", "Stripe_Key", "--stdin"]);
    edit.stdin("x").run().code(4).error_code("denied");
    assert_eq!(runner.accept(&carl)["status"], "joined");
    let run = [
        "run",
        "--only",
        "Mail_Key",
        "--no-masking",
        "--",
        "printenv",
        "Mail_Key",
    ];
    runner.keyroll(&run).run().code(0).stdout_has(VALUE);

    // An editor waits until the owner has compared the fingerprint.
    let editor = Guest::new(&dev, "ana");
    let waits = editor.accept(&ana);
    assert_eq!(waits["status"], "waits");
    editor.keyroll(&["secret", "list"]).run().code(4);
    let listed = member(&dev, "ana");
    let seen = listed["invited"]["accepted"]["fingerprint"].clone();
    assert_eq!(seen, waits["fingerprint"]);
    let confirm = ["member", "confirm", "ana"];
    // Without a terminal somebody has to say yes, or name the fingerprint.
    dev.keyroll(confirm).run().code(2);
    let other = [
        "member",
        "confirm",
        "ana",
        "--fingerprint",
        "0000-0000-0000-0000",
    ];
    dev.keyroll(other).run().code(5).error_code("conflict");
    let own = [
        &["--json"],
        &confirm[..],
        &["--fingerprint", seen.as_str().expect("text")],
    ]
    .concat();
    let confirmed = dev.keyroll(own).run().code(0).json();
    assert_eq!(
        (&confirmed["fingerprint"], &confirmed["role"]),
        (&seen, &json!("editor"))
    );
    assert_eq!(editor.accept(&ana)["status"], "joined");
    let create = editor.keyroll(&["secret", "create", "Made_By_Ana", "--stdin"]);
    create.stdin("y").run().code(0);

    let names: Vec<String> = members(&dev)
        .iter()
        .map(|row| row["name"].to_string())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let rows = dev.audit();
    let kinds = |row: &Value| {
        row["type"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("member."))
    };
    let entries: Vec<_> = rows.iter().filter(|row| kinds(row)).collect();
    let of_ana = entries
        .iter()
        .find(|row| row["type"] == "member.accepted" && row["actor"] == waits["member"]);
    assert!(of_ana.is_some(), "{entries:?}");
    assert_eq!(entries.len(), 3 + 2 + 2 + 1 + 2);
    dev.verifies();
}

#[test]
fn whoever_waits_goes_on_by_itself_and_only_until_the_invitation_ends() {
    let dev = Dev::start();
    let accepted = |name: &str| {
        until("an acceptance", || {
            (member(&dev, name)["invited"]["accepted"] != Value::Null).then_some(())
        });
    };
    let link = invite(&dev, &["ana", "--role", "owner"]);
    let ana = Guest::new(&dev, "ana");
    let waiting = ana.keyroll(&["accept", "-"]).stdin(&link).start();
    accepted("ana");
    dev.keyroll(["member", "confirm", "ana", "--yes"])
        .run()
        .code(0);
    let done = waiting.wait().code(0);
    done.stderr_has("fingerprint").stderr_has("owner of demo");
    ana.keyroll(&["member", "list"]).run().code(0);

    let link = invite(&dev, &["bob", "--role", "editor"]);
    let bob = Guest::new(&dev, "bob");
    let waiting = bob.keyroll(&["accept", &link]).start();
    accepted("bob");
    dev.keyroll(["member", "revoke", "bob"]).run().code(0);
    waiting.wait().code(4);
    dev.verifies();
}

#[test]
fn a_link_that_is_of_no_use_says_so_and_nothing_else() {
    let dev = Dev::start();
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    let link = invite(&dev, &["ana", "--role", "viewer"]);
    Guest::new(&dev, "ana").accept(&link);
    let ended = invite(&dev, &["bob", "--role", "viewer"]);
    dev.keyroll(["member", "revoke", "bob"]).run().code(0);
    let renewed = invite(&dev, &["carl", "--role", "auditor"]);
    let fresh = invite(&dev, &["carl", "--renew"]);
    let before = dev.audit().len();
    let eve = Guest::new(&dev, "eve");
    // The link to one workspace opens no other one, there or not.
    let other = fresh.replace("/demo", "/other");
    let nowhere = fresh.replace("/demo", "/nowhere");
    let (head, code) = fresh.split_once('#').expect("a code");
    let flipped = if code.starts_with('A') { "B" } else { "A" };
    let wrong = format!("{head}#{flipped}{}", &code[1..]);
    let refusals: Vec<String> = [&link, &ended, &renewed, &other, &nowhere, &wrong]
        .map(|link| eve.refused(link))
        .to_vec();
    assert!(
        refusals.iter().all(|one| *one == refusals[0]),
        "{refusals:?}"
    );
    assert_eq!(
        dev.audit().len(),
        before,
        "refused acceptances make no entry"
    );
    // What is no link is refused here, and never repeated.
    for damaged in [
        &fresh[..fresh.len() - 1],
        "keyroll://x",
        &fresh.replace("keyroll", "https"),
    ] {
        let run = eve.keyroll(&["accept", damaged]).run().code(2);
        run.lacks(code);
    }
    let carl = Guest::new(&dev, "carl").accept(&fresh);
    assert_eq!(
        (&carl["status"], &carl["role"]),
        (&json!("joined"), &json!("auditor"))
    );
    assert_ne!(eve.refused(&fresh), "", "a stolen link that is used second");
    dev.verifies();
}

#[test]
fn invitations_by_a_removed_owner_end() {
    let dev = Dev::start();
    let olga = dev.member("olga", "owner", "*");
    let invite = ["member", "invite", "ana", "--role", "viewer"];
    let link = dev.keyroll_as(&olga, invite).run().code(0).text();
    dev.keyroll(["member", "remove", "olga", "--yes"])
        .run()
        .code(0);
    assert!(members(&dev).iter().all(|row| row["name"] != "ana"));
    Guest::new(&dev, "ana").refused(link.trim());
}

#[test]
fn an_acceptance_names_no_role_and_a_home_stays_with_its_ledger() {
    let dev = Dev::start();
    let link = invite(&dev, &["ana", "--role", "viewer"]);
    let ana = Guest::new(&dev, "ana");
    let sign = ["command", "sign", "member.accept"];
    let role = json!({"proof": {"key": ""}, "principal": {"key": "x"}, "role": "owner"});
    dev.keyroll(sign).stdin(role.to_string()).run().code(2);
    // An identity that is there is used, never replaced.
    ana.keyroll(&["identity", "new"]).run().code(0);
    let own = std::fs::read(ana.home.join("identity.pem")).expect("a key");
    ana.accept(&link);
    assert_eq!(
        std::fs::read(ana.home.join("identity.pem")).expect("a key"),
        own
    );
    let again = ana.accept(&link);
    assert_eq!(again["name"], "ana", "accepting twice changes nothing");
    // A home that knows another ledger.
    let second = Dev::start();
    let link = invite(&second, &["ana", "--role", "viewer"]);
    let run = ana.keyroll(&["accept", &link]).run();
    run.error_code("wrong_ledger");
    assert!(
        members(&second)
            .iter()
            .any(|row| row["invited"]["accepted"] == Value::Null && row["name"] == "ana")
    );
}

#[test]
fn names_are_taken_by_invitations_too_and_dry_runs_invite_nobody() {
    let dev = Dev::start();
    let dry = ["member", "invite", "ana", "--role", "viewer", "--dry-run"];
    dev.keyroll(dry).run().code(0).lacks("keyroll://");
    invite(&dev, &["ana", "--role", "viewer"]);
    let again = ["member", "invite", "ANA", "--role", "viewer"];
    let run = dev.keyroll(again).run().code(5).error_code("conflict");
    run.stderr_has("--renew");
    let key = dev.person("x").key;
    let add = ["member", "add", "ana", &key, "--role", "viewer"];
    dev.keyroll(add).run().code(5).error_code("conflict");
    let renew = ["--json", "member", "invite", "ana", "--renew"];
    let made = dev.keyroll(renew).run().code(0).json();
    let fields: Vec<&String> = made.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["link", "terminal", "link_expires", "member"]);
    assert_eq!(
        (&made["member"], &made["link"]),
        (&json!("ana"), &made["terminal"])
    );
    let nobody = ["member", "invite", "bob", "--renew"];
    dev.keyroll(nobody).run().code(3).error_code("not_found");
    let nobody = ["member", "confirm", "bob", "--yes"];
    dev.keyroll(nobody).run().code(3).error_code("not_found");
    let early = ["member", "confirm", "ana", "--yes"];
    dev.keyroll(early).run().code(5).error_code("conflict");
    let vera = dev.member("vera", "viewer", "*");
    for words in [
        &["invite", "eve", "--role", "owner"] as &[&str],
        &["revoke", "ana"],
    ] {
        let words = [&["member"], words].concat();
        dev.keyroll_as(&vera, words)
            .run()
            .code(4)
            .error_code("denied");
    }
    let list = dev.keyroll(["member", "list"]).run().code(0);
    list.stdout_has("viewer (invited)");
    dev.verifies();
}

#[test]
fn a_person_is_removed_wherever_the_caller_may() {
    let dev = Dev::start();
    let bob = dev.member("bob", "editor", "*");
    for name in ["one", "two"] {
        dev.keyroll(["workspace", "create", name]).run().code(0);
        let add = [
            "-w", name, "member", "add", "robert", &bob.key, "--role", "owner",
        ];
        dev.keyroll(add).run().code(0);
    }
    // In `two` the caller may manage members no longer.
    let demote = [
        "-w", "two", "member", "change", "owner", "--role", "viewer", "--yes",
    ];
    dev.keyroll_as(&bob, demote).run().code(0);
    let remove = ["member", "remove", "bob", "--all-workspaces"];
    dev.keyroll(remove).run().code(2);
    let words = [&["--json", "--yes"], &remove[..]].concat();
    let run = dev.keyroll(words).run().code(4).error_code("denied");
    let message = run.message();
    assert!(
        message.contains("still a member of two") && message.contains("Removed from: demo, one"),
        "{message}"
    );
    dev.keyroll_as(&bob, ["secret", "list"]).run().code(4);
    dev.keyroll_as(&bob, ["-w", "two", "member", "list"])
        .run()
        .code(0);
    let nobody = ["--yes", "member", "remove", "nobody", "--all-workspaces"];
    dev.keyroll(nobody).run().code(3).error_code("not_found");
}
