//! The read model is a function of the log: after loss or damage it comes back the same.

use std::fs;

use keyroll_tests::harness::{Dev, Home};

/// A ledger with some history: versions, names, members, refusals, a second workspace.
fn with_history() -> Dev {
    let dev = Dev::start();
    dev.create("A", "one");
    dev.keyroll(["secret", "edit", "A", "--stdin"])
        .stdin("two")
        .run()
        .code(0);
    dev.create("B", "three");
    dev.keyroll(["secret", "rename", "B", "C"]).run().code(0);
    dev.keyroll(["secret", "delete", "C", "--yes"])
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "A"]).run().code(0);
    let vera = dev.member("vera", "viewer", "*");
    dev.keyroll_as(&vera, ["secret", "reveal", "A"])
        .run()
        .code(4);
    dev.keyroll(["member", "remove", "vera", "--yes"])
        .run()
        .code(0);
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    dev.keyroll(["-w", "other", "secret", "create", "A", "--generate"])
        .run()
        .code(0);
    dev
}

fn same_after_restart(home: Home, digest: &str) -> Dev {
    let dev = Dev::start_in(home);
    assert_eq!(dev.digest(), digest);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("two");
    dev.keyroll(["secret", "restore", "C"]).run().code(0);
    dev.verifies();
    dev
}

#[test]
fn a_rebuild_gives_the_identical_digest() {
    let dev = with_history();
    let before = dev.digest();
    let rebuilt = dev
        .keyroll(["projection", "rebuild", "--json"])
        .run()
        .code(0)
        .json();
    assert_eq!(rebuilt["identical"], true, "{rebuilt}");
    assert_eq!(rebuilt["digest"], before.as_str());
    assert_eq!(dev.digest(), before);
    dev.create("D", "after");
    assert_ne!(dev.digest(), before);
    dev.keyroll(["secret", "reveal", "D"])
        .run()
        .code(0)
        .stdout("after");
    let again = dev.keyroll(["projection", "rebuild"]).run().code(0);
    again.stdout_has("identical to before  yes");
    let status = dev
        .keyroll(["projection", "status", "--json"])
        .run()
        .code(0)
        .json();
    assert_eq!(status["projected"], status["log_sequence"], "{status}");
    assert_eq!(status["workspaces"], 2);
}

#[test]
fn a_rebuild_goes_on_beside_the_work() {
    let dev = with_history();
    let runs: Vec<_> = (0..12)
        .map(|number| {
            let name = format!("W{number}");
            if number % 3 == 0 {
                // Several at once: one runs, the others wait for it or get `busy`.
                (dev.keyroll(["projection", "rebuild"]).start(), &[0, 7][..])
            } else {
                let create = dev.keyroll(["secret", "create", &name, "--generate"]);
                (create.start(), &[0][..])
            }
        })
        .collect();
    for (run, codes) in runs {
        let run = run.wait().code_in(codes);
        if run.bytes().is_empty() && codes.len() > 1 {
            run.error_code("busy");
        }
    }
    let before = dev.digest();
    let rebuilt = dev
        .keyroll(["projection", "rebuild", "--json"])
        .run()
        .code(0)
        .json();
    assert_eq!(
        (&rebuilt["identical"], rebuilt["digest"].as_str()),
        (&true.into(), Some(before.as_str()))
    );
    assert_eq!(dev.secrets().len(), 1 + 8);
    dev.verifies();
    let home = dev.stop();
    assert_eq!(Dev::start_in(home).digest(), before);
}

#[test]
fn a_deleted_read_model_comes_back_the_same() {
    let dev = with_history();
    let digest = dev.digest();
    let home = dev.stop();
    home.remove("ledger.redb");
    same_after_restart(home, &digest);
}

#[test]
fn a_damaged_read_model_is_built_anew() {
    let dev = with_history();
    let digest = dev.digest();
    let mut home = dev.stop();
    home.save("ledger.redb", "whole.redb");
    let whole = fs::read(home.scratch().join("whole.redb")).expect("read");
    let damages: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("garbage", b"no database at all ".repeat(500)),
        ("short garbage", b"x".to_vec()),
        ("cut at half", whole[..whole.len() / 2].to_vec()),
        ("cut to a page", whole[..4096].to_vec()),
        ("zeros", vec![0; whole.len()]),
        (
            "a zeroed header",
            [vec![0; 512], whole[512..].to_vec()].concat(),
        ),
        (
            "zeros behind the header",
            [whole[..4096].to_vec(), vec![0; whole.len() - 4096]].concat(),
        ),
    ];
    for (what, bytes) in damages {
        fs::write(home.data().join("ledger.redb"), bytes).expect("written");
        let dev = Dev::start_in(home);
        assert_eq!(dev.digest(), digest, "{what}");
        dev.verifies();
        home = dev.stop();
    }
    same_after_restart(home, &digest);
}

#[test]
fn a_flipped_byte_in_the_read_model_is_never_believed() {
    let dev = with_history();
    let digest = dev.digest();
    let mut home = dev.stop();
    home.save("ledger.redb", "whole.redb");
    let whole = fs::read(home.scratch().join("whole.redb")).expect("read");
    for part in 1..8 {
        let mut bytes = whole.clone();
        // A page's worth, so that a page in use is hit.
        let at = bytes.len() / 8 * part;
        bytes[at..at + 4096]
            .iter_mut()
            .for_each(|byte| *byte ^= 0x55);
        fs::write(home.data().join("ledger.redb"), bytes).expect("written");
        let dev = Dev::start_in(home);
        // Queries may report that the read model is damaged; their answers about secrets are never
        // wrong.
        let list = dev.keyroll(["secret", "list", "--json"]).run();
        let shown = list.code_in(&[0, 1, 6]);
        if shown.error_bytes().is_empty() {
            assert_eq!(shown.rows().len(), 1, "part {part}");
        }
        let rebuilt = dev
            .keyroll(["projection", "rebuild", "--json"])
            .run()
            .code(0)
            .json();
        assert_eq!(rebuilt["digest"], digest.as_str(), "part {part}");
        dev.verifies();
        home = dev.stop();
    }
}

#[test]
fn a_killed_service_loses_nothing() {
    let mut dev = with_history();
    for round in 0..4 {
        let name = format!("K{round}");
        dev.create(&name, &name);
        let digest = dev.digest();
        let home = dev.kill();
        dev = Dev::start_in(home);
        assert_eq!(dev.digest(), digest, "round {round}");
        dev.keyroll(["secret", "reveal", &name])
            .run()
            .code(0)
            .stdout(&name);
    }
    dev.verifies();
}
