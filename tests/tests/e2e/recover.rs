//! A log that is damaged or was set back, and `keyroll recover`.

mod cut_short;
mod forks;

use std::ffi::OsStr;
use std::fs;

use keyroll_tests::harness::{Dev, Home};

use crate::damage::flip;
use crate::destroy::{on_disk, parts};

/// Six secrets, the first with two versions.
fn filled() -> Dev {
    let dev = Dev::start();
    for number in 0..6 {
        dev.create(&format!("S{number}"), format!("value {number}"));
    }
    dev
}

fn refused(dev: &Dev, code: &str) {
    let reveal = dev.keyroll(["secret", "reveal", "S0"]).run();
    reveal.code(6).error_code(code).lacks("value 0");
}

/// Shows a plan without changes, asks before it acts, and acts.
fn recovers(dev: &Dev) -> serde_json::Value {
    let dry = ["recover", "--dry-run", "--json"];
    let plan = dev.keyroll(dry).run().code(0).json();
    assert_eq!(plan["done"], false, "{plan}");
    assert_eq!(plan["remake"], true, "{plan}");
    dev.keyroll(["recover"]).run().code(2).stderr_has("--yes");
    assert_eq!(dev.keyroll(dry).run().code(0).json()["plan"], plan["plan"]);
    let done = dev.keyroll(["recover", "--yes", "--json"]).run().code(0);
    let done = done.json();
    assert_eq!(done["done"], true, "{done}");
    done
}

/// Everything is served, verified, and unchanged after a rebuild and a restart.
fn whole_again(dev: Dev, secrets: usize) -> Dev {
    for number in 0..secrets {
        let name = format!("S{number}");
        let reveal = dev.keyroll(["secret", "reveal", &name]).run();
        reveal.code(0).stdout(format!("value {number}"));
    }
    dev.create("After", "the recovery");
    dev.verifies();
    let storage = ["audit", "verify", "--storage", "--json"];
    let report = dev.keyroll(storage).run().code(0).json();
    assert_eq!(report["problems"], serde_json::json!([]), "{report}");
    let rebuild = ["projection", "rebuild", "--json"];
    let rebuilt = dev.keyroll(rebuild).run().code(0).json();
    assert_eq!(rebuilt["identical"], true, "{rebuilt}");
    let digest = dev.digest();
    let dev = Dev::start_in(dev.stop());
    assert_eq!(dev.digest(), digest);
    let nothing = dev.keyroll(["recover"]).run().code(0);
    nothing.stderr_has("nothing to recover");
    dev
}

fn truncations(dev: &Dev) -> usize {
    let rows = dev.audit();
    let of = |row: &&serde_json::Value| row["type"] == "log.truncated";
    rows.iter().filter(of).count()
}

/// nats-server does not know a stream without its `meta.inf`, and finds its messages when the
/// stream is created.
#[test]
fn a_stream_that_lost_its_description_alone_comes_back_with_all_that_it_held() {
    for stream in ["KEYROLL_LOG", "KEYROLL_VAULT", "KEYROLL_KEYS"] {
        let home = filled().stop();
        home.remove(&format!("{}/meta.inf", home.stream(stream)));
        let dev = Dev::start_in(home);
        refused(&dev, "corrupt");
        let recover = dev.keyroll(["recover", "--yes"]).run().code(0);
        recover.stderr_has(&format!("restored stream {stream} with"));
        let dev = whole_again(dev, 6);
        assert_eq!(truncations(&dev), 0, "{stream}");
        let lost = |row: &serde_json::Value| row["type"] == "values.lost";
        assert!(!dev.audit().iter().any(lost), "{stream}");
    }
}

/// To the copy `earlier`. Only the log is set back: the vault still holds the later values.
fn set_log_back(home: &Home) {
    let log = home.stream("KEYROLL_LOG");
    let to = home.data().join(&log);
    fs::remove_dir_all(&to).expect("removed");
    let below = log.strip_prefix("jetstream/").expect("a stream");
    fs::rename(home.scratch().join("earlier").join(below), to).expect("put back");
}

#[test]
fn a_log_that_was_set_back_is_recovered_without_loss() {
    let dev = filled();
    let home = dev.stop();
    home.save("jetstream", "earlier");
    let dev = Dev::start_in(home);
    dev.create("Later", "than the copy");
    let home = dev.stop();
    set_log_back(&home);
    let dev = Dev::start_in(home);
    refused(&dev, "rollback");
    recovers(&dev);
    let later = dev.keyroll(["secret", "reveal", "Later"]).run();
    later.code(0).stdout("than the copy");
    let dev = whole_again(dev, 6);
    assert_eq!(truncations(&dev), 0);
}

/// Another replica's read model, or an auditor's bundle, in the directory `recover`.
#[test]
fn what_lies_beside_gives_what_log_and_read_model_have_lost() {
    for kind in ["redb", "bundle"] {
        let home = filled().stop();
        home.save("jetstream", "earlier");
        let dev = Dev::start_in(home);
        dev.create("Later", "than the copy");
        let bundle = dev.home().scratch().join("log.bundle");
        let export = ["audit", "export", "--out"].map(OsStr::new);
        dev.keyroll(export.into_iter().chain([bundle.as_os_str()]))
            .run()
            .code(0);
        let home = dev.stop();
        set_log_back(&home);
        let (lost, beside) = (home.data().join("ledger.redb"), home.data().join("recover"));
        fs::create_dir_all(&beside).expect("a directory");
        if kind == "redb" {
            fs::rename(&lost, beside.join("other.redb")).expect("put beside");
        } else {
            fs::remove_file(&lost).expect("removed");
            fs::rename(bundle, beside.join("log.bundle")).expect("put beside");
        }
        let dev = Dev::start_in(home);
        refused(&dev, "rollback");
        recovers(&dev);
        let later = dev.keyroll(["secret", "reveal", "Later"]).run();
        later.code(0).stdout("than the copy");
        assert_eq!(truncations(&whole_again(dev, 6)), 0);
    }
}

#[test]
fn a_damaged_end_is_recovered_from_the_read_model() {
    let home = filled().stop();
    flip(&home, |length| length - 100);
    let dev = Dev::start_in(home);
    refused(&dev, "corrupt");
    recovers(&dev);
    assert_eq!(truncations(&whole_again(dev, 6)), 0);
}

#[test]
fn what_is_lost_in_the_middle_is_named_and_the_rest_goes_on() {
    let home = filled().stop();
    flip(&home, |length| length / 2);
    home.remove("ledger.redb");
    let dev = Dev::start_in(home);
    refused(&dev, "corrupt");
    let done = recovers(&dev);
    // The owner has seen all seven entries.
    assert_eq!(done["workspaces"][0]["known"], 7, "{done}");
    let kept = done["workspaces"][0]["entries"].as_u64().expect("a number");
    assert!((1..7).contains(&kept), "{done}");
    // A client that has seen the lost entries is told, and continues only on purpose.
    dev.keyroll(["secret", "reveal", "S0"]).run().code(6);
    dev.keyroll(["audit", "verify"]).run().code(6);
    let accepted = dev.keyroll(["audit", "accept"]).run().code(0);
    accepted.stderr_has("are kept in");
    let secrets = usize::try_from(kept - 1).expect("few");
    let dev = whole_again(dev, secrets);
    assert_eq!(truncations(&dev), 1);
    let report = dev.verifies();
    let warned = report["warnings"].to_string();
    assert!(warned.contains("log.truncated"), "{report}");
    let gone = dev.keyroll(["secret", "reveal", "S5"]).run();
    gone.code(3).error_code("not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_deleted_and_made_anew_is_recovered() {
    let dev = filled();
    {
        let operator = dev.nats_as("operator").await;
        let context = async_nats::jetstream::new(operator.client.clone());
        let stream = context.get_stream("KEYROLL_LOG").await.expect("the log");
        let config = stream.cached_info().config.clone();
        context.delete_stream("KEYROLL_LOG").await.expect("deleted");
        context.create_stream(config).await.expect("made anew");
    }
    let dev = Dev::start_in(dev.stop());
    refused(&dev, "rollback");
    recovers(&dev);
    assert_eq!(truncations(&whole_again(dev, 6)), 0);
}

#[test]
fn a_lost_stream_is_recovered_and_its_service_starts_meanwhile() {
    let home = filled().stop();
    let log = home.stream("KEYROLL_LOG");
    fs::remove_dir_all(home.data().join(log)).expect("removed");
    let dev = Dev::start_in(home);
    refused(&dev, "corrupt");
    recovers(&dev);
    assert_eq!(truncations(&whole_again(dev, 6)), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_do_not_belong_stop_one_workspace_at_most() {
    let dev = filled();
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    let create = ["-w", "other", "secret", "create", "A", "--stdin"];
    dev.keyroll(create).stdin("elsewhere").run().code(0);
    let service = dev.nats_as("service").await;
    let context = async_nats::jetstream::new(service.client.clone());
    let log = context
        .get_stream_no_info("KEYROLL_LOG")
        .await
        .expect("the log");
    let old = log.get_raw_message(2).await.expect("an old commit").payload;
    let put = async |workspace: &str, bytes: Vec<u8>| {
        let subject = format!("keyroll.log.{workspace}");
        let sent = context.publish(subject, bytes.into()).await.expect("sent");
        sent.await.expect("stored").sequence
    };
    put("demo", b"no commit at all".to_vec()).await;
    put("demo", old.to_vec()).await;
    // They are reported, and stop nothing.
    let reveal = dev.keyroll(["secret", "reveal", "S0"]).run();
    reveal.code(0).stdout("value 0");
    let verify = ["audit", "verify", "--json"];
    let report = dev.keyroll(verify).run().code(6).json();
    let kinds: Vec<_> = report["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    let kinds: Vec<_> = kinds.iter().map(|problem| &problem["kind"]).collect();
    assert_eq!(kinds, ["foreign", "stale"], "{report}");
    // A commit of another workspace, and one that the ledger did not sign, stop the workspace.
    let at = put("other", old.to_vec()).await;
    let elsewhere = ["-w", "other", "secret", "reveal", "A"];
    let run = dev.keyroll(elsewhere).run().code(6).error_code("corrupt");
    run.stderr_has(&format!("message {at}")).lacks("elsewhere");
    let listed = dev
        .keyroll(["-w", "other", "secret", "list", "--json"])
        .run();
    assert_eq!(listed.code(0).rows().len(), 1);
    let reveal = dev.keyroll(["secret", "reveal", "S1"]).run();
    reveal.code(0).stdout("value 1");
    let last = log.get_raw_message(9).await.expect("a commit").payload;
    let mut forged = last.to_vec();
    *forged.last_mut().expect("a signature") ^= 1;
    put("demo", forged).await;
    refused(&dev, "corrupt");
    dev.keyroll(["audit", "verify"]).run().code(6);
    recovers(&dev);
    dev.keyroll(elsewhere).run().code(0).stdout("elsewhere");
    assert_eq!(truncations(&whole_again(dev, 6)), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_and_swapped_values_are_named_and_go_on_record() {
    let dev = filled();
    let operator = dev.nats_as("operator").await;
    let context = async_nats::jetstream::new(operator.client.clone());
    let vault = context
        .get_stream("KEYROLL_VAULT")
        .await
        .expect("the vault");
    // S0 is gone; S1 has the bytes of S2.
    vault.delete_message(1).await.expect("deleted");
    let one = vault.get_raw_message(2).await.expect("a value");
    let two = vault.get_raw_message(3).await.expect("a value");
    vault.delete_message(2).await.expect("deleted");
    let put = context.publish(one.subject.to_string(), two.payload).await;
    put.expect("sent").await.expect("stored");
    let dev = Dev::start_in(dev.stop());
    for name in ["S0", "S1"] {
        let run = dev.keyroll(["secret", "reveal", name]).run();
        run.code(6).error_code("value_lost").stdout("");
    }
    let storage = ["audit", "verify", "--storage", "--json"];
    let report = dev.keyroll(storage).run().code(6).json();
    let problems = report["problems"].as_array().expect("a list");
    assert_eq!(problems.len(), 2, "{report}");
    for name in ["S0", "S1"] {
        let start = format!("{name}, version 1: ");
        let named = problems.iter().filter(|problem| {
            let detail = problem["detail"].as_str().expect("words");
            problem["kind"] == "value_lost" && detail.starts_with(&start)
        });
        assert_eq!(named.count(), 1, "{name}: {report}");
    }
    dev.verifies();
    let done = dev
        .keyroll(["recover", "--yes", "--json"])
        .run()
        .code(0)
        .json();
    assert_eq!(
        (&done["remake"], &done["added"]),
        (&false.into(), &1.into()),
        "{done}"
    );
    assert_eq!(done["workspaces"][0]["values"], 2, "{done}");
    // A recorded loss is no problem any more, and the secrets can have new values.
    let report = dev.keyroll(storage).run().code(0).json();
    assert!(
        report["warnings"]
            .to_string()
            .contains("2 values were lost"),
        "{report}"
    );
    let edit = dev.keyroll(["secret", "edit", "S0", "--stdin"]);
    edit.stdin("value 0").run().code(0);
    let edit = dev.keyroll(["secret", "edit", "S1", "--stdin"]);
    edit.stdin("value 1").run().code(0);
    whole_again(dev, 6);
}

#[test]
fn only_operators_recover_and_look_into_the_storage() {
    let dev = filled();
    let vera = dev.member("vera", "owner", "*");
    for words in [
        &["recover", "--yes"] as &[&str],
        &["audit", "verify", "--storage"],
    ] {
        let run = dev.keyroll_as(&vera, words).run();
        run.code(4).error_code("denied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_destroyed_and_came_back_with_a_copy_is_erased_again() {
    let dev = filled();
    let value = parts(&dev, 6).await;
    let home = dev.stop();
    home.save("jetstream", "earlier");
    let dev = Dev::start_in(home);
    let destroy = ["secret", "destroy", "S5", "--yes"];
    dev.keyroll(destroy).run().code(0);
    let there = |home: &Home| value.each_ref().map(|part| on_disk(home, part));
    assert_eq!(there(dev.home()), [false; 2]);
    let home = dev.stop();
    home.put_back("earlier", "jetstream");
    let dev = Dev::start_in(home);
    refused(&dev, "rollback");
    assert_eq!(there(dev.home()), [true; 2]);
    let done = recovers(&dev);
    assert_eq!(done["erased"], 1, "{done}");
    assert_eq!(done["workspaces"][0]["erase"], 1, "{done}");
    assert_eq!(there(dev.home()), [false; 2]);
    let gone = dev.keyroll(["secret", "reveal", "S5", "--json"]).run();
    gone.code(3).error_code("destroyed");
    let dev = whole_again(dev, 5);
    assert_eq!(there(dev.home()), [false; 2]);
    assert_eq!(truncations(&dev), 0);
}

/// `KEYROLL_RESTARTS` sets the number; each costs the seconds of a start.
#[test]
fn restarts_and_kills_raise_no_alarm() {
    let asked = std::env::var("KEYROLL_RESTARTS").ok();
    let rounds: u32 = asked.map_or(40, |count| count.parse().expect("KEYROLL_RESTARTS"));
    let mut dev = Dev::start();
    for round in 0..rounds {
        let value = format!("value {round}");
        dev.create(&format!("S{round}"), &value);
        // After a kill, the read model may lack unflushed rows, while the log has them.
        let home = if round % 2 == 0 {
            dev.kill()
        } else {
            dev.stop()
        };
        println!("round {round}");
        dev = Dev::start_in(home);
        let reveal = dev.keyroll(["secret", "reveal", &format!("S{round}")]);
        reveal.run().code(0).stdout(value);
        let status = dev.keyroll(["status", "--json"]).run().code(0).json();
        let problems = &status["problems"];
        assert_eq!(*problems, serde_json::json!([]), "round {round}: {status}");
    }
    dev.verifies();
    let nothing = dev.keyroll(["recover"]).run().code(0);
    nothing.stderr_has("nothing to recover");
}
