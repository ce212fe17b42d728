//! JetStream sends its answers to the subject that the asking user chose, with the rights of the streams'
//! account. A user of that account could attack with this; the service's user cannot:
//! docs/adr/0005-service-account.md.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use futures::FutureExt as _;
use futures::StreamExt as _;
use keyroll_nats::jwt::{Template, User};
use keyroll_server::nats::permissions::{Permissions, SERVICE_INBOX, borrower, service_exports};
use keyroll_server::nats::{AccountName, LedgerStream, check_streams};
use serde_json::{Value, json};

use crate::permissions::{DELETE_VAULT, publish};
use crate::support::{Connection, Harness, SOON, next, user_of};

const UPDATE_LOG: &str = "$JS.API.STREAM.UPDATE.KEYROLL_LOG";
const DIRECT_GET: &str = "$JS.API.DIRECT.GET.KEYROLL_VAULT";
const MSG_GET: &str = "$JS.API.STREAM.MSG.GET.KEYROLL_VAULT";
const PURGE_VAULT: &str = "$JS.API.STREAM.PURGE.KEYROLL_VAULT";
const DELETE_LOG: &str = "$JS.API.STREAM.DELETE.KEYROLL_LOG";
/// A successful attack shows its effect within milliseconds.
const SETTLE: Duration = Duration::from_millis(500);

/// A request that would make the log delete messages older than a quarter of an hour.
fn forgetful_log() -> String {
    let forgetful = Config {
        max_age: Duration::from_secs(900),
        ..LedgerStream::Log.config(1)
    };
    serde_json::to_string(&forgetful).unwrap()
}

fn object_subject(number: usize) -> String {
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

/// Creates a pull consumer of the vault's messages below `filter`. Returns the subject of its requests.
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

/// Waits until `check_streams` reports this error.
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

/// A user with the service's permissions in the streams' own account, and with direct gets of the vault.
async fn in_the_streams_account(nats: &Harness) -> Connection {
    let vault = Config {
        allow_direct: true,
        ..LedgerStream::Vault.config(1)
    };
    let operator = nats.operator().await;
    operator.jetstream().update_stream(vault).await.unwrap();
    let Permissions {
        mut publish,
        subscribe,
    } = borrower(service_exports(), SERVICE_INBOX);
    publish.push(DIRECT_GET.to_owned());
    let user = User::own(Template::new(publish, subscribe));
    let account = nats.keys.account(AccountName::Ledger);
    let creds = user_of(account, "service", user, (0, None));
    nats.connect(&creds, SERVICE_INBOX).await
}

#[tokio::test]
async fn no_answer_to_the_service_becomes_a_request() {
    let nats = Harness::new().await;
    let (mut operator, mut service) = (nats.operator().await, nats.service().await);
    let mut arrived = Vec::new();
    for call in ["DELETE", "PURGE", "UPDATE"] {
        arrived.push(
            operator
                .subscribed(&format!("$JS.API.STREAM.{call}.*"))
                .await,
        );
    }
    for (number, bytes) in [String::new(), "sealed".to_owned(), forgetful_log()]
        .iter()
        .enumerate()
    {
        let place = object_subject(number);
        store(&service, &place, bytes).await;
        let by_place = json!({"last_by_subj": place});
        let full = consumer(&service, &format!("full{number}"), &place).await;
        let empty = consumer(
            &service,
            &format!("empty{number}"),
            "keyroll.vault.none.aa.0",
        )
        .await;
        let gone = consumer(
            &service,
            &format!("gone{number}"),
            "keyroll.vault.none.aa.1",
        )
        .await;
        let (once, waits) = (
            json!({"batch": 1, "no_wait": true}),
            json!({"batch": 1, "expires": 50_000_000}),
        );
        for reply in [DELETE_LOG, DELETE_VAULT, PURGE_VAULT, UPDATE_LOG] {
            for (request, body) in [
                (full.as_str(), &once),
                (&empty, &once),
                (&empty, &waits),
                (&empty, &Value::Null),
                (&gone, &json!({"batch": 1, "expires": 20_000_000_000_u64})),
                (MSG_GET, &by_place),
                ("$JS.API.STREAM.INFO.KEYROLL_LOG", &Value::Null),
                ("$JS.API.INFO", &Value::Null),
                (&place, &Value::Null),
            ] {
                ask(&service, request, body, reply).await;
            }
            ask(&service, DIRECT_GET, &by_place, reply).await;
            service.refused("publish", DIRECT_GET).await;
        }
        // With a permitted reply subject there is an answer, so the attacks were valid requests.
        let status = |pull: String, body: Value| {
            let client = service.client.clone();
            async move {
                let answer = client.request(pull, body.to_string().into()).await.unwrap();
                assert!(answer.payload.is_empty());
                answer.status.unwrap().as_u16()
            }
        };
        assert_eq!(status(empty.clone(), once).await, 404);
        assert_eq!(status(empty, waits).await, 408);
        let delete = gone.replace("MSG.NEXT", "DELETE");
        service.client.request(delete, "".into()).await.unwrap();
    }
    tokio::time::sleep(SETTLE).await;
    for arrived in &mut arrived {
        let message = arrived.next().now_or_never().flatten();
        assert!(message.is_none(), "{message:?}");
    }
    let found = check_streams(&service.client).await.unwrap();
    let messages: Vec<u64> = found.iter().map(|found| found.messages).collect();
    assert_eq!(messages, [0, 3, 0, 0]);
}

/// The control of the test above: a user of the streams' account stores a request and gets it back.
#[tokio::test]
async fn in_the_streams_account_a_direct_get_becomes_any_request() {
    let nats = Harness::new().await;
    let service = in_the_streams_account(&nats).await;
    for (number, reply, bytes, outcome) in [
        (0, UPDATE_LOG, forgetful_log(), "KEYROLL_LOG has max_age"),
        (1, DELETE_VAULT, String::new(), "KEYROLL_VAULT is missing"),
    ] {
        let place = object_subject(number);
        store(&service, &place, &bytes).await;
        let before = check_streams(&service.client).await.unwrap_err();
        assert!(!before.to_string().contains(outcome), "{before}");
        ask(&service, DIRECT_GET, &json!({"last_by_subj": place}), reply).await;
        until_streams_are(&service, outcome).await;
    }
}

/// The control for pulls, which the service needs: the answer to a pull without a message is an empty
/// status, and an empty request deletes a stream.
#[tokio::test]
async fn in_the_streams_account_an_empty_pull_deletes_a_stream() {
    let nats = Harness::new().await;
    let mut operator = nats.operator().await;
    let service = in_the_streams_account(&nats).await;
    let mut arrived = operator.subscribed(DELETE_LOG).await;
    let pull = consumer(&service, "empty", &object_subject(0)).await;
    ask(
        &service,
        &pull,
        &json!({"batch": 1, "no_wait": true}),
        DELETE_LOG,
    )
    .await;
    assert!(next(&mut arrived).await.payload.is_empty());
    until_streams_are(&service, "KEYROLL_LOG is missing").await;
}
