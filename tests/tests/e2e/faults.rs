//! A nats-server that is frozen or killed, and a log that was set back.

use std::fs;
use std::time::{Duration, Instant};

use keyroll_api::client::Wanted;
use keyroll_api::reply::Body;
use keyroll_api::{CommandReply, Reply};
use keyroll_core::command::{Nothing, Purpose, SecretDescribe};
use keyroll_core::{Action, Code, SecretId, cbor, cose};
use keyroll_tests::harness::nats::next;
use keyroll_tests::harness::raw;
use keyroll_tests::harness::wait::within;
use keyroll_tests::harness::{Dev, Done, Home, Nats};
use nix::sys::signal::Signal;

/// What a caller may have to wait, and as much again for a busy machine.
const BOUND: Duration = Duration::from_secs(20);

fn in_bounded_time(run: Done) -> Done {
    assert!(run.took < BOUND, "it took too long\n{run}");
    run
}

#[test]
fn with_a_frozen_server_nothing_is_released_and_nothing_is_lost() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let before = dev.audit().len();
    let frozen = dev.freeze_nats();
    let reveal = dev.keyroll(["--json", "secret", "reveal", "A"]).start();
    let create = dev
        .keyroll(["--json", "secret", "create", "B", "--generate"])
        .start();
    let list = dev.keyroll(["--json", "secret", "list"]).start();
    for run in [reveal, create, list] {
        let run = in_bounded_time(run.wait());
        run.code_in(&[7, 8]).stdout("").lacks("the value");
    }
    frozen.thaw();
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
    dev.create("C", "works again");
    dev.verifies();
    // What was asked for in vain may have happened, once, and is on record if it did.
    let rows = dev.audit();
    let count = |kind: &str| {
        rows[before..]
            .iter()
            .filter(|row| row["type"] == kind)
            .count()
    };
    assert!((1..=2).contains(&count("secret.revealed")), "{rows:?}");
    assert!((1..=2).contains(&count("secret.created")), "{rows:?}");
}

/// Commands are on their way when the server freezes, for longer than an acknowledgement is waited
/// for. Some are carried out, of some it is not known: sent again each is carried out once.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_server_frozen_half_way_every_command_takes_effect_once() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let nats = dev.nats().await;
    let owner = dev.owner();
    let shown = dev
        .keyroll(["secret", "show", "A", "--json"])
        .run()
        .code(0)
        .json();
    let id: SecretId = shown["id"].as_str().expect("an id").parse().expect("an id");
    let (mut indexes, mut sent) = (Vec::new(), 0);
    for round in 0..3 {
        let fresh: Vec<Vec<u8>> = (0..200)
            .map(|number| raw::signed(&dev.command(describe(id, round * 1_000 + number)), &owner))
            .collect();
        let mut answers = nats
            .subscribe(&format!("_INBOX_client.dev.round{round}.*"))
            .await;
        for (number, request) in fresh.iter().enumerate() {
            let reply = format!("_INBOX_client.dev.round{round}.{number}");
            nats.client
                .publish_with_reply(COMMAND, reply, request.clone().into())
                .await
                .expect("sent");
        }
        // Some have been answered, most have not.
        next(&mut answers).await;
        let frozen = dev.freeze_nats();
        let reveal = dev.keyroll(["--json", "secret", "reveal", "A"]).start();
        in_bounded_time(reveal.wait()).code_in(&[7, 8]).stdout("");
        frozen.thaw();
        for request in &fresh {
            indexes.push(carried_out(&nats, request).await);
        }
        sent += fresh.len();
    }
    indexes.sort_unstable();
    indexes.dedup();
    assert_eq!(indexes.len(), sent, "each has its own entry");
    let described = dev
        .audit()
        .iter()
        .filter(|row| row["type"] == "secret.described")
        .count();
    assert_eq!(described, sent, "and there is no other");
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
    dev.verifies();
    let rebuilt = dev
        .keyroll(["projection", "rebuild", "--json"])
        .run()
        .code(0)
        .json();
    assert_eq!(rebuilt["identical"], true);
}

/// Connected before the server freezes, a caller has its question on the way when nothing answers
/// any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_reveal_on_its_way_to_a_frozen_server_is_unknown_and_releases_nothing() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let settings = keyroll_api::Settings {
        nats_url: dev.nats_url().to_owned(),
        identity: dev.owner().into(),
        ledger: Some(dev.ledger()),
        home: None,
    };
    let client = keyroll_api::Client::connect(settings)
        .await
        .expect("connected");
    let workspace = "demo".parse().expect("a name");
    let wanted = [Wanted {
        name: "A".parse().expect("a name"),
        version: None,
    }];
    let purpose = Purpose::View(Nothing {});
    let reveal = || client.reveal(&workspace, &wanted, &purpose, None);
    let frozen = dev.freeze_nats();
    let begun = Instant::now();
    let Err(error) = reveal().await else {
        panic!("a frozen server released a value")
    };
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    assert!(
        matches!(error.code(), Code::AuditUnknown | Code::Unreachable),
        "{}: {error}",
        error.code()
    );
    frozen.thaw();
    let revealed = within("a reveal after the thaw", reveal())
        .await
        .expect("revealed");
    assert_eq!(revealed.values[0].value.as_slice(), b"the value");
    let revealed = dev
        .audit()
        .iter()
        .filter(|row| row["type"] == "secret.revealed")
        .count();
    assert!((1..=2).contains(&revealed), "{revealed}");
    dev.verifies();
}

const COMMAND: &str = "keyroll.v1.demo.command";

fn describe(id: SecretId, number: usize) -> Action {
    Action::SecretDescribe(SecretDescribe {
        id,
        name: "A".parse().expect("a name"),
        hosts: None,
        restricted: None,
        description: Some(format!("description {number}").parse().expect("a text")),
        rotate_every: None,
    })
}

/// Sends a request until its fate is known, and gives its entry's index.
async fn carried_out(nats: &Nats, request: &[u8]) -> u64 {
    let again = async {
        loop {
            let reply = nats.request(COMMAND, request).await;
            match cbor::decode(&reply.payload).expect("a reply") {
                CommandReply::Done(done) => return done.receipt.index.0,
                CommandReply::Refused(signed) => {
                    let reply = cose::open::<Reply>(&signed.0)
                        .expect("a signed reply")
                        .payload;
                    let Body::Error(rejection) = reply.body else {
                        panic!("an answer to a command")
                    };
                    let passing = matches!(
                        rejection.code,
                        Code::Busy | Code::AuditUnknown | Code::AuditUnavailable
                    );
                    assert!(passing, "{rejection}");
                }
            }
            // The ledger is settling what was in doubt.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the fate of a command", again).await
}

/// Runs with a stream that takes no more messages, as on a full disk.
pub(crate) async fn with_full(dev: &Dev, stream: &str, run: impl FnOnce()) {
    let operator = dev.nats_as("operator").await;
    let context = async_nats::jetstream::new(operator.client.clone());
    let info = context
        .get_stream(stream)
        .await
        .expect("the stream")
        .cached_info()
        .clone();
    let full = async_nats::jetstream::stream::Config {
        max_bytes: i64::try_from(info.state.bytes).expect("a size") + 1,
        discard: async_nats::jetstream::stream::DiscardPolicy::New,
        ..info.config.clone()
    };
    context.update_stream(full).await.expect("updated");
    run();
    context.update_stream(info.config).await.expect("updated");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_log_nothing_is_released() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let before = dev.audit();
    with_full(&dev, "KEYROLL_LOG", || {
        for words in [
            &["secret", "reveal", "A"] as &[&str],
            &["run", "--", "echo", "it was started"],
            &["export", "--format", "json"],
            &["secret", "create", "B", "--generate"],
        ] {
            let run = in_bounded_time(dev.keyroll(words).run());
            run.code(8)
                .error_code("audit_unavailable")
                .lacks("the value");
        }
        assert_eq!(dev.audit(), before, "queries go on");
    })
    .await;
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
    assert_eq!(dev.audit().len(), before.len() + 1);
    dev.verifies();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_vault_nothing_is_recorded() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let before = dev.audit();
    with_full(&dev, "KEYROLL_VAULT", || {
        for words in [
            ["secret", "create", "B", "--stdin"],
            ["secret", "edit", "A", "--stdin"],
        ] {
            let run = in_bounded_time(dev.keyroll(words).stdin("another").run());
            run.code_in(&[7, 8]).stdout("").lacks("another");
        }
        assert_eq!(dev.audit(), before);
        // What is there can be read.
        dev.keyroll(["secret", "reveal", "A"])
            .run()
            .code(0)
            .stdout("the value");
    })
    .await;
    dev.create("B", "another");
    dev.keyroll(["secret", "reveal", "B"])
        .run()
        .code(0)
        .stdout("another");
    dev.verifies();
}

#[test]
fn a_killed_nats_server_ends_dev_and_says_so() {
    let mut dev = Dev::start();
    dev.create("A", "the value");
    let nats_server = dev.nats_server();
    nats_server.signal(Signal::SIGKILL);
    assert_eq!(dev.ended(), Some(7));
    assert!(
        dev.said().contains("nats-server has ended"),
        "{}",
        dev.said()
    );
    let run = in_bounded_time(dev.keyroll(["secret", "reveal", "A"]).run());
    run.code(7).error_code("unreachable");
    let dev = Dev::start_in(dev.into_home());
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("the value");
    dev.verifies();
}

/// A ledger whose streams were set back to an earlier copy, once it has gone on.
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
    // Queries go on, with all that the read model knows.
    assert_eq!(
        dev.keyroll(["secret", "list", "--json"])
            .run()
            .code(0)
            .rows()
            .len(),
        2
    );
    assert_eq!(dev.audit().len(), entries);
    let status = dev.keyroll(["status", "--json"]).run().code(0).json();
    assert!(
        status["problems"][0]
            .as_str()
            .is_some_and(|words| words.contains("rollback")),
        "{status}"
    );
    // The commits that the read model kept still verify.
    dev.keyroll(["audit", "verify", "--full"])
        .run()
        .code_in(&[0, 6]);
    // Put right, it goes on.
    let home = dev.stop();
    let dev = Dev::start_in(home);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(6)
        .error_code("rollback");
}

#[test]
fn a_client_with_a_later_checkpoint_sees_that_everything_was_set_back() {
    let SetBack { home, .. } = set_back();
    home.remove("ledger.redb");
    let dev = Dev::start_in(home);
    // The ledger itself cannot know; whoever saw more does.
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

    // The words at the start of `dev` say it, and so does whoever accepts it.
    assert!(
        dev.said().contains("set back") || dev.said().contains("rolled back"),
        "{}",
        dev.said()
    );
    let dry = dev.keyroll(["audit", "accept", "--dry-run"]).run().code(0);
    dry.stderr_has("would have accepted");
    dev.keyroll(["secret", "list"]).run().code(6);
    dev.keyroll(["audit", "accept"])
        .run()
        .code(0)
        .stderr_has("is kept in");
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
    // Somebody without memory writes on, past what the owner has seen.
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
    // It starts, so that an operator can look, and makes nothing anew by itself.
    let refused = |home: &Home| {
        let reveal = ["secret", "reveal", "A"];
        let run = dev_once(home, &reveal).code_in(&[6, 8]);
        run.stdout("").stderr_has("KEYROLL_LOG is missing");
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
    // Something has to be there to be replaced.
    fs::create_dir_all(home.data().join(name)).expect("made");
    home.put_back(saved, name);
}

/// Runs a command of the owner on a ledger of its own.
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
    let vault = "LEDGER/streams/KEYROLL_VAULT";
    fs::remove_dir_all(home.data().join("jetstream").join(vault)).expect("removed");
    let from = home.scratch().join("earlier").join(vault);
    fs::rename(from, home.data().join("jetstream").join(vault)).expect("put back");
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
