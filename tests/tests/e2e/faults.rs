//! nats-server frozen, killed and full, while commands are on their way.

use std::time::{Duration, Instant};

use keyroll_client::RequestedValue;
use keyroll_core::command::{Nothing, Purpose, SecretDescribe};
use keyroll_core::{Action, Code, SecretId, cbor, cose};
use keyroll_tests::harness::nats::next;
use keyroll_tests::harness::raw;
use keyroll_tests::harness::wait::within;
use keyroll_tests::harness::{Dev, Done, Nats};
use keyroll_wire::reply::ReplyBody;
use keyroll_wire::{CommandReply, Reply};
use nix::sys::signal::Signal;

/// How long a caller may have to wait, and as much again for a busy machine.
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
    // A command without an answer may have been carried out, once, and is then logged.
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
/// for. Some are carried out, and some have an unknown outcome: sent again, each is carried out
/// once.
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

/// A caller that connected before the server freezes has its query on the way when nothing answers
/// any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_reveal_on_its_way_to_a_frozen_server_is_unknown_and_releases_nothing() {
    let dev = Dev::start();
    dev.create("A", "the value");
    let client = dev.client().await;
    let workspace = "demo".parse().expect("a name");
    let wanted = [RequestedValue {
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
    let values = revealed
        .warn(|warning| panic!("a false alarm: {warning}"))
        .values;
    assert_eq!(values[0].value.as_slice(), b"the value");
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

/// Sends a request until its fate is known, and returns its entry's index.
async fn carried_out(nats: &Nats, request: &[u8]) -> u64 {
    let again = async {
        loop {
            let reply = nats.request(COMMAND, request).await;
            match cbor::decode(&reply.payload).expect("a reply") {
                CommandReply::Committed(done) => return done.receipt.index.0,
                CommandReply::Refused(signed) => {
                    let reply = cose::open::<Reply>(&signed.0)
                        .expect("a signed reply")
                        .payload;
                    let ReplyBody::Error(rejection) = reply.body else {
                        panic!("an answer to a command")
                    };
                    let passing = matches!(
                        rejection.code,
                        Code::Busy | Code::AuditUnknown | Code::AuditUnavailable
                    );
                    assert!(passing, "{rejection}");
                }
            }
            // The ledger is resolving the unknown append.
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
        // Existing values can be read.
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
        dev.stderr().contains("nats-server stopped"),
        "{}",
        dev.stderr()
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
