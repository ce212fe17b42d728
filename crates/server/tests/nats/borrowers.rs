//! The users that read for a backup and that purge: each reaches its own streams alone.

use keyroll_server::nats::permissions::{BACKUP_INBOX, BACKUP_KEYS_INBOX, PURGE_INBOX};
use keyroll_server::nats::{LedgerStream, check_streams};
use serde_json::{Value, json};

use crate::permissions::{VAULT_PLACE, publish};
use crate::support::{Connection, Harness, next};

async fn reads(from: &Connection, stream: LedgerStream) -> Value {
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let answer = from.client.request(subject, "{\"seq\":1}".into()).await;
    serde_json::from_slice(&answer.unwrap().payload).unwrap()
}

/// Nothing that changes a stream.
async fn changes_nothing(connection: &mut Connection, stream: LedgerStream) {
    for call in [
        "UPDATE",
        "DELETE",
        "PURGE",
        "SNAPSHOT",
        "RESTORE",
        "CREATE",
        "MSG.DELETE",
    ] {
        let subject = format!("$JS.API.STREAM.{call}.{stream}");
        connection.cannot_publish(&subject, "{}").await;
    }
}

async fn filled() -> Harness {
    let nats = Harness::new().await;
    let service = nats.service().await;
    for (place, bytes) in [
        ("keyroll.log.demo", "commit"),
        (VAULT_PLACE, "sealed"),
        ("keyroll.keys.demo.0", "wrapped"),
        ("keyroll.tokens.demo.a", "token"),
    ] {
        publish(&service, place, bytes.into(), 0).await.unwrap();
    }
    nats
}

#[tokio::test]
async fn a_backup_reads_everything_but_the_keys_and_another_user_the_keys_alone() {
    let nats = Box::pin(filled()).await;
    let mut backup = nats.connect(&nats.users.backup, BACKUP_INBOX).await;
    let mut of_keys = nats
        .connect(&nats.users.backup_keys, BACKUP_KEYS_INBOX)
        .await;
    for stream in LedgerStream::ALL {
        let (may, may_not) = match stream {
            LedgerStream::Keys => (&of_keys, &mut backup),
            _ => (&backup, &mut of_keys),
        };
        assert!(reads(may, stream).await["message"].is_object(), "{stream}");
        let get = format!("$JS.API.STREAM.MSG.GET.{stream}");
        may_not.cannot_publish(&get, "{\"seq\":1}").await;
        changes_nothing(&mut backup, stream).await;
        changes_nothing(&mut of_keys, stream).await;
    }
    for place in ["keyroll.log.demo", VAULT_PLACE, "keyroll.v1.demo.command"] {
        backup.cannot_publish(place, "x").await;
    }
    backup.cannot_subscribe(">").await;
}

#[tokio::test]
async fn the_user_that_purges_reads_and_purges_the_log_and_no_other_stream() {
    let nats = Box::pin(filled()).await;
    let mut purge = nats.connect(&nats.users.purge, PURGE_INBOX).await;
    assert!(reads(&purge, LedgerStream::Log).await["message"].is_object());
    for stream in [
        LedgerStream::Vault,
        LedgerStream::Keys,
        LedgerStream::Tokens,
    ] {
        changes_nothing(&mut purge, stream).await;
    }
    for call in ["UPDATE", "DELETE", "MSG.DELETE", "SNAPSHOT"] {
        let subject = format!("$JS.API.STREAM.{call}.KEYROLL_LOG");
        purge.cannot_publish(&subject, "{}").await;
    }
    // The request arrives. The stream itself refuses, as it does to everybody.
    let subject = "$JS.API.STREAM.PURGE.KEYROLL_LOG";
    let answer = purge.client.request(subject, "{\"seq\":1}".into()).await;
    let answer: Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
    assert!(answer["error"].is_object(), "{answer}");
}

/// A consumer is told where to deliver, and delivers where somebody listens. Even then its messages are no
/// requests in the streams' account: an empty one would delete a stream.
#[tokio::test]
async fn no_consumer_delivers_a_request() {
    const DELETE_TOKENS: &str = "$JS.API.STREAM.DELETE.KEYROLL_TOKENS";
    let nats = Harness::new().await;
    let service = nats.service().await;
    publish(&service, VAULT_PLACE, Vec::new(), 0).await.unwrap();
    let backup = nats.connect(&nats.users.backup, BACKUP_INBOX).await;
    let mut operator = nats.operator().await;
    let mut heard = operator.subscribed(DELETE_TOKENS).await;
    for user in [&service, &backup] {
        for target in [
            "keyroll.log.demo",
            "$JS.API.STREAM.PURGE.KEYROLL_VAULT",
            DELETE_TOKENS,
        ] {
            let name = format!("push{}", target.len());
            let request = json!({
                "stream_name": "KEYROLL_VAULT",
                "config": {"name": name, "deliver_subject": target, "ack_policy": "none", "mem_storage": true},
            });
            let subject = format!("$JS.API.CONSUMER.CREATE.KEYROLL_VAULT.{name}");
            let answer = user.client.request(subject, request.to_string().into());
            let answer = answer.await.unwrap().payload;
            assert!(String::from_utf8_lossy(&answer).contains(target));
        }
        assert!(next(&mut heard).await.payload.is_empty());
        for target in [
            "keyroll.log.demo",
            "$JS.API.STREAM.PURGE.KEYROLL_VAULT",
            DELETE_TOKENS,
        ] {
            let subject = format!("$JS.API.CONSUMER.DELETE.KEYROLL_VAULT.push{}", target.len());
            user.client.request(subject, "".into()).await.unwrap();
        }
    }
    let found = check_streams(&service.client).await.unwrap();
    let messages: Vec<u64> = found.iter().map(|found| found.messages).collect();
    assert_eq!(messages, [0, 1, 0, 0]);
}
