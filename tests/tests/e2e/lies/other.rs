//! Another secret's value, or one that no secret ever had.

use keyroll_core::{Blob, Digest, Index, Version};
use keyroll_tests::harness::dishonest::truth;
use keyroll_wire::reply::{Answer, CommittedCommand, ReleasedValue};
use serde_json::json;

use super::{World, warnings};

/// A change of a reply, given the value that another reveal released.
type Lie = fn(&mut CommittedCommand, &ReleasedValue);

#[test]
fn another_secret_under_a_name_is_told_once() {
    let world = World::new();
    world.create("Prod", "value-of-prod");
    world.create("Test", "value-of-test");
    let other = |state: &keyroll_core::State, revealed: &mut Vec<keyroll_core::event::Revealed>| {
        for one in revealed
            .iter_mut()
            .filter(|one| one.name.as_str() == "Prod")
        {
            let name = one.name.clone();
            *one = truth(state, "Test", 1);
            one.name = name;
        }
    };
    world.ledger.lie_in_reveals(other);
    let reveal = world.run(["secret", "reveal", "Prod", "--json"]).code(0);
    let [warning] = warnings(&reveal).try_into().expect("one warning");
    let words: &str = &warning;
    assert!(
        words.starts_with("Prod is another secret than before: the one that was called Test"),
        "{words}"
    );
    reveal.stderr_has("warning: Prod is another secret");
    // The warning was given, and is remembered.
    world.reveals("Prod", "value-of-test");
    // The return of the old one is also warned about.
    world.ledger.be_honest();
    let back = world.run(["secret", "reveal", "Prod"]).code(0);
    back.stdout("value-of-prod")
        .stderr_has("warning: Prod is another secret");
    world.reveals("Prod", "value-of-prod");
    world.reveals("Test", "value-of-test");
    world.run(["audit", "verify", "--full"]).code(6);
}

/// Each command that releases values warns, before it releases them.
#[test]
fn every_command_tells_it() {
    let world = World::new();
    let renew = || {
        // By another client: the owner is not warned of her own changes.
        let rename = ["secret", "delete", "Key", "--yes"];
        world.elsewhere(rename).run().code(0);
        let create = world.elsewhere(["secret", "create", "Key", "--stdin"]);
        create.stdin("the-value").run().code(0);
        let edit = world.elsewhere(["secret", "edit", "Key", "--stdin"]);
        edit.stdin("the-newer").run().code(0);
    };
    world.create("Key", "the-value");
    let code = json!({"name": "b", "type": "python", "code": "result = len(secrets.Key)"});
    let text = json!({"workflow": "w", "blocks": [code]}).to_string();
    let file = world.home().write("python.json", text);
    let out = world.home().path("export.json");
    let words = "Key is another secret than before";
    for command in [
        &["secret", "reveal", "Key"] as &[&str],
        &["run", "--", "true"],
        &["export", "--format", "json"],
        &["block", "check", &file, "--values"],
        &["block", "run", &file],
        &["secret", "rollback", "Key", "--to", "1"],
    ] {
        renew();
        let done = world.cluster.keyroll(command).run().code(0);
        done.stderr_has(&format!("warning: {words}"));
    }
    renew();
    let export = world.run(["export", "--out", &out, "--json"]).code(0);
    assert_eq!(warnings(&export).len(), 1);
    renew();
    let run = world.run(["block", "run", &file, "--json"]).code(0);
    assert!(warnings(&run)[0].starts_with(words));
    let run = world.run(["block", "run", &file, "--json"]).code(0).quiet();
    assert_eq!(warnings(&run), Vec::<String>::new());
    // The same for an edit: it goes to the secret that the ledger names.
    renew();
    let edit = world.keyroll(["secret", "edit", "Key", "--stdin", "--json"]);
    let edit = edit.stdin("newer").run().code(0);
    assert!(warnings(&edit)[0].starts_with(words));
}

#[test]
fn what_the_owner_does_herself_surprises_nobody() {
    let world = World::new();
    world.create("Key", "first");
    world.reveals("Key", "first");
    world.run(["secret", "rename", "Key", "Other"]).code(0);
    world.reveals("Other", "first");
    world.create("Key", "second");
    world.reveals("Key", "second");
    world.run(["secret", "delete", "Key", "--yes"]).code(0);
    world.create("KEY", "third");
    world.reveals("KEY", "third");
    world
        .run(["secret", "describe", "Other", "--allow-host", "a.example"])
        .code(0);
    world.reveals("Other", "first");
    world
        .run(["secret", "describe", "Other", "--any-host"])
        .code(0);
    world.reveals("Other", "first");
    world.edit("Other", "newer");
    world
        .run(["secret", "rollback", "Other", "--to", "1"])
        .code(0);
    world.reveals("Other", "first");
    world.run(["secret", "delete", "Other", "--yes"]).code(0);
    world.run(["secret", "restore", "Other"]).code(0);
    world.reveals("Other", "first");
    let file = world.home().write("more.env", "One=1\nTwo=2\n");
    world.run(["import", &file, "--yes"]).code(0);
    world.reveals("Two", "2");
    let report = world
        .run(["audit", "verify", "--full", "--json"])
        .code(0)
        .json();
    assert_eq!(report["ok"], true, "{report}");
}

/// The ledger can open what it stores, so it can seal anything for any version.
#[test]
fn another_value_under_a_known_version_is_refused() {
    let world = World::new();
    world.create("Key", "true-value");
    let id = std::sync::Arc::new(std::sync::Mutex::new(None));
    let found = std::sync::Arc::clone(&id);
    world.ledger.lie_in_reveals(move |_, revealed| {
        *found.lock().expect("whole") = Some(revealed[0].id);
    });
    world.reveals("Key", "true-value");
    let id = id.lock().expect("whole").expect("a secret");
    let forged = world.ledger.forge((id, Version(1)), b"forged-value");
    let forge = move |digest: Digest| {
        move |_: &keyroll_core::State, revealed: &mut Vec<keyroll_core::event::Revealed>| {
            revealed[0].digest = digest;
        }
    };
    world.ledger.lie_in_reveals(forge(forged));
    for words in [
        &["secret", "reveal", "Key"] as &[&str],
        &["secret", "reveal", "Key", "--version", "1"],
        &["export", "--format", "json"],
    ] {
        let done = world.cluster.keyroll(words).run().code(6);
        done.error_code("corrupt").lacks("forged-value").stdout("");
    }
    // A client that has not seen the true one cannot detect it, until the log is decided again.
    let believed = world.elsewhere(["secret", "reveal", "Key"]).run();
    believed.code(0).stdout("forged-value");
    world.ledger.be_honest();
    let honest = world.elsewhere(["secret", "reveal", "Key"]).run();
    honest.code(6).error_code("corrupt").lacks("true-value");
    world.reveals("Key", "true-value");
    world.run(["audit", "verify", "--full"]).code(6);
}

#[test]
fn what_comes_beside_an_honest_entry_has_to_fit_it() {
    let world = World::new();
    world.create("One", "value-of-one");
    world.create("Two", "value-of-two");
    world.edit("Two", "newer-of-two");
    let taken = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = std::sync::Arc::clone(&taken);
    world.ledger.lie_in_replies(move |done| {
        let mut taken = keep.lock().expect("whole");
        taken.extend(done.released.iter().cloned());
    });
    world.reveals("One", "value-of-one");
    let lies: [Lie; 7] = [
        |done, one| done.released[0].sealed = one.sealed.clone(),
        |done, one| done.released[0] = one.clone(),
        |done, _| done.released[0].version = Version(1),
        |done, one| done.released[0].name = one.name.clone(),
        |done, _| done.released[0].key = Blob(vec![0; 72]),
        |done, _| done.released.push(done.released[0].clone()),
        |done, _| done.receipt.path.push(Digest([0; 32])),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let one = taken.lock().expect("whole")[0].clone();
        world.ledger.lie_in_replies(move |done| lie(done, &one));
        let reveal = world.run(["secret", "reveal", "Two"]);
        let reveal = reveal.code(6).error_code("corrupt").stdout("");
        let said = String::from_utf8_lossy(reveal.error_bytes()).into_owned();
        assert!(!said.contains("value-of"), "lie {number}: {said}");
    }
    // Two names for one secret, in one entry.
    world.ledger.be_honest();
    world.ledger.lie_in_reveals(|state, revealed| {
        for one in revealed.iter_mut().filter(|one| one.name.as_str() == "One") {
            let name = one.name.clone();
            *one = truth(state, "Two", 2);
            one.name = name;
        }
    });
    let both = world.run(["export", "--format", "json"]);
    both.code(6).error_code("corrupt").stdout("");
}

/// A replay asks for the versions of a run: the ledger answers with the entries of another run.
#[test]
fn a_replay_takes_no_other_run_for_the_one_it_repeats() {
    let world = World::new();
    world.create("Key", "first-value");
    let block = json!({"name": "b", "type": "python", "code": "result = len(secrets.Key)"});
    let text = json!({"workflow": "w", "blocks": [block]}).to_string();
    let file = world.home().write("block.json", text);
    let run = || {
        let report = world.run(["block", "run", &file, "--json"]).code(0).json();
        let index = report["index"].as_u64().expect("an entry");
        (report["run"].as_str().expect("a run").to_owned(), index)
    };
    let (first, entry_of_first) = run();
    world.edit("Key", "second-value");
    let (second, _) = run();
    let edited = entry_of_first + 1;
    for index in [entry_of_first, edited] {
        world.ledger.lie_in_answers(move |answer| {
            if let Answer::AuditLog(page) = answer {
                page.rows
                    .iter_mut()
                    .for_each(|row| row.index = Index(index));
            }
        });
        let replay = world.run(["block", "replay", &second]);
        replay.code(6).error_code("corrupt").stdout("");
    }
    world.ledger.be_honest();
    // The versions of the past run are not older values of now.
    world.reveals("Key", "second-value");
    for run in [first, second] {
        let replay = world.run(["block", "replay", &run, "--json"]).code(0);
        assert_eq!(warnings(&replay), Vec::<String>::new());
    }
    world.reveals("Key", "second-value");
}

/// A proof from an earlier tree does not prove the present one.
#[test]
fn a_proof_is_of_the_tree_that_the_answer_names() {
    let world = World::new();
    world.create("Key", "value");
    let kept = std::sync::Arc::new(std::sync::Mutex::new(None));
    let earlier = std::sync::Arc::clone(&kept);
    world.ledger.lie_in_answers(move |answer| {
        if let Answer::AuditProve(receipt) = answer {
            let mut earlier = earlier.lock().expect("whole");
            *receipt = earlier.get_or_insert_with(|| receipt.clone()).clone();
        }
    });
    world.run(["audit", "prove", "1"]).code(0);
    world.run(["audit", "prove", "1"]).code(0);
    let other = world
        .run(["audit", "prove", "0"])
        .code(6)
        .error_code("corrupt");
    other.stderr_has("proved entry 1 instead of 0");
    world.create("More", "value");
    let old = world
        .run(["audit", "prove", "1"])
        .code(6)
        .error_code("corrupt");
    old.stderr_has("another tree");
    assert!(kept.lock().expect("whole").is_some());
}

/// A rollback seals the value that it was given again, but not one of another secret.
#[test]
fn a_rollback_takes_no_other_secrets_value() {
    let world = World::new();
    world.create("Key", "first-value");
    world.edit("Key", "second-value");
    world.create("Other", "value-of-other");
    world.ledger.lie_in_reveals(|state, revealed| {
        revealed[0] = truth(state, "Other", 1);
        revealed[0].name = "Key".parse().expect("a name");
    });
    let back = world.run(["secret", "rollback", "Key", "--to", "1"]);
    back.code(5)
        .error_code("conflict")
        .stderr_has("nothing was changed");
    world.ledger.be_honest();
    let shown = world
        .run(["secret", "show", "Key", "--json"])
        .code(0)
        .json();
    assert_eq!(shown["version"], 2, "{shown}");
}
