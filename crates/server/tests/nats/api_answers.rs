//! JetStream's own answers go where the asking user says, with the rights of the whole account. What
//! the service's user cannot make of that, and what it still can: docs/adr/0002-no-direct-get.md.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use keyroll_server::nats::{Endpoint, LedgerStream, check_streams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::permissions::{DELETE_VAULT, publish};
use crate::support::{Connection, Harness, SOON, next};

const UPDATE_LOG: &str = "$JS.API.STREAM.UPDATE.KEYROLL_LOG";
const DIRECT_GET: &str = "$JS.API.DIRECT.GET.KEYROLL_VAULT";
const MSG_GET: &str = "$JS.API.STREAM.MSG.GET.KEYROLL_VAULT";
const DELETE_LOG: &str = "$JS.API.STREAM.DELETE.KEYROLL_LOG";
/// Where an attack succeeds, its effect shows within milliseconds.
const SETTLE: Duration = Duration::from_millis(500);

/// A request that would have the log forget what is older than a quarter of an hour.
fn forgetful_log() -> String {
    let forgetful = Config {
        max_age: Duration::from_secs(900),
        ..LedgerStream::Log.config(1)
    };
    serde_json::to_string(&forgetful).unwrap()
}

fn place(number: usize) -> String {
    format!("keyroll.vault.demo.aa.{number}")
}

async fn store(service: &Connection, place: &str, bytes: &str) {
    publish(service, place, bytes.into(), 0).await.unwrap();
}

async fn ask(from: &Connection, subject: &str, body: &Value, reply: &str) {
    let body = body.to_string().into();
    from.client
        .publish_with_reply(subject.to_owned(), reply.to_owned(), body)
        .await
        .unwrap();
}

/// A pull consumer of the vault's messages below `filter`; returns the subject to ask it at.
async fn consumer(service: &Connection, name: &str, filter: &str) -> String {
    let request = json!({
        "stream_name": "KEYROLL_VAULT",
        "config": {"name": name, "filter_subject": filter, "ack_policy": "none", "mem_storage": true},
    });
    let subject = format!("$JS.API.CONSUMER.CREATE.KEYROLL_VAULT.{name}.{filter}");
    let answer = service
        .client
        .request(subject, request.to_string().into())
        .await
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["name"], name, "{answer}");
    format!("$JS.API.CONSUMER.MSG.NEXT.KEYROLL_VAULT.{name}")
}

/// Waits until `check_streams` complains with these words.
async fn until_streams_are(service: &Connection, wanted: &str) {
    let complaint = async {
        loop {
            match check_streams(&service.client).await {
                Err(error) if error.to_string().contains(wanted) => return,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(SOON, complaint)
        .await
        .unwrap_or_else(|_elapsed| panic!("the streams never became so: {wanted}"));
}

/// Makes the vault answer direct gets, and adds this one permission to the running server's
/// configuration. Returns a connection that has it.
async fn with_direct_get(nats: &Harness) -> Connection {
    let vault = Config {
        allow_direct: true,
        ..LedgerStream::Vault.config(1)
    };
    let operator = nats.operator().await;
    operator.jetstream().update_stream(vault).await.unwrap();

    let Endpoint::Private { run_dir } = &nats.config.endpoint else {
        panic!("the harness runs private servers");
    };
    let rendered = nats.config.render().unwrap();
    let allowed = rendered.replacen(MSG_GET, &format!("{MSG_GET}\"\n\"{DIRECT_GET}"), 1);
    assert_ne!(rendered, allowed);
    std::fs::write(run_dir.join("nats-server.conf"), allowed).unwrap();
    let server = Pid::from_raw(nats.server.pid().try_into().unwrap());
    kill(server, Signal::SIGHUP).unwrap();

    let permitted = async {
        loop {
            let mut service = nats.service().await;
            let client = service.client.clone();
            tokio::select! {
                answer = client.request(DIRECT_GET, "{\"seq\":1}".into()) => {
                    answer.unwrap();
                    return service;
                }
                () = service.refused("publish", DIRECT_GET) => {}
            }
        }
    };
    tokio::time::timeout(SOON, permitted)
        .await
        .expect("the server did not take the permission")
}

#[tokio::test]
async fn what_the_service_stores_becomes_no_request_of_its_own() {
    let nats = Harness::new().await;
    let (mut operator, mut service) = (nats.operator().await, nats.service().await);
    let attacks = [
        (DELETE_VAULT, String::new()),
        (DELETE_VAULT, "sealed".to_owned()),
        (UPDATE_LOG, String::new()),
        (UPDATE_LOG, forgetful_log()),
    ];
    for (number, (reply, bytes)) in attacks.iter().enumerate() {
        let place = place(number);
        store(&service, &place, bytes).await;
        let by_place = json!({"last_by_subj": place});

        for direct in [DIRECT_GET, &format!("{DIRECT_GET}.{place}")] {
            ask(&service, direct, &by_place, reply).await;
            service.refused("publish", direct).await;
        }

        // The other answers do go out, and are seen to: as JSON, or as the message that it was.
        let mut answers = operator.subscribed(reply).await;
        ask(&service, MSG_GET, &by_place, reply).await;
        let answer: Value = serde_json::from_slice(&next(&mut answers).await.payload).unwrap();
        assert_eq!(answer["message"]["subject"], place, "{answer}");
        let pull = consumer(&service, &format!("c{number}"), &place).await;
        let one = json!({"batch": 1, "no_wait": true});
        ask(&service, &pull, &one, reply).await;
        let answer = next(&mut answers).await;
        assert_eq!(answer.subject.as_str(), place);
        assert_eq!(answer.payload, *bytes);
    }
    tokio::time::sleep(SETTLE).await;
    let found = check_streams(&service.client).await.unwrap();
    let messages: Vec<u64> = found.iter().map(|found| found.messages).collect();
    assert_eq!(messages, [0, 4, 0]);
}

/// The control of the test above: one permission more, and both attacks succeed.
#[tokio::test]
async fn with_direct_get_it_becomes_any_request() {
    let nats = Harness::new().await;
    let service = with_direct_get(&nats).await;
    for (number, reply, bytes, outcome) in [
        (0, UPDATE_LOG, forgetful_log(), "KEYROLL_LOG has max_age"),
        (1, DELETE_VAULT, String::new(), "KEYROLL_VAULT is missing"),
    ] {
        let place = place(number);
        store(&service, &place, &bytes).await;
        let before = check_streams(&service.client).await.unwrap_err();
        assert!(!before.to_string().contains(outcome), "{before}");
        ask(&service, DIRECT_GET, &json!({"last_by_subj": place}), reply).await;
        until_streams_are(&service, outcome).await;
    }
}

/// What is not closed: a pull request without a message to give is answered with an empty status, and
/// an empty request deletes. When this fails, the gap is gone: correct docs/operations.md and the ADR.
#[tokio::test]
async fn an_empty_pull_still_deletes_a_stream() {
    let nats = Harness::new().await;
    let service = nats.service().await;
    let pull = consumer(&service, "empty", &place(0)).await;
    let one = json!({"batch": 1, "no_wait": true});
    check_streams(&service.client).await.unwrap();
    ask(&service, &pull, &one, DELETE_LOG).await;
    until_streams_are(&service, "KEYROLL_LOG is missing").await;
}
