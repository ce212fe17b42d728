//! The read model, and the log, on a small file system of its own, which is filled and emptied
//! again. Mounting one needs root: without it, the tests are skipped and report that.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Cluster, Dev, skipped};

/// A file system in memory.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).expect("a directory");
        let mount = ["-t", "tmpfs", "-o", "size=8m", "keyroll-small"];
        let mounted = Command::new("mount").args(mount).arg(&at).output();
        let mounted = mounted.is_ok_and(|done| done.status.success());
        if !mounted {
            skipped("no file system can be mounted here");
        }
        mounted.then_some(Self(at))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file");
        for length in [1 << 16, 1 << 12, 1] {
            let bytes = vec![1; length];
            while file.write_all(&bytes).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).expect("removed");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process that still has a file open there keeps it until it ends.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn move_onto(file: &Path, small: &Small) {
    let there = small.0.join("ledger.redb");
    fs::copy(file, &there).expect("copied");
    fs::remove_file(file).expect("removed");
    std::os::unix::fs::symlink(there, file).expect("linked");
}

#[test]
fn a_full_disk_under_the_read_model_stops_and_does_not_end_the_service() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let home = dev.stop();
    let Some(small) = Small::mount(home.scratch().join("small")) else {
        return;
    };
    let file = home.data().join("ledger.redb");
    move_onto(&file, &small);
    let dev = Dev::start_in(home);
    let mut made = 0;
    for time in 0..2 {
        small.fill();
        until("the full disk is noticed", || {
            let name = format!("S{time}_{made}");
            let create = ["secret", "create", &name, "--stdin", "--json"];
            let run = dev.keyroll(create).stdin("another").run();
            made += u32::from(run.is_code(0));
            run.is_code(8)
                .then(|| run.error_code("audit_unavailable").lacks("another"))
        });
        let reveal = dev.keyroll(["secret", "reveal", "A", "--json"]).run();
        reveal.code(8).lacks("the value");
        small.empty();
        until("it goes on by itself", || {
            let reveal = dev.keyroll(["secret", "reveal", "A"]).run();
            reveal.is_code(0).then(|| reveal.stdout("the value"))
        });
    }
    println!("{made} secrets were made");
    dev.verifies();
    let digest = dev.digest();
    // The read model equals one rebuilt from the log.
    let home = dev.stop();
    fs::remove_file(&file).expect("the link");
    assert_eq!(Dev::start_in(home).digest(), digest);
}

/// Warned before it is full.
#[test]
fn a_disk_that_is_nearly_full_under_a_stream_is_a_warning() {
    let dev = Dev::start();
    let home = dev.stop();
    let vault = home.data().join(home.stream("KEYROLL_VAULT"));
    let aside = home.scratch().join("vault");
    copy_all(&vault, &aside);
    let Some(small) = Small::mount(vault) else {
        return;
    };
    copy_all(&aside, &small.0);
    let dev = Dev::start_in(home);
    let warnings = || {
        let status = dev.keyroll(["status", "--json"]).run().code(0).json();
        assert_eq!(status["problems"], serde_json::json!([]), "{status}");
        status["warnings"].to_string()
    };
    assert!(!warnings().contains("KEYROLL_VAULT"));
    fs::write(small.filler(), vec![1; 7 << 20]).expect("written");
    let told = until("a warning", || {
        let told = warnings();
        told.contains("KEYROLL_VAULT").then_some(told)
    });
    assert!(
        told.contains("% full") && told.contains("make room"),
        "{told}"
    );
    small.empty();
    until("no warning any more", || {
        (!warnings().contains("KEYROLL_VAULT")).then_some(())
    });
    drop(dev);
    drop(small);
}

fn copy_all(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-aT").args([from, to]).status();
    assert!(copied.is_ok_and(|done| done.success()), "copied");
}

/// nats-server does not acknowledge messages that it cannot write; it may need a restart.
#[test]
fn a_full_disk_under_the_log_releases_nothing_and_loses_nothing() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let home = dev.stop();
    let log = home.data().join(home.stream("KEYROLL_LOG"));
    let aside = home.scratch().join("log");
    copy_all(&log, &aside);
    let Some(small) = Small::mount(log) else {
        return;
    };
    copy_all(&aside, &small.0);
    let mut dev = Dev::start_in(home);
    let reveal = ["secret", "reveal", "A", "--json"];
    for _ in 0..2 {
        dev.keyroll(reveal).run().code(0);
        let before = dev.audit().len();
        small.fill();
        let mut revealed = 0;
        until("the full disk is noticed", || {
            let run = dev.keyroll(reveal).run();
            revealed += usize::from(run.is_code(0));
            (!run.is_code(0)).then(|| run.code(8).lacks("the value"))
        });
        dev.keyroll(reveal).run().code(8).lacks("the value");
        dev.keyroll(["secret", "list"]).run().code(0);
        let told = until("it is told of", || {
            let status = dev.keyroll(["status", "--json"]).run().json();
            let problems = status["problems"].to_string();
            problems
                .contains("KEYROLL_LOG takes no writes")
                .then_some(problems)
        });
        assert!(told.contains("restart nats-server"), "{told}");
        small.empty();
        dev = Dev::start_in(dev.stop());
        dev.keyroll(reveal).run().code(0);
        assert!(dev.audit().len() > before + revealed, "an entry was lost");
    }
    dev.verifies();
    let rebuild = ["projection", "rebuild", "--json"];
    let rebuilt = dev.keyroll(rebuild).run().code(0).json();
    assert_eq!(rebuilt["identical"], true, "{rebuilt}");
    // The file system goes before the directory that it lies in.
    let home = dev.stop();
    drop(small);
    drop(home);
}

/// JetStream's own limit: a warning before it is reached, and then the reason why nothing is
/// accepted.
#[test]
fn a_store_that_is_nearly_used_is_a_warning_and_a_full_one_a_problem() {
    let mut cluster = Cluster::start(1, 1);
    cluster.configure_server(0, |text| {
        let bound = "sync_interval: always\n  max_file_store: 6MB";
        text.replace("sync_interval: always", bound)
    });
    cluster.kill_server(0);
    cluster.restart_server(0);
    let service = cluster.service(0).with_metrics().ready();
    cluster
        .keyroll(["workspace", "create", "demo"])
        .run()
        .code(0);
    let status = |cluster: &Cluster| cluster.keyroll(["status", "--json"]).run().json();
    let create = |number: usize| {
        let name = format!("S{number}");
        let create = cluster.keyroll(["secret", "create", &name, "--stdin"]);
        create.stdin(vec![b'x'; 60_000]).run().is_code(0)
    };
    for number in 0..86 {
        assert!(create(number), "{number}");
    }
    let warned = until("a warning", || {
        let status = status(&cluster);
        assert_eq!(status["problems"], serde_json::json!([]), "{status}");
        let warnings = status["warnings"].to_string();
        warnings
            .contains("JetStream on nats-server")
            .then_some(warnings)
    });
    assert!(warned.contains("max_file_store"), "{warned}");
    assert!(
        service
            .monitoring()
            .get("/metrics")
            .body
            .contains("keyroll_warnings 1")
    );
    assert_eq!(service.monitoring().get("/readyz").status, 200);
    let taken = (86..200).take_while(|number| create(*number)).count();
    assert!(taken < 60, "{taken} more fit");
    let told = until("it is told of", || {
        let told = status(&cluster)["problems"].to_string();
        told.contains("takes no writes").then_some(told)
    });
    for words in ["KEYROLL_", "max_file_store", "restart nats-server"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}
