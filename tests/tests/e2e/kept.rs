//! The files that a client keeps, and those it leaves behind: a home that is full, and a command
//! that is stopped.

use std::fs;

use keyroll_tests::harness::process::Process;
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Dev, Done, Run, programs};
use nix::sys::signal::Signal;

/// `keyroll` that cannot write any file, as on a full disk.
fn without_room(dev: &Dev, words: &str) -> Done {
    let program = programs::keyroll().display();
    let line = format!("trap '' XFSZ; ulimit -f 0; exec '{program}' {words}");
    let run = Run::program("/bin/sh", "keyroll without room").args(["-c", &line]);
    run.env("KEYROLL_HOME", dev.home().data())
        .env("KEYROLL_NATS_URL", dev.nats_url())
        .env("KEYROLL_NATS_CREDS", dev.nats_creds())
        .env("KEYROLL_WORKSPACE", "demo")
        .run()
}

#[test]
fn with_a_full_home_a_command_says_that_it_has_happened() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let before = dev.audit().len();
    let create = without_room(&dev, "--json secret create B --generate").code(1);
    create
        .stderr_has(&format!("it is entry {before} of demo"))
        .stderr_has("the checkpoint could not be kept in")
        .stderr_has("Do not send it again");
    let reveal = without_room(&dev, "--json secret reveal A")
        .code(1)
        .lacks("the value");
    reveal
        .stderr_has(&format!("it is entry {} of demo", before + 1))
        .stderr_has("reveal again");
    let list = without_room(&dev, "--json secret list");
    // There is nothing new to keep, or it reports what it could not keep.
    list.code_in(&[0, 1]).lacks("has happened");
    let rows = dev.audit();
    assert_eq!(rows.len(), before + 2, "both happened once");
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
    dev.verifies();
}

#[test]
fn an_export_that_is_stopped_leaves_nothing() {
    let dev = Dev::start();
    let lines: Vec<String> = (0..2_000).map(|n| format!("S{n}=value {n}")).collect();
    let file = dev.home().write("all.env", lines.join("\n") + "\n");
    dev.import_many(&file);
    let (out, part) = (
        dev.home().scratch().join("bundle"),
        dev.home().scratch().join("bundle.part"),
    );
    // It may be complete before it is stopped: then it is tried again.
    until("an export that is stopped", || {
        let export = dev.keyroll(["audit", "export", "--out"]).arg(&out);
        let running = export.start();
        let pid = running.pid();
        let begun = until("its beginning, or its end", || {
            let seen = part.exists();
            (seen || out.exists()).then_some(seen)
        });
        if begun {
            // The next page does not come before it is stopped.
            let frozen = dev.freeze_nats();
            Process { pid }.signal(Signal::SIGINT);
            let done = running.wait();
            frozen.thaw();
            assert!(!part.exists(), "{done}");
            if done.is_code(130) {
                assert!(!out.exists(), "{done}");
                return Some(());
            }
        } else {
            running.wait().code(0);
        }
        fs::remove_file(&out).expect("removed");
        None
    });
}
