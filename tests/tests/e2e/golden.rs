//! The data directories that earlier programs left behind, opened by the present program.

use ed25519_dalek::SigningKey;
use keyroll_audit::bundle::{Header, Reader, write_commit, write_header};
use keyroll_core::commit::COMMIT_V;
use keyroll_core::origin::origin;
use keyroll_core::{Commit, Digest, Rules, TreeSize, cose};
use keyroll_ledger::projection::SCHEMA;
use keyroll_merkle::{Checkpoint, Hash};
use keyroll_tests::golden::{Rows, Set, sets};
use keyroll_tests::harness::Dev;
use keyroll_tests::harness::raw::identity;
use keyroll_tests::harness::wait::until;
use keyroll_wire::time::now;
use serde_json::{Value, json};

/// Fields that depend on the present moment.
const OF_NOW: [&str; 2] = ["stale", "unused"];

/// Rows have all their former fields, with the same content. They may have more by now.
#[track_caller]
fn same(found: &[Value], expected: &[Value]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        for (field, value) in expected.as_object().expect("an object") {
            if !OF_NOW.contains(&field.as_str()) {
                assert_eq!(found[field], *value, "{field} of {found}");
            }
        }
    }
}

fn shows(dev: &Dev, workspace: &str, rows: &Rows) {
    let ask = |words: &[&str]| {
        let ask = dev.keyroll(["-w", workspace, "--json"]).args(words);
        ask.run().code(0).rows()
    };
    same(&ask(&["secret", "list"]), &rows.secrets);
    same(&ask(&["secret", "list", "--deleted"]), &rows.deleted);
    same(&ask(&["member", "list", "--removed"]), &rows.members);
    same(&ask(&["audit", "log", "--limit", "10000"]), &rows.audit);
    for (name, history) in &rows.history {
        same(&ask(&["secret", "history", name]), history);
    }
}

fn verifies(dev: &Dev, workspace: &str, entries: u64) {
    let verify = ["-w", workspace, "--json", "audit", "verify", "--full"];
    let report = dev.keyroll(verify).run().code(0).json();
    assert_eq!(
        (&report["ok"], &report["entries"]),
        (&json!(true), &json!(entries)),
        "{report}"
    );
}

fn opens(set: &Set) {
    let expected = &set.expected.dev;
    let dev = Dev::start_in(set.unpack());
    // Only the first rules accepted names with invisible characters.
    let odd = expected.workspaces["demo"].members.iter();
    let odd = odd.filter(|row| row["name"] == "Zo\u{200b}e").count();
    assert_eq!(odd == 1, set.directory.ends_with("rules-1"));
    let status = dev.keyroll(["--json", "status"]).run().code(0).json();
    assert_eq!(status["problems"], json!([]), "{status}");
    let entries = |workspace: &str| set.expected.bundles[&format!("{workspace}.bundle")].entries;
    for (workspace, rows) in &expected.workspaces {
        verifies(&dev, workspace, entries(workspace));
        shows(&dev, workspace, rows);
    }
    let storage = ["--json", "audit", "verify", "--storage"];
    let report = dev.keyroll(storage).run().code(0).json();
    assert_eq!(report["problems"], json!([]), "{report}");
    // From the read model of the old program, and from the log alone.
    let digest = dev.digest();
    let recorded = expected.digests.get(&SCHEMA);
    assert_eq!(
        Some(&digest),
        recorded,
        "rows of schema {SCHEMA}: if nothing else fails here, add this digest to {}",
        set.directory.join("expected.json").display()
    );
    let rebuild = ["--json", "projection", "rebuild"];
    let rebuilt = dev.keyroll(rebuild).run().code(0).json();
    assert_eq!(
        (&rebuilt["identical"], &rebuilt["digest"]),
        (&json!(true), &json!(digest))
    );
    for (workspace, rows) in &expected.workspaces {
        shows(&dev, workspace, rows);
        for (name, value) in &rows.values {
            let reveal = dev.keyroll(["-w", workspace, "secret", "reveal", name]);
            reveal.run().code(0).stdout(value);
        }
    }
    goes_on(dev);
}

/// A member whose name was accepted by older rules can still be changed otherwise.
fn keeps_old_names(dev: &Dev) {
    let rows = dev.keyroll(["--json", "member", "list"]);
    let rows = rows.run().code(0).rows();
    let odd = rows.iter().find(|row| row["name"] == "Zo\u{200b}e");
    let Some(odd) = odd else { return };
    let odd = odd["member"].as_str().expect("a key").to_owned();
    let change = ["--yes", "--json", "member", "change", &odd];
    let changed = |more: &[&str]| dev.keyroll(change).args(more).run();
    changed(&["--role", "auditor"]).code(0);
    changed(&["--name", "Zo\u{2060}e"])
        .code(2)
        .error_code("invalid_name");
    changed(&["--name", "Zoe"]).code(0);
}

/// New commands are accepted, by the present rules.
fn goes_on(dev: Dev) {
    dev.create("New", "a new value");
    dev.keyroll(["secret", "reveal", "New"])
        .run()
        .code(0)
        .stdout("a new value");
    let new = dev.person("new").key;
    let add = |name: &str| {
        let add = ["--json", "member", "add", name, &new, "--role", "viewer"];
        dev.keyroll(add).run()
    };
    assert!(Rules::CURRENT >= Rules::V2);
    add("Ne\u{200b}w").code(2).error_code("invalid_name");
    add("New").code(0);
    keeps_old_names(&dev);
    dev.verifies();
    let digest = dev.digest();
    let dev = Dev::start_in(dev.stop());
    assert_eq!(dev.digest(), digest);
    dev.keyroll(["secret", "reveal", "New"])
        .run()
        .code(0)
        .stdout("a new value");
}

#[test]
fn golden_data_directories_open_as_they_were_and_go_on() {
    for set in sets() {
        opens(&set);
    }
}

/// The next commit of a program with later rules, signed by the ledger's own key. Its entry has a
/// form that is unknown today.
fn by_later_rules(dev: &Dev, report: &Value) -> Commit {
    let root = report["root"].as_str().expect("a root");
    let root = hex::decode(root).expect("hex").try_into().expect("a root");
    Commit {
        v: COMMIT_V,
        at: now(),
        root: Digest(root),
        first: TreeSize(report["entries"].as_u64().expect("a number")),
        rules: Rules::CURRENT.number() + 1,
        ledger: dev.ledger(),
        entries: vec![vec![0xa0].into()],
        workspace: "demo".parse().expect("a name"),
    }
}

/// A bundle that is longer by a commit.
fn longer(bundle: &[u8], commit: &Commit, online: &SigningKey) -> Vec<u8> {
    let mut reader = Reader::new(bundle).expect("a bundle");
    let mut longer = Vec::new();
    let origin = origin(&commit.ledger, &commit.workspace);
    let checkpoint = Checkpoint {
        origin: origin.clone(),
        size: commit.first.0 + 1,
        root: Hash([7; 32]),
        extensions: Vec::new(),
    };
    let header = Header {
        checkpoint: checkpoint.sign(online, &origin).expect("signed"),
        ..reader.header().clone()
    };
    write_header(&mut longer, &header).expect("written");
    while let Some(commit) = reader.commit().expect("a commit") {
        write_commit(&mut longer, commit).expect("written");
    }
    write_commit(&mut longer, &cose::sign(commit, online)).expect("written");
    longer
}

/// A service stops at the commit of a later program, reports it, and raises no alarm.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_program_wrote_wants_an_upgrade_and_is_no_alarm() {
    let dev = Dev::start();
    dev.create("Key", "the value");
    let report = dev.verifies();
    let online = identity(&dev.home().data().join("keys/online.pem"));
    let commit = by_later_rules(&dev, &report);
    let bundle = dev.home().path("log.bundle");
    dev.keyroll(["audit", "export", "--out", &bundle])
        .run()
        .code(0);
    let bytes = std::fs::read(&bundle).expect("a bundle");
    let file = dev
        .home()
        .write("longer.bundle", longer(&bytes, &commit, &online));
    let verify = ["--json", "audit", "verify", "--bundle", &file];
    let said = dev.keyroll(verify).run().code(1).json();
    assert_eq!(said["entries"], report["entries"], "{said}");
    assert_eq!(said["problems"][0]["kind"], "upgrade_needed", "{said}");
    let verify = ["audit", "verify", "--bundle", &file];
    dev.keyroll(verify)
        .run()
        .code(1)
        .stdout_has("upgrade keyroll");

    let service = dev.nats_as("service").await;
    let context = async_nats::jetstream::new(service.client.clone());
    let bytes = cose::sign(&commit, &online);
    let sent = context.publish("keyroll.log.demo", bytes.into()).await;
    sent.expect("sent").await.expect("stored");
    let upgrade = |words: &[&str]| {
        let run = dev.keyroll(words).run().code(1);
        run.error_code("upgrade_needed").lacks("the value")
    };
    until("the end of what is known", || {
        let status = dev
            .keyroll(["--json", "status"])
            .run()
            .code_in(&[0, 6])
            .json();
        let said = status["problems"].to_string();
        said.contains("upgrade keyroll").then_some(())
    });
    upgrade(&["secret", "reveal", "Key"]);
    upgrade(&["secret", "create", "More", "--generate"]);
    upgrade(&["--json", "recover", "--yes"]);
    let listed = dev.keyroll(["--json", "secret", "list"]).run().code(0);
    assert_eq!(listed.rows().len(), 1);
    let verify = ["--json", "audit", "verify", "--full"];
    let said = dev.keyroll(verify).run().code(1).json();
    assert_eq!(said["problems"][0]["kind"], "upgrade_needed", "{said}");
    let dev = Dev::start_in(dev.stop());
    let reveal = dev.keyroll(["secret", "reveal", "Key"]).run().code(1);
    reveal.error_code("upgrade_needed").lacks("the value");
}
