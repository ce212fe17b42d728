//! Several histories of one workspace.

use std::fs;
use std::path::Path;

use keyroll_audit::{bundle, commit_file};
use keyroll_core::Commit;
use keyroll_tests::harness::home::copy;
use keyroll_tests::harness::{Dev, Home};
use serde_json::Value;

use super::{filled, flip, recovers, refused, set_log_back, truncations, whole_again};

/// A ledger whose log was continued without `later`, and beside it the read model with `later`; the
/// owner has seen the first of them.
fn forked(later: &[&str]) -> Dev {
    let home = filled().stop();
    home.save("jetstream", "earlier");
    let dev = Dev::start_in(home);
    dev.create("Later", "than the copy");
    let home = dev.stop();
    home.save("seen", "seen");
    let dev = Dev::start_in(home);
    for name in later {
        dev.create(name, "of this side");
    }
    let home = dev.stop();
    set_log_back(&home);
    let beside = home.data().join("recover");
    fs::create_dir_all(&beside).expect("a directory");
    let other = beside.join("other.redb");
    fs::rename(home.data().join("ledger.redb"), other).expect("put beside");
    home.remove("seen");
    let dev = Dev::start_in(home);
    dev.create("Other", "history");
    dev.create("Another", "history");
    let home = dev.stop();
    home.put_back("seen", "seen");
    Dev::start_in(home)
}

fn says(plan: &serde_json::Value, part: &str) {
    let wrong = plan["wrong"].as_array().expect("what is wrong");
    let mut words = wrong.iter().filter_map(serde_json::Value::as_str);
    assert!(words.any(|words| words.contains(part)), "{plan}");
}

#[test]
fn of_two_histories_the_longer_one_is_taken() {
    let dev = forked(&["Last", "Very_last", "Last_of_all"]);
    refused(&dev, "fork");
    let done = recovers(&dev);
    let longer = "demo: from entry 7 on the history of recover/other.redb is longer, and is taken; \
                  the read model's 3 entries from there on are left out";
    says(&done, longer);
    for (name, value) in [("Later", "than the copy"), ("Last", "of this side")] {
        let reveal = dev.keyroll(["secret", "reveal", name]).run();
        reveal.code(0).stdout(value);
    }
    let other = dev.keyroll(["secret", "reveal", "Other"]).run();
    other.code(3).error_code("not_found").lacks("history");
    let dev = whole_again(dev, 6);
    assert_eq!(truncations(&dev), 0);
    // The commits that were left out are kept, and used where there is nothing longer.
    let home = dev.stop();
    let beside = home.data().join("recover");
    let names = fs::read_dir(&beside).expect("a directory").flatten();
    let mut names = names.map(|name| name.path());
    let left = names.find(|path| path.extension().is_some_and(|end| end == "left"));
    fs::rename(left.expect("it is kept"), beside.join("left.redb")).expect("renamed");
    fs::remove_file(beside.join("other.redb")).expect("removed");
    home.remove("ledger.redb");
    home.remove(&home.stream("KEYROLL_LOG"));
    home.remove("seen");
    let dev = Dev::start_in(home);
    recovers(&dev);
    let other = dev.keyroll(["secret", "list", "--json"]).run().code(0);
    let names = other.rows();
    assert!(
        names.iter().any(|row| row["name"] == "Another"),
        "{names:?}"
    );
}

#[test]
fn a_shorter_history_beside_a_log_is_named_and_left() {
    let dev = forked(&[]);
    let plan = dev.keyroll(["recover", "--dry-run", "--json"]).run();
    let plan = plan.code(0).json();
    says(
        &plan,
        "recover/other.redb, demo: another history from entry 7 on",
    );
    assert_eq!(plan["remake"], false, "{plan}");
    let before = dev.digest();
    let nothing = dev.keyroll(["recover", "--yes"]).run().code(0);
    nothing.stderr_has("nothing to recover");
    assert_eq!(dev.digest(), before);
}

fn commits(file: &Path) -> Vec<Vec<u8>> {
    let file = fs::File::open(file).expect("a bundle");
    let mut bundle = bundle::Reader::new(file).expect("a bundle");
    let mut commits = Vec::new();
    while let Some(commit) = bundle.commit().expect("a commit") {
        commits.push(commit.to_vec());
    }
    commits
}

/// The commits from an entry on, as a recovery that was cut short leaves them.
fn save_from(first: u64, commits: &[Vec<u8>], home: &Home) {
    let later = commits.iter().filter(|bytes| {
        let commit = Commit::decode(bytes).expect("a commit");
        commit.payload.first.0 >= first
    });
    let beside = home.data().join("recover");
    fs::create_dir_all(&beside).expect("a directory");
    fs::write(beside.join("saved.commits"), commit_file::write(later)).expect("written");
}

fn lay_beside(home: &Home, name: &str) {
    let beside = home.data().join("recover");
    fs::create_dir_all(&beside).expect("a directory");
    copy(&home.scratch().join(name), &beside.join(name));
}

/// A log of ten entries, and another history of it that leaves it after the fourth. In the scratch
/// space: `ten` (streams), `ten.redb`, `seven.redb`, `other.redb`, and bundles of each.
fn two_histories(others: usize) -> Home {
    let export = |dev: &Dev, name: &str| {
        let bundle = dev.home().path(name);
        dev.keyroll(["audit", "export", "--out", &bundle])
            .run()
            .code(0);
    };
    let dev = Dev::start();
    for number in 0..3 {
        dev.create(&format!("S{number}"), format!("value {number}"));
    }
    let home = dev.stop();
    home.save("jetstream", "earlier");
    home.save("seen", "seen");
    let dev = Dev::start_in(home);
    for number in 3..6 {
        dev.create(&format!("S{number}"), format!("value {number}"));
    }
    export(&dev, "seven.bundle");
    let home = dev.stop();
    home.save("ledger.redb", "seven.redb");
    let dev = Dev::start_in(home);
    for name in ["Later", "Last", "Very_last"] {
        dev.create(name, "of this side");
    }
    export(&dev, "ten.bundle");
    let home = dev.stop();
    home.save("jetstream", "ten");
    home.save("ledger.redb", "ten.redb");
    home.save("seen", "seen-ten");
    set_log_back(&home);
    home.remove("ledger.redb");
    home.put_back("seen", "seen");
    let dev = Dev::start_in(home);
    for number in 0..others {
        dev.create(&format!("Other{number}"), "history");
    }
    export(&dev, "other.bundle");
    let home = dev.stop();
    home.save("ledger.redb", "other.redb");
    home.put_back("ten", "jetstream");
    home.put_back("ten.redb", "ledger.redb");
    home.put_back("seen-ten", "seen");
    home
}

fn is_whole(dev: Dev) {
    let last = dev.keyroll(["secret", "reveal", "Very_last"]).run();
    last.code(0).stdout("of this side");
    let dev = whole_again(dev, 6);
    assert_eq!(truncations(&dev), 0);
}

fn kept(plan: &Value) -> &Value {
    &plan["workspaces"][0]["entries"]
}

/// Neither the read model nor any file has the whole of the longest one.
#[test]
fn a_history_is_put_together_from_its_parts() {
    let home = two_histories(4);
    home.put_back("seven.redb", "ledger.redb");
    home.remove(&home.stream("KEYROLL_LOG"));
    save_from(7, &commits(&home.scratch().join("ten.bundle")), &home);
    lay_beside(&home, "other.redb");
    let dev = Dev::start_in(home);
    let done = recovers(&dev);
    assert_eq!(kept(&done), 10, "{done}");
    is_whole(dev);
}

#[test]
fn a_hole_in_the_log_is_filled_from_a_shorter_file() {
    let home = two_histories(5);
    home.remove("ledger.redb");
    lay_beside(&home, "seven.bundle");
    lay_beside(&home, "other.redb");
    flip(&home, |length| length / 4);
    let dev = Dev::start_in(home);
    let done = recovers(&dev);
    assert!(done["unreadable"].as_u64() > Some(0), "{done}");
    assert_eq!(kept(&done), 10, "{done}");
    is_whole(dev);
}

/// It may be longer, but that cannot be known without the commits before it.
#[test]
fn the_end_of_another_history_says_nothing_of_a_whole_log() {
    let mut home = two_histories(9);
    for first in [5, 10] {
        save_from(first, &commits(&home.scratch().join("other.bundle")), &home);
        let dev = Dev::start_in(home);
        let plan = dev.keyroll(["recover", "--dry-run", "--json"]).run();
        let plan = plan.code(0).json();
        let other = format!(
            "recover/saved.commits, demo: another history from entry {first} on, to entry 12"
        );
        says(&plan, &other);
        assert_eq!(plan["remake"], false, "{plan}");
        assert_eq!(kept(&plan), 10, "{plan}");
        let nothing = dev.keyroll(["recover", "--yes"]).run().code(0);
        nothing.stderr_has("nothing to recover");
        home = dev.stop();
    }
    is_whole(Dev::start_in(home));
}

#[test]
fn of_two_files_that_are_longer_the_longest_is_taken() {
    let home = two_histories(7);
    home.put_back("seven.redb", "ledger.redb");
    home.remove(&home.stream("KEYROLL_LOG"));
    lay_beside(&home, "other.redb");
    lay_beside(&home, "ten.bundle");
    let dev = Dev::start_in(home);
    let done = recovers(&dev);
    assert_eq!(kept(&done), 11, "{done}");
    says(
        &done,
        "from entry 4 on the history of recover/other.redb is longer",
    );
    says(
        &done,
        "recover/ten.bundle, demo: another history from entry 7 on",
    );
}
