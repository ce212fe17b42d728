//! A caller chooses the reply subject of its request. These tests show that it cannot misuse it, and that
//! without the permissions it could.

use keyroll_server::nats::check_streams;
use keyroll_server::nats::permissions::is_client_inbox;

use crate::permissions::{DELETE_VAULT, VAULT_PLACE, publish};
use crate::support::{Connection, Harness, SOON, next};

/// Sends a request with the reply subject `reply`, and answers it without checking the subject.
async fn answer_blindly(caller: &Connection, responder: &mut Connection, reply: &str) {
    let mut requests = responder.subscribed("keyroll.v1.>").await;
    caller
        .client
        .publish_with_reply("keyroll.v1.demo.command", reply.to_owned(), "".into())
        .await
        .unwrap();
    let request = next(&mut requests).await;
    assert_eq!(request.reply.as_deref(), Some(reply));
    responder
        .client
        .publish(request.reply.unwrap(), "".into())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_hostile_reply_subject_reaches_nothing() {
    let nats = Harness::new().await;
    let (alice, mut responder) = (nats.client(&["demo"]).await, nats.responder().await);
    let service = nats.service().await;
    publish(&service, VAULT_PLACE, b"sealed".to_vec(), 0)
        .await
        .unwrap();
    for reply in [
        DELETE_VAULT,
        "$JS.API.STREAM.PURGE.KEYROLL_VAULT",
        "keyroll.log.demo",
        "keyroll.v1.other.command",
    ] {
        assert!(!is_client_inbox(reply));
        answer_blindly(&alice, &mut responder, reply).await;
        responder.refused("publish", reply).await;
    }
    let found = check_streams(&service.client).await.unwrap();
    let messages: Vec<u64> = found.iter().map(|found| found.messages).collect();
    assert_eq!(messages, [0, 1, 0, 0]);
}

/// The control of the test above: the same answer deletes the stream if the responder is a user of the
/// streams' account that may publish anything.
#[tokio::test]
async fn the_same_reply_deletes_a_stream_where_the_responder_may() {
    let nats = Harness::new().await;
    let (caller, mut responder) = (nats.operator().await, nats.operator().await);
    answer_blindly(&caller, &mut responder, DELETE_VAULT).await;
    let deleted = async {
        while check_streams(&caller.client).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, deleted)
        .await
        .expect("the vault is still there");
    let error = check_streams(&caller.client).await.unwrap_err();
    assert!(
        error.to_string().contains("KEYROLL_VAULT is missing"),
        "{error}"
    );
}
