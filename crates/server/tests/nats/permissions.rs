//! Permissions of the NATS users of the service and of the operator, on a real nats-server. Each refusal
//! is the server's own error: silence proves nothing.

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Config;
use futures::StreamExt as _;
use keyroll_core::Sequence;
use keyroll_server::nats::LOG_MESSAGE_MAX;
use keyroll_server::nats::{LedgerStream, check_streams};
use keyroll_store::log::{AppendError, JetStreamLog, Log as _};

use crate::support::{Connection, Harness, SOON};

pub(super) const DELETE_VAULT: &str = "$JS.API.STREAM.DELETE.KEYROLL_VAULT";
pub(super) const VAULT_PLACE: &str = "keyroll.vault.demo.aa.0";

pub(super) async fn publish(
    from: &Connection,
    subject: &str,
    payload: Vec<u8>,
    fence: u64,
) -> Result<u64, u64> {
    let message = PublishMessage::build()
        .payload(payload.into())
        .expected_last_subject_sequence(fence)
        .outbound_message(subject.to_owned());
    let response = from.client.request_with_headers(
        subject.to_owned(),
        message.headers.unwrap_or_default(),
        message.payload,
    );
    let answer: serde_json::Value =
        serde_json::from_slice(&response.await.unwrap().payload).unwrap();
    match answer["error"]["err_code"].as_u64() {
        Some(code) => Err(code),
        None => Ok(answer["seq"].as_u64().unwrap()),
    }
}

#[tokio::test]
async fn the_service_appends_under_a_fence_and_reads_back() {
    let nats = Harness::new().await;
    let service = nats.service().await;
    assert_eq!(
        publish(&service, "keyroll.log.demo", b"one".to_vec(), 0).await,
        Ok(1)
    );
    assert_eq!(
        publish(&service, "keyroll.log.other", b"two".to_vec(), 0).await,
        Ok(2)
    );
    assert_eq!(
        publish(&service, "keyroll.log.demo", b"three".to_vec(), 1).await,
        Ok(3)
    );
    assert_eq!(
        publish(&service, "keyroll.log.demo", b"late".to_vec(), 1).await,
        Err(10071)
    );

    let log = service
        .jetstream()
        .get_stream_no_info("KEYROLL_LOG")
        .await
        .unwrap();
    assert_eq!(log.get_raw_message(3).await.unwrap().payload, "three");
    let last = log
        .get_last_raw_message_by_subject("keyroll.log.demo")
        .await
        .unwrap();
    assert_eq!(last.sequence, 3);

    publish(&service, VAULT_PLACE, b"sealed".to_vec(), 0)
        .await
        .unwrap();
    let vault = service
        .jetstream()
        .get_stream_no_info("KEYROLL_VAULT")
        .await
        .unwrap();
    assert_eq!(
        vault
            .get_last_raw_message_by_subject(VAULT_PLACE)
            .await
            .unwrap()
            .payload,
        "sealed"
    );
    assert_eq!(vault.get_raw_message(1).await.unwrap().payload, "sealed");
    assert_eq!(
        check_streams(&service.client).await.unwrap()[0].last_sequence,
        3
    );
}

#[tokio::test]
async fn the_service_follows_the_log() {
    // More than one pull request asks for.
    const MESSAGES: u64 = 5_400;
    let nats = Harness::new().await;
    let service = nats.service().await;
    let log = JetStreamLog::open(service.client.clone()).await.unwrap();
    let appended = futures::stream::iter(0..54).for_each_concurrent(None, |number| {
        let (log, workspace) = (&log, format!("w{number}").parse().unwrap());
        async move {
            let mut last = Sequence(0);
            for _ in 0..MESSAGES / 54 {
                let commit = vec![0; 1_024].into();
                last = log.append(&workspace, commit, last).await.unwrap();
            }
        }
    });
    let mut followed = log.follow(Sequence(0));
    let all = async {
        for sequence in 1..=MESSAGES {
            let message = followed.next().await.unwrap().unwrap();
            assert_eq!(message.sequence, Sequence(sequence));
        }
    };
    let all = tokio::time::timeout(SOON, all);
    let (all, ()) = tokio::join!(all, appended);
    all.expect("following stalled");
}

#[tokio::test]
async fn the_largest_message_goes_there_and_back_as_it_was() {
    let nats = Harness::new().await;
    let service = nats.service().await;
    let log = service
        .jetstream()
        .get_stream_no_info("KEYROLL_LOG")
        .await
        .unwrap();
    // The header counts; one byte more is refused.
    let header = "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 0\r\n\r\n".len();
    let fits = usize::try_from(LOG_MESSAGE_MAX).unwrap() - header;
    let tried = publish(&service, "keyroll.log.demo", vec![7; fits + 1], 0).await;
    assert_eq!(tried, Err(10054));
    let tried = publish(&service, "keyroll.log.demo", vec![7; fits], 0).await;
    assert_eq!(tried, Ok(1));
    let stored = log.get_raw_message(1).await.unwrap();
    assert_eq!(stored.payload, vec![7; fits]);
    let names: Vec<_> = stored
        .headers
        .iter()
        .map(|(name, _)| name.to_string())
        .collect();
    assert_eq!(names, ["Nats-Expected-Last-Subject-Sequence"]);
}

#[tokio::test]
async fn an_append_to_a_missing_stream_is_known_to_be_none() {
    let nats = Harness::bare().await;
    let service = nats.service().await;
    let log = JetStreamLog::open(service.client.clone()).await.unwrap();
    let tried = log
        .append(&"demo".parse().unwrap(), "one".into(), Sequence(0))
        .await;
    assert!(
        matches!(tried, Err(AppendError::NotAppended(_))),
        "{tried:?}"
    );
}

#[tokio::test]
async fn the_service_cannot_change_empty_or_delete_a_stream() {
    let nats = Harness::new().await;
    let mut service = nats.service().await;
    publish(&service, "keyroll.log.demo", b"one".to_vec(), 0)
        .await
        .unwrap();
    publish(&service, VAULT_PLACE, b"sealed".to_vec(), 0)
        .await
        .unwrap();

    for stream in LedgerStream::ALL {
        let mut update = stream.config(1);
        update.max_age = std::time::Duration::from_secs(1);
        let update = serde_json::to_string(&update).unwrap();
        for (call, payload) in [
            ("UPDATE", update.as_str()),
            ("PURGE", ""),
            ("DELETE", ""),
            ("SNAPSHOT", "{}"),
            ("RESTORE", "{}"),
            ("CREATE", update.as_str()),
        ] {
            service
                .cannot_publish(&format!("$JS.API.STREAM.{call}.{stream}"), payload)
                .await;
        }
        service
            .cannot_publish(&format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.x"), "{}")
            .await;
    }
    service
        .cannot_publish("$JS.API.STREAM.MSG.DELETE.KEYROLL_LOG", "{\"seq\":1}")
        .await;
    let other = Config {
        name: "OTHER".to_owned(),
        subjects: vec!["other".to_owned()],
        ..Config::default()
    };
    let other = serde_json::to_string(&other).unwrap();
    service
        .cannot_publish("$JS.API.STREAM.CREATE.OTHER", &other)
        .await;
    service.cannot_publish("keyroll.v1.demo.command", "").await;

    for subject in ["keyroll.>", ">", "$JS.>", "_INBOX.>", "_INBOX_operator.>"] {
        service.cannot_subscribe(subject).await;
    }
    let found = check_streams(&service.client).await.unwrap();
    let messages: Vec<u64> = found.iter().map(|found| found.messages).collect();
    assert_eq!(messages, [1, 1, 0, 0]);
}

#[tokio::test]
async fn the_log_refuses_deletion_and_purge_even_to_an_operator() {
    let nats = Harness::new().await;
    let (operator, service) = (nats.operator().await, nats.service().await);
    publish(&service, "keyroll.log.demo", b"one".to_vec(), 0)
        .await
        .unwrap();
    let log = operator
        .jetstream()
        .get_stream("KEYROLL_LOG")
        .await
        .unwrap();
    log.delete_message(1).await.unwrap_err();
    log.purge().await.unwrap_err();
    assert_eq!(log.get_info().await.unwrap().state.messages, 1);
}

#[tokio::test]
async fn the_service_erases_from_vault_and_keys_and_replaces_nothing() {
    let nats = Harness::new().await;
    let service = nats.service().await;
    for (stream, subject) in [
        ("KEYROLL_VAULT", VAULT_PLACE),
        ("KEYROLL_KEYS", "keyroll.keys.demo.0"),
        ("KEYROLL_KEYS", "keyroll.keys._sealing.20000"),
        ("KEYROLL_TOKENS", "keyroll.tokens.demo.aa"),
    ] {
        let sequence = publish(&service, subject, b"first".to_vec(), 0)
            .await
            .unwrap();
        assert_eq!(
            publish(&service, subject, b"second".to_vec(), 0).await,
            Err(10071)
        );
        // Without a fence, or past the right one, the stream itself keeps the first.
        let unfenced = service
            .client
            .request(subject, "second".into())
            .await
            .unwrap();
        let unfenced: serde_json::Value = serde_json::from_slice(&unfenced.payload).unwrap();
        assert_eq!(unfenced["error"]["err_code"], 10077, "{unfenced}");
        assert_eq!(
            publish(&service, subject, b"second".to_vec(), sequence).await,
            Err(10077)
        );

        let stream = service
            .jetstream()
            .get_stream_no_info(stream)
            .await
            .unwrap();
        let kept = stream
            .get_last_raw_message_by_subject(subject)
            .await
            .unwrap();
        assert_eq!(kept.payload, "first");
        assert!(stream.delete_message(sequence).await.unwrap());
        stream
            .get_last_raw_message_by_subject(subject)
            .await
            .unwrap_err();
        publish(&service, subject, b"again".to_vec(), 0)
            .await
            .unwrap();
    }
}
