//! A log with a truncated tail, a log with another history, and one that is lost with its vault.

use std::fs;

use keyroll_tests::harness::home::copy;
use keyroll_tests::harness::wait::until;
use keyroll_tests::harness::{Cluster, Dev, Done, Home};

/// A ledger whose streams were set back to an earlier copy after further entries.
struct SetBack {
    home: Home,
    entries: usize,
}

fn set_back() -> SetBack {
    let dev = Dev::start();
    dev.create("A", "the value");
    dev.keyroll(["secret", "reveal", "A"]).run().code(0);
    let home = dev.stop();
    home.save("jetstream", "earlier");
    home.save("ledger.redb", "earlier.redb");
    let dev = Dev::start_in(home);
    dev.create("B", "later");
    dev.keyroll(["secret", "edit", "A", "--stdin"])
        .stdin("newer")
        .run()
        .code(0);
    let entries = dev.audit().len();
    let home = dev.stop();
    home.put_back("earlier", "jetstream");
    SetBack { home, entries }
}

#[test]
fn a_log_that_was_set_back_is_refused_and_can_be_looked_at() {
    let SetBack { home, entries } = set_back();
    let dev = Dev::start_in(home);
    for words in [
        &["secret", "reveal", "A"] as &[&str],
        &["secret", "reveal", "B"],
        &["secret", "create", "C", "--generate"],
        &["secret", "delete", "A", "--yes"],
        &["projection", "rebuild"],
    ] {
        let run = dev.keyroll(words).run();
        run.code(6)
            .error_code("rollback")
            .lacks("the value")
            .lacks("newer");
    }
    // Queries are still answered, with all that the read model knows.
    assert_eq!(dev.secrets().len(), 2);
    assert_eq!(dev.audit().len(), entries);
    let status = dev.keyroll(["status", "--json"]).run().code(6).json();
    assert!(
        status["problems"][0]
            .as_str()
            .is_some_and(|words| words.contains("rollback")),
        "{status}"
    );
    dev.keyroll(["audit", "verify", "--full"]).run().code(6);
    // After a restart it reports the same.
    let home = dev.stop();
    let dev = Dev::start_in(home);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(6)
        .error_code("rollback");
}

/// nats-server comes back with an older copy, while the service keeps running.
#[test]
fn a_log_that_is_set_back_under_a_service_is_refused() {
    let mut cluster = Cluster::start(1, 1);
    let service = cluster.serve(0, 0, 0);
    let keyroll = |cluster: &Cluster, words: &[&str]| cluster.keyroll(words).run();
    let create = |cluster: &Cluster, name: &str, value: &str| {
        let create = cluster.keyroll(["secret", "create", name, "--stdin"]);
        create.stdin(value).run().code(0);
    };
    keyroll(&cluster, &["workspace", "create", "demo"]).code(0);
    create(&cluster, "A", "the value");
    let streams = cluster.home().scratch().join("server-0/jetstream");
    let earlier = cluster.home().scratch().join("earlier");
    cluster.kill_server(0);
    copy(&streams, &earlier);
    cluster.restart_server(0);
    until("it is there again", || {
        keyroll(&cluster, &["secret", "reveal", "A"])
            .is_code(0)
            .then_some(())
    });
    create(&cluster, "B", "later");
    let entries = keyroll(&cluster, &["audit", "log", "--json"])
        .code(0)
        .rows();
    cluster.kill_server(0);
    fs::remove_dir_all(&streams).expect("removed");
    copy(&earlier, &streams);
    cluster.restart_server(0);
    // Until it has checked, nothing is accepted at all; then it reports why.
    until("it says so", || {
        let reveal = keyroll(&cluster, &["secret", "reveal", "A"]);
        reveal.lacks("the value").is_code(6).then_some(())
    });
    for words in [
        &["secret", "reveal", "B"] as &[&str],
        &["secret", "create", "C", "--generate"],
        &["secret", "delete", "A", "--yes"],
    ] {
        let run = keyroll(&cluster, words);
        run.code(6).error_code("rollback").lacks("later");
    }
    let shown = keyroll(&cluster, &["audit", "log", "--json"])
        .code(0)
        .rows();
    assert_eq!(shown, entries);
    assert!(service.process().is_alive());
}

#[test]
fn a_client_with_a_later_checkpoint_sees_that_everything_was_set_back() {
    let SetBack { home, .. } = set_back();
    home.remove("ledger.redb");
    let dev = Dev::start_in(home);
    // The ledger itself cannot know; a client that has seen more does.
    for words in [
        &["secret", "reveal", "A"] as &[&str],
        &["secret", "list"],
        &["secret", "create", "C", "--generate"],
        &["audit", "log"],
        &["audit", "checkpoint"],
        &["secret", "edit", "A", "--generate"],
    ] {
        dev.keyroll(words)
            .run()
            .code(6)
            .error_code("rollback")
            .lacks("the value");
    }
    let report = dev
        .keyroll(["audit", "verify", "--json"])
        .run()
        .code(6)
        .json();
    assert_eq!(report["ok"], false, "{report}");
    assert_eq!(report["problems"][0]["kind"], "rollback", "{report}");

    // The first lines of `dev` report it, and so does accepting it.
    assert!(
        dev.stderr().contains("set back") || dev.stderr().contains("rolled back"),
        "{}",
        dev.stderr()
    );
    let dry = dev.keyroll(["audit", "accept", "--dry-run"]).run().code(0);
    dry.stderr_has("would have accepted");
    dev.keyroll(["secret", "list"]).run().code(6);
    dev.keyroll(["audit", "accept"])
        .run()
        .code(0)
        .stderr_has("are kept in");
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
    let evidence = fs::read_dir(dev.home().data().join("evidence"))
        .expect("evidence")
        .count();
    assert_eq!(evidence, 1);
    dev.verifies();
}

#[test]
fn a_fork_is_seen_by_whoever_saw_the_other_side() {
    let SetBack { home, entries } = set_back();
    home.remove("ledger.redb");
    let dev = Dev::start_in(home);
    // A client without memory continues the log, past the size that the owner has seen.
    let seen = dev.home().data().join("seen");
    let aside = dev.home().scratch().join("seen-aside");
    fs::rename(&seen, &aside).expect("moved");
    for number in 0..entries {
        dev.create(&format!("N{number}"), "another history");
    }
    fs::remove_dir_all(&seen).expect("removed");
    fs::rename(&aside, &seen).expect("moved back");
    for words in [
        &["secret", "list"] as &[&str],
        &["audit", "log"],
        &["audit", "checkpoint"],
    ] {
        dev.keyroll(words).run().code(6).error_code("fork");
    }
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(6)
        .error_code("fork")
        .lacks("the value");
    let report = dev
        .keyroll(["audit", "verify", "--json"])
        .run()
        .code(6)
        .json();
    assert_eq!(report["problems"][0]["kind"], "fork", "{report}");
}

#[test]
fn a_lost_stream_is_damage_and_is_not_made_anew() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let home = dev.stop();
    home.save("jetstream", "whole");
    home.remove("jetstream");
    // It starts, so that an operator can inspect it, and creates nothing by itself.
    let refused = |home: &Home| {
        let reveal = ["secret", "reveal", "A"];
        let run = dev_once(home, &reveal).code_in(&[6, 8]);
        run.stdout("")
            .stderr_has("KEYROLL_LOG is missing")
            .stderr_has("keyroll recover");
    };
    refused(&home);
    refused(&home);
    home.save("ledger.redb", "whole.redb");
    home.remove("ledger.redb");
    refused(&home);
    home.put_back("whole.redb", "ledger.redb");
    fs::remove_dir_all(home.data().join("jetstream")).expect("removed");
    home_put(&home, "whole", "jetstream");
    let dev = Dev::start_in(home);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
}

fn home_put(home: &Home, saved: &str, name: &str) {
    // There must be something to replace.
    fs::create_dir_all(home.data().join(name)).expect("made");
    home.put_back(saved, name);
}

/// Runs a command of the owner on a separate ledger.
fn dev_once(home: &Home, command: &[&str]) -> Done {
    let data = home.data();
    let program = keyroll_tests::harness::programs::keyroll();
    let mut run = keyroll_tests::harness::Run::keyroll(["dev", "--data-dir"])
        .arg(&data)
        .arg("--")
        .arg(program);
    for word in command {
        run = run.arg(word);
    }
    run.run()
}

#[test]
fn a_lost_vault_loses_values_and_nothing_else() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let home = dev.stop();
    home.save("jetstream", "earlier");
    let dev = Dev::start_in(home);
    dev.create("B", "later");
    dev.keyroll(["secret", "edit", "A", "--stdin"])
        .stdin("newer")
        .run()
        .code(0);
    let home = dev.stop();
    let vault = home.stream("KEYROLL_VAULT");
    let to = home.data().join(&vault);
    fs::remove_dir_all(&to).expect("removed");
    let below = vault.strip_prefix("jetstream/").expect("a stream");
    fs::rename(home.scratch().join("earlier").join(below), to).expect("put back");
    let dev = Dev::start_in(home);
    dev.keyroll(["secret", "reveal", "B"])
        .run()
        .code(6)
        .error_code("value_lost")
        .lacks("later");
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(6)
        .error_code("value_lost");
    dev.keyroll(["secret", "reveal", "A", "--version", "1"])
        .run()
        .code(0)
        .stdout("the value");
    dev.keyroll(["secret", "edit", "B", "--stdin"])
        .stdin("again")
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "B"])
        .run()
        .code(0)
        .stdout("again");
    dev.verifies();
}

fn rollback(dev: &Dev, words: &[&str]) {
    let run = dev.keyroll(words).run().code(6).error_code("rollback");
    run.lacks("404")
        .stderr_has("keyroll recover")
        .stderr_has("audit accept");
}

/// Log and read model are lost together: to such a ledger everybody is a stranger.
#[test]
fn a_ledger_that_has_lost_everything_is_a_rollback_to_who_has_seen_it() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let entries = dev.audit().len();
    let home = dev.stop();
    home.remove(&home.stream("KEYROLL_LOG"));
    home.remove("ledger.redb");
    let dev = Dev::start_in(home);
    let looks = |dev: &Dev| {
        rollback(dev, &["secret", "list"]);
        rollback(dev, &["secret", "reveal", "A"]);
        rollback(dev, &["secret", "create", "B", "--generate"]);
        rollback(dev, &["audit", "log"]);
        // It adds no entry: a log that begins anew under this name would be evidence against it.
        rollback(dev, &["workspace", "create", "demo"]);
        let verify = ["audit", "verify", "--json"];
        let report = dev.keyroll(verify).run().code(6).json();
        assert_eq!(report["problems"][0]["kind"], "rollback", "{report}");
        let status = dev.keyroll(["status", "--json"]).run().json();
        assert_eq!(status["entries"], 0, "{status}");
    };
    looks(&dev);
    // Nothing is accepted while the log can still be put back.
    dev.keyroll(["audit", "accept"]).run().code(6);
    dev.keyroll(["recover", "--yes"]).run().code(0);
    looks(&dev);
    let accept = ["audit", "accept", "--json"];
    let accepted = dev.keyroll(accept).run().code(0).json();
    assert_eq!(accepted["seen"], entries, "{accepted}");
    assert_eq!(accepted["entries"], 0, "{accepted}");
    dev.keyroll(["secret", "list"])
        .run()
        .code(4)
        .error_code("denied");
    let create = ["workspace", "create", "demo"];
    dev.keyroll(create).run().code(0);
    dev.create("A", "another");
    dev.verifies();
}

/// A removed member is a stranger to an intact ledger, and gets no alarm.
#[test]
fn who_was_removed_is_denied_and_sees_no_rollback() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let other = dev.member("Other", "viewer", "*");
    let list = || dev.keyroll_as(&other, ["secret", "list"]).run();
    list().code(0);
    dev.keyroll(["member", "remove", "Other", "--yes"])
        .run()
        .code(0);
    list().code(4).error_code("denied");
}
