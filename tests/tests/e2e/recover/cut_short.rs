//! A recovery knows everything that was known when an earlier one began, whatever became of that
//! one.

use keyroll_tests::harness::{Dev, Home};
use serde_json::Value;

use super::{filled, flip, recovers, truncations, whole_again};

/// A log with an unreadable message, whose entries no client has seen.
fn with_a_hole(at: impl FnOnce(usize) -> usize) -> Home {
    let home = filled().stop();
    flip(&home, at);
    home.remove("ledger.redb");
    home.remove("seen");
    home
}

fn recovery_plan(dev: &Dev) -> Value {
    let plan = dev.keyroll(["recover", "--dry-run", "--json"]).run();
    plan.code(0).json()
}

/// Killed once everything that the next recovery needs is on disk, and nothing is deleted yet.
fn give_up(dev: Dev) -> Home {
    let run = dev.keyroll(["recover", "--yes"]).run();
    assert!(!run.is_code(0), "{}", run.message());
    assert!(dev.stderr().contains("recover.begun"), "{}", dev.stderr());
    dev.into_home()
}

#[test]
fn between_the_end_of_the_old_log_and_the_new_one_nothing_is_forgotten() {
    let dev = Dev::start_armed(with_a_hole(|length| length / 2), "recover.begun");
    let before = recovery_plan(&dev);
    assert!(before["unreadable"].as_u64() > Some(0), "{before}");
    let row = &before["workspaces"][0];
    assert!(
        row["known"].is_u64() && row["entries"].as_u64() > Some(0),
        "{before}"
    );
    let home = give_up(dev);
    home.remove(&home.stream("KEYROLL_LOG"));
    let dev = Dev::start_in(home);
    let after = recovery_plan(&dev);
    for field in ["entries", "known"] {
        assert_eq!(
            after["workspaces"][0][field], row[field],
            "{field}: {after}"
        );
    }
    recovers(&dev);
    assert_eq!(truncations(&dev), 1);
    dev.verifies();
    let nothing = dev.keyroll(["recover"]).run().code(0);
    nothing.stderr_has("nothing to recover");
    assert_eq!(truncations(&dev), 1);
}

/// The sizes of the unreadable log do not apply to the one that was put back.
#[test]
fn after_a_recovery_that_was_given_up_a_log_from_a_backup_is_whole() {
    let home = filled().stop();
    home.save("jetstream", "whole");
    flip(&home, |length| length - 100);
    home.remove("ledger.redb");
    home.remove("seen");
    let dev = Dev::start_armed(home, "recover.begun");
    let broken = recovery_plan(&dev);
    assert!(broken["workspaces"][0]["known"].is_u64(), "{broken}");
    let home = give_up(dev);
    home.put_back("whole", "jetstream");
    let dev = Dev::start_in(home);
    let nothing = dev.keyroll(["recover", "--yes"]).run().code(0);
    nothing.stderr_has("nothing to recover");
    whole_again(dev, 6);
}

/// By then the log looks valid, as far as it goes.
#[test]
fn killed_on_its_way_a_recovery_is_asked_for_until_it_is_finished() {
    for point in ["recover.appended", "recover.recorded"] {
        let dev = Dev::start_armed(with_a_hole(|length| length / 2), point);
        let row = recovery_plan(&dev)["workspaces"][0].clone();
        assert!(row["known"].is_u64(), "{row}");
        let killed = dev.keyroll(["recover", "--yes"]).run();
        assert!(!killed.is_code(0), "{point}: {}", killed.message());
        assert!(dev.stderr().contains(point), "{}", dev.stderr());

        let dev = Dev::start_in(dev.into_home());
        let refused = dev.keyroll(["secret", "create", "New", "--generate"]).run();
        let refused = refused.code(6).error_code("corrupt");
        refused.stderr_has("keyroll recover");
        let status = dev.keyroll(["status"]).run().code(6);
        status.stdout_has("cut short");
        let verified = dev.keyroll(["audit", "verify"]).run().code(6);
        verified.stdout_has("cut short");
        recovers(&dev);
        assert_eq!(truncations(&dev), 1, "{point}");
        dev.verifies();

        let dev = Dev::start_in(dev.stop());
        dev.create("New", "after it");
        let nothing = dev.keyroll(["recover"]).run().code(0);
        nothing.stderr_has("nothing to recover");
    }
}

/// An operator who may not create streams learns that before the service stops.
#[test]
fn with_another_nats_user_nothing_is_begun() {
    let dev = Dev::start_in(with_a_hole(|length| length / 2));
    let mut words = vec!["recover", "--yes", "--operator-creds"];
    let creds = dev.nats_creds().display().to_string();
    words.push(&creds);
    let refused = dev.keyroll(words).run().code(1);
    refused.stderr_has("--operator-creds");
    let status = dev.keyroll(["status"]).run().code(6).text();
    assert!(!status.contains("recovery of the log"), "{status}");
    assert!(recovery_plan(&dev)["loses"].as_bool().expect("said"));
    recovers(&dev);
}

#[test]
fn a_workspace_that_is_gone_as_a_whole_is_called_lost() {
    let dev = Dev::start_in(with_a_hole(|_| 200));
    let plan = recovery_plan(&dev);
    let row = &plan["workspaces"][0];
    assert_eq!(row["entries"], 0, "{plan}");
    assert!(row["known"].as_u64() > Some(0), "{plan}");
    let words = dev.keyroll(["recover", "--dry-run"]).run().code(0);
    words.stderr_has("LOST");
}
