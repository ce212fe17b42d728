//! Verification by members and by strangers, and its reports on a log that was tampered with.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_merkle::{SignedCheckpoint, TlogProof, VerifierKey, leaf_hash, verify_consistency};
use keyroll_tests::harness::{Dev, Done, Run};
use serde_json::Value;

/// A ledger with some twenty entries, as several commits.
fn with_history() -> Dev {
    let dev = Dev::start();
    for number in 0..6 {
        let name = format!("S{number}");
        dev.create(&name, &name);
        dev.keyroll(["secret", "edit", &name, "--stdin"])
            .stdin("edited")
            .run()
            .code(0);
    }
    let vera = dev.member("vera", "viewer", "*");
    dev.keyroll_as(&vera, ["secret", "reveal", "S1"])
        .run()
        .code(4);
    dev.keyroll(["secret", "reveal", "S2"]).run().code(0);
    dev
}

/// A bundle, and the key that an auditor got by other means.
fn exported(dev: &Dev) -> (String, String) {
    let bundle = dev.home().path("bundle");
    dev.keyroll(["audit", "export", "--out", &bundle])
        .run()
        .code(0)
        .stdout("");
    let key = dev.keyroll(["audit", "key"]).run().code(0).text();
    (bundle, key.trim().to_owned())
}

/// Verification on a machine that has only the bundle.
fn verify(bundle: &str, more: &[&str]) -> Done {
    let words = ["audit", "verify", "--json", "--bundle", bundle];
    Run::keyroll(words.iter().chain(more))
        .env("KEYROLL_HOME", "/nonexistent/home")
        .run()
}

#[test]
fn the_log_verifies_quickly_and_in_full() {
    let dev = with_history();
    let quick = dev
        .keyroll(["audit", "verify", "--json"])
        .run()
        .code(0)
        .json();
    let full = dev.verifies();
    assert_eq!(quick, full);
    assert_eq!(full["entries"], dev.audit().len());
    assert_eq!(
        (&full["warnings"], &full["problems"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    let words = dev.keyroll(["audit", "verify", "--full"]).run().code(0);
    words.stdout_has("verified").stdout_has("proven");
}

#[test]
fn a_bundle_verifies_without_the_ledger() {
    let dev = with_history();
    let (bundle, key) = exported(&dev);
    let entries = dev.audit().len();
    // The directory stays until the end, the ledger does not.
    let _home = dev.stop();
    let report = verify(&bundle, &["--key", &key]).code(0).json();
    assert_eq!(report["entries"], entries, "{report}");
    // An older bundle of the same log would verify as well: the report shows that.
    assert_eq!(report["end_proven"], false, "{report}");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("the end is not proven"), "{warnings}");
    assert!(!warnings.contains("origin"), "{warnings}");
    // Without a key the bundle is verified by its own key, and the report shows that.
    let report = verify(&bundle, &[]).code(0).json();
    let warning = report["warnings"].to_string();
    assert!(
        warning.contains("proves nothing about its origin") && warning.contains("ed25519:"),
        "{warning}"
    );
    // The key of another ledger, of another workspace, and a malformed one.
    let other = Dev::start();
    let wrong = other.keyroll(["audit", "key"]).run().code(0).text();
    let report = verify(&bundle, &["--key", wrong.trim()]).code(6).json();
    assert_eq!(
        (&report["ok"], &report["end_proven"]),
        (&false.into(), &false.into()),
        "{report}"
    );
    verify(&bundle, &["--key", "nonsense"]).code(2).stdout("");
}

#[test]
fn a_flipped_byte_of_a_bundle_is_found_and_placed() {
    let dev = with_history();
    let (bundle, key) = exported(&dev);
    let whole = fs::read(&bundle).expect("read");
    let entries = dev.audit().len();
    let (mut placed, mut tried) = (0, 0);
    let step = whole.len() / 60;
    for at in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let changed = dev.home().write("changed", bytes);
        let run = verify(&changed, &["--key", &key]).code(6);
        tried += 1;
        if run.bytes().is_empty() {
            // The frame around the commits is broken.
            run.error_code("malformed");
            continue;
        }
        let report = run.json();
        assert_eq!(report["ok"], false, "byte {at}: {report}");
        let problems = report["problems"].as_array().expect("problems");
        assert!(!problems.is_empty(), "byte {at}: {report}");
        let index = problems
            .iter()
            .find_map(|problem| problem["index"].as_u64());
        assert!(
            index.is_none_or(|index| index < entries as u64),
            "byte {at}: {report}"
        );
        placed += usize::from(index.is_some());
        // The same without a key.
        verify(&changed, &[]).code(6);
    }
    // All but the header and the frames lies in a commit.
    assert!(placed * 10 > tried * 7, "{placed} of {tried} are placed");
}

/// The items of a bundle: byte strings, each with its head.
fn items(bundle: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut items) = (bundle, Vec::new());
    while !rest.is_empty() {
        let (head, length) = match rest[0] & 0x1f {
            short @ 0..=23 => (1, usize::from(short)),
            24 => (2, usize::from(rest[1])),
            25 => (3, usize::from(rest[1]) << 8 | usize::from(rest[2])),
            other => panic!("a length of form {other}"),
        };
        let (item, after) = rest.split_at(head + length);
        items.push(item.to_vec());
        rest = after;
    }
    items
}

#[test]
fn commits_left_out_swapped_doubled_or_of_another_log_are_found() {
    let dev = with_history();
    let (bundle, key) = exported(&dev);
    let whole = fs::read(&bundle).expect("read");
    let all = items(&whole);
    assert_eq!(all.concat(), whole);
    let count = all.len();
    let changed = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut items = all.clone();
        change(&mut items);
        dev.home().write("changed", items.concat())
    };
    let found = |bundle: &str, kind: &str| {
        for more in [&["--key", key.as_str()] as &[&str], &[]] {
            let report = verify(bundle, more).code(6).json();
            let kinds: Vec<_> = report["problems"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["kind"].as_str().unwrap())
                .collect();
            assert!(kinds.contains(&kind), "{kind} was expected: {report}");
        }
    };
    found(&changed(&|items| drop(items.remove(4))), "gap");
    found(&changed(&|items| items.swap(4, 5)), "gap");
    found(&changed(&|items| items.insert(5, items[4].clone())), "gap");
    // A truncated end: the header's checkpoint covers more.
    found(&changed(&|items| items.truncate(count - 1)), "checkpoint");
    found(&changed(&|items| items.truncate(1)), "checkpoint");
    let other = with_history();
    let (theirs, _) = exported(&other);
    let theirs = fs::read(theirs).expect("read");
    let theirs = items(&theirs);
    found(&changed(&|items| items[4] = theirs[4].clone()), "signature");
    found(
        &changed(&|items| items[0] = theirs[0].clone()),
        "ledger_key",
    );
    // Cut in the middle of a commit, empty, and not a bundle.
    for bytes in [&whole[..whole.len() - 3], &[], b"not a bundle"] {
        let cut = dev.home().write("cut", bytes);
        verify(&cut, &["--key", &key])
            .code(6)
            .error_code("malformed");
    }
    let missing = dev.home().path("missing");
    verify(&missing, &[]).code(1).stdout("");
}

#[test]
fn a_shorter_bundle_with_its_own_checkpoint_is_right_and_old() {
    let dev = with_history();
    let (old, key) = exported(&dev);
    let entries = dev.audit().len();
    let old_bytes = fs::read(&old).expect("read");
    dev.create("Later", "value");
    // The old bundle alone does not show that there is more, and the report does not claim it.
    let report = verify(&old, &["--key", &key]).code(0).json();
    assert_eq!(report["entries"], entries);
    assert!(fs::read(&old).expect("read") == old_bytes);
    dev.keyroll(["audit", "export", "--out", &old])
        .run()
        .code(0);
    assert_eq!(
        verify(&old, &["--key", &key]).code(0).json()["entries"],
        entries + 1
    );
}

#[test]
fn proofs_and_checkpoints_verify_for_a_stranger() {
    let dev = with_history();
    let key = dev.keyroll(["audit", "key"]).run().code(0).text();
    let key = VerifierKey::parse(key.trim()).expect("a C2SP verifier key");
    let first = dev.keyroll(["audit", "checkpoint"]).run().code(0).text();
    let old = SignedCheckpoint::open(&first, &key).expect("a signed checkpoint");
    assert_eq!(old.origin, key.name());
    assert!(
        old.origin.starts_with("keyroll/ed25519:") && old.origin.ends_with("/demo"),
        "{}",
        old.origin
    );
    let rows = dev.audit();
    assert_eq!(old.size, rows.len() as u64);
    for (index, row) in rows.iter().enumerate() {
        let proved = dev
            .keyroll(["audit", "prove", &index.to_string(), "--json"])
            .run()
            .code(0)
            .json();
        let entry = STANDARD
            .decode(proved["entry"].as_str().expect("an entry"))
            .expect("base64");
        let proof =
            TlogProof::parse(proved["proof"].as_str().expect("a proof")).expect("a C2SP proof");
        let leaf = leaf_hash(&entry);
        let checkpoint = proof.verify(&leaf, &key).expect("verifies");
        assert_eq!(
            (proof.index, checkpoint.size),
            (index as u64, rows.len() as u64)
        );
        assert_eq!(
            row["digest"],
            hex::encode(leaf.0),
            "the audit log names the leaf"
        );
        let mut other = entry.clone();
        other[0] ^= 1;
        proof
            .verify(&leaf_hash(&other), &key)
            .expect_err("another entry");
    }
    let out = dev.home().path("proof");
    dev.keyroll(["audit", "prove", "3", "--out", &out])
        .run()
        .code(0)
        .stdout("");
    let text = fs::read_to_string(&out).expect("read");
    assert_eq!(TlogProof::parse(&text).expect("a proof").format(), text);
    // The receipt of an action is such a proof as well.
    let done = dev
        .keyroll(["secret", "create", "More", "--stdin", "--json"])
        .stdin("x")
        .run()
        .code(0)
        .json();
    let receipt = &done["receipt"];
    let entry = STANDARD
        .decode(receipt["entry"].as_str().expect("an entry"))
        .expect("base64");
    let hash = |text: &Value| {
        keyroll_merkle::Hash(
            hex::decode(text.as_str().expect("hex"))
                .expect("hex")
                .try_into()
                .expect("32 bytes"),
        )
    };
    let path: Vec<_> = receipt["path"]
        .as_array()
        .expect("a path")
        .iter()
        .map(hash)
        .collect();
    let new = SignedCheckpoint::open(receipt["checkpoint"].as_str().expect("a note"), &key)
        .expect("signed");
    let index = receipt["index"].as_u64().expect("an index");
    keyroll_merkle::verify_inclusion(&leaf_hash(&entry), index, new.size, &path, &new.root)
        .expect("included");
    assert_eq!((new.size, index), (old.size + 1, old.size));
    verify_consistency(old.size, &old.root, new.size, &new.root, &[])
        .expect_err("not without a proof");
}

#[test]
fn the_audit_log_is_filtered_and_paged() {
    let dev = with_history();
    let log = |more: &[&str]| {
        dev.keyroll(["audit", "log", "--json"].iter().chain(more))
            .run()
            .code(0)
            .rows()
    };
    let all = log(&[]);
    let fits = |rows: Vec<Value>, fits: &dyn Fn(&Value) -> bool| {
        let expected: Vec<&Value> = all.iter().filter(|row| fits(row)).collect();
        assert!(!expected.is_empty());
        assert_eq!(rows.iter().collect::<Vec<_>>(), expected);
    };
    fits(log(&["--secret", "S2"]), &|row| {
        row["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["name"] == "S2")
    });
    fits(
        log(&["--secret", "s2", "--action", "secret.revealed"]),
        &|row| row["type"] == "secret.revealed",
    );
    fits(log(&["--actor", "vera"]), &|row| {
        row["actor_name"] == "vera"
    });
    fits(log(&["--action", "secret.edited"]), &|row| {
        row["type"] == "secret.edited"
    });
    fits(log(&["--outcome", "denied"]), &|row| {
        row["outcome"] == "denied"
    });
    fits(log(&["--outcome", "granted"]), &|row| {
        row["outcome"] == "granted"
    });
    fits(log(&["--since", "1h"]), &|_| true);
    assert_eq!(log(&["--until", "1h"]), Vec::<Value>::new());
    let middle = all[5]["at"].as_str().expect("a time");
    fits(log(&["--since", middle]), &|row| {
        row["at"].as_str().unwrap() >= middle
    });
    fits(log(&["--until", middle]), &|row| {
        row["at"].as_str().unwrap() < middle
    });
    assert_eq!(
        log(&["--limit", "3"]),
        all[all.len() - 3..],
        "the newest, newest last"
    );
    assert_eq!(log(&["--limit", "0"]), Vec::<Value>::new());
    assert_eq!(log(&["--run", "none"]), Vec::<Value>::new());
}
