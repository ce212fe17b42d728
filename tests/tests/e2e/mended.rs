//! A damaged value counts as lost while it is damaged, and no longer.

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures::TryStreamExt as _;
use keyroll_tests::harness::Cluster;

/// Puts other bytes under a subject, as an operator who restores a backup, or no bytes.
async fn replace(cluster: &Cluster, stream: &Stream<()>, subject: &str, bytes: Option<Bytes>) {
    let operator = cluster.operator(0).await;
    let there = stream.get_last_raw_message_by_subject(subject).await;
    if let Ok(message) = there {
        stream
            .delete_message(message.sequence)
            .await
            .expect("deleted");
    }
    if let Some(bytes) = bytes {
        let message = PublishMessage::build().payload(bytes);
        let context = async_nats::jetstream::new(operator);
        let sent = context.send_publish(subject.to_owned(), message).await;
        sent.expect("sent").await.expect("stored");
    }
}

async fn is_lost_until_mended(stream: &str, filter: &str) {
    let cluster = Cluster::start(1, 1);
    let mut service = cluster.serve(0, 0, 0);
    let create = ["workspace", "create", "demo"];
    cluster.keyroll(create).run().code(0);
    let create = ["secret", "create", "A", "--stdin"];
    cluster.keyroll(create).stdin("the value").run().code(0);
    let context = async_nats::jetstream::new(cluster.operator(0).await);
    let stored = context.get_stream_no_info(stream).await.expect("a stream");
    let subjects = stored.info_with_subjects(filter).await.expect("subjects");
    let subjects: Vec<(String, usize)> = subjects.try_collect().await.expect("subjects");
    let [(subject, _)] = subjects.as_slice() else {
        panic!("one message: {subjects:?}")
    };
    let whole = stored.get_last_raw_message_by_subject(subject).await;
    let whole = whole.expect("it is there").payload;
    let mut flipped = whole.to_vec();
    *flipped.last_mut().expect("bytes") ^= 1;
    let cut = whole.slice(..whole.len() / 2);
    for hurt in [Some(flipped.into()), Some(cut), Some(Bytes::new()), None] {
        // A service with nothing in memory yet.
        drop(service);
        service = cluster.serve(0, 0, 0);
        replace(&cluster, &stored, subject, hurt).await;
        for _ in 0..2 {
            let lost = cluster.keyroll(["secret", "reveal", "A"]).run().code(6);
            lost.error_code("value_lost").lacks("the value");
        }
        replace(&cluster, &stored, subject, Some(whole.clone())).await;
        let revealed = cluster.keyroll(["secret", "reveal", "A"]).run().code(0);
        revealed.stdout("the value");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_lost_until_the_vault_is_right_again() {
    is_lost_until_mended("KEYROLL_VAULT", "keyroll.vault.demo.>").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_lost_until_its_wrapping_key_is_right_again() {
    is_lost_until_mended("KEYROLL_KEYS", "keyroll.keys.demo.>").await;
}
