//! Bytes of the log that change on disk: the ledger reports the place and writes nothing beyond it.

use std::fs;
use std::path::PathBuf;

use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Dev, Home};

/// A stopped ledger with some entries, and its digest.
fn stopped() -> (Home, String) {
    let dev = Dev::start();
    for number in 0..6 {
        dev.create(&format!("S{number}"), format!("value {number}"));
    }
    let digest = dev.digest();
    (dev.stop(), digest)
}

pub(crate) fn block(home: &Home) -> PathBuf {
    let log = home.data().join(home.stream("KEYROLL_LOG"));
    log.join("msgs/1.blk")
}

/// Changes one byte on disk, at a place that depends on the size.
pub(crate) fn flip(home: &Home, at: impl FnOnce(usize) -> usize) {
    let path = block(home);
    let mut bytes = fs::read(&path).expect("the log's only block");
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(&path, bytes).expect("written");
}

/// Commands are refused, with the place; queries report the same or answer from what is known.
fn refuses(dev: &Dev) {
    let problems = || {
        dev.keyroll(["status", "--json"])
            .run()
            .code_in(&[0, 6])
            .json()["problems"]
            .clone()
    };
    // Reading through a long log takes time.
    until("the damage to be found", || {
        problems()[0]
            .as_str()
            .map(|words| assert!(words.contains("message"), "{words}"))
    });
    for words in [
        &["secret", "reveal", "S0"] as &[&str],
        &["secret", "reveal", "S5"],
        &["secret", "create", "N", "--generate"],
        &["projection", "rebuild"],
    ] {
        let run = dev.keyroll(words).run();
        run.code(6)
            .error_code("corrupt")
            .stderr_has("message")
            .lacks("value 0")
            .lacks("value 5");
    }
}

fn is_seen_at_the_start(at: impl FnOnce(usize) -> usize) {
    let (home, _) = stopped();
    flip(&home, at);
    let dev = Dev::start_in(home);
    refuses(&dev);
    assert_eq!(dev.secrets().len(), 6);
}

#[test]
fn damage_at_the_end_of_the_log_is_seen_at_the_start() {
    is_seen_at_the_start(|length| length - 100);
}

#[test]
fn damage_in_the_middle_of_the_log_is_seen_at_the_start() {
    is_seen_at_the_start(|length| length / 2);
}

#[test]
fn damage_is_seen_without_a_read_model_as_well() {
    for part in [1, 3, 5] {
        let (home, _) = stopped();
        flip(&home, |length| length * part / 6);
        home.remove("ledger.redb");
        let dev = Dev::start_in(home);
        refuses(&dev);
        // The owner has seen more than can be read now.
        dev.keyroll(["secret", "list"])
            .run()
            .code(6)
            .error_code("corrupt");
        dev.keyroll(["audit", "verify"]).run().code(6);
    }
}

#[test]
fn damage_at_the_end_is_seen_without_a_read_model_as_well() {
    let (home, _) = stopped();
    flip(&home, |length| length - 100);
    home.remove("ledger.redb");
    let dev = Dev::start_in(home);
    refuses(&dev);
}

#[test]
fn a_cut_log_is_seen_at_the_start() {
    let (home, _) = stopped();
    let path = block(&home);
    let bytes = fs::read(&path).expect("the log's only block");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    let dev = Dev::start_in(home);
    let run = dev
        .keyroll(["secret", "reveal", "S0"])
        .run()
        .code(6)
        .stdout("");
    run.stderr_has("message");
    dev.keyroll(["secret", "create", "N", "--generate"])
        .run()
        .code(6)
        .stdout("");
}

#[test]
fn a_log_put_right_again_is_served_again() {
    let (home, digest) = stopped();
    home.save("jetstream", "whole");
    flip(&home, |length| length - 100);
    let dev = Dev::start_in(home);
    dev.keyroll(["secret", "reveal", "S5"])
        .run()
        .code(6)
        .error_code("corrupt");
    let home = dev.stop();
    home.put_back("whole", "jetstream");
    let dev = Dev::start_in(home);
    assert_eq!(dev.digest(), digest);
    dev.keyroll(["secret", "reveal", "S5"])
        .run()
        .code(0)
        .stdout("value 5");
    dev.verifies();
}
