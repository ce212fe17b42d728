//! Two histories of one workspace.

use std::fs;

use keyroll_tests::harness::Dev;

use super::{filled, recovers, refused, set_log_back, truncations, whole_again};

/// A ledger that somebody wrote on who did not know `later`, and beside it the read model of those
/// who did; the owner has seen the first of them.
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
    let longer = "recover/other.redb, demo: another history from entry 7 on; it is the longer one";
    says(&done, longer);
    says(&done, "another commit of entry 7");
    for (name, value) in [("Later", "than the copy"), ("Last", "of this side")] {
        let reveal = dev.keyroll(["secret", "reveal", name]).run();
        reveal.code(0).stdout(value);
    }
    let other = dev.keyroll(["secret", "reveal", "Other"]).run();
    other.code(3).error_code("not_found").lacks("history");
    let dev = whole_again(dev, 6);
    assert_eq!(truncations(&dev), 0);
}

#[test]
fn a_shorter_history_beside_a_log_is_named_and_left() {
    let dev = forked(&[]);
    let plan = dev.keyroll(["recover", "--dry-run", "--json"]).run();
    let plan = plan.code(0).json();
    says(&plan, "another history from entry 7 on; it is not longer");
    assert_eq!(plan["remake"], false, "{plan}");
    let before = dev.digest();
    let nothing = dev.keyroll(["recover", "--yes"]).run().code(0);
    nothing.stderr_has("nothing to recover");
    assert_eq!(dev.digest(), before);
}
