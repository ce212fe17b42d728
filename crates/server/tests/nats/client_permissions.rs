//! Permissions of the NATS users of clients and of the responder, on a real nats-server.

use keyroll_server::nats::check_streams;
use keyroll_server::nats::permissions::{SERVICE_INBOX, is_client_inbox};

use crate::permissions::DELETE_VAULT;
use crate::support::{Harness, next};

#[tokio::test]
async fn a_client_reaches_its_workspace_and_nothing_else() {
    let nats = Harness::new().await;
    let mut alice = nats.client(&["demo"]).await;
    for subject in [
        ">",
        "keyroll.>",
        "keyroll.log.>",
        "keyroll.vault.>",
        "keyroll.keys.>",
        // Would take requests meant for the service.
        "keyroll.v1.>",
        "keyroll.v1.demo.command",
        "keyroll.events.>",
        "keyroll.events.other.>",
        "_INBOX.>",
        "_INBOX_client.>",
        "_INBOX_client.*.>",
        "_INBOX_client.bob.>",
        "_INBOX_service.>",
        "$SRV.>",
        "$JS.>",
        "$SYS.>",
    ] {
        alice.cannot_subscribe(subject).await;
    }
    let stolen = alice
        .client
        .queue_subscribe("keyroll.v1.>", "service".to_owned())
        .await;
    alice.refused("subscription", "keyroll.v1.>").await;
    drop(stolen);
    for subject in [
        "keyroll.log.demo",
        "keyroll.vault.demo.aa.0",
        "keyroll.keys.demo.0",
        "keyroll.v1.other.command",
        "keyroll.events.demo.changed",
        "_INBOX_client.bob.x",
        "_INBOX_service.x",
        "$JS.API.INFO",
        "$JS.API.STREAM.INFO.KEYROLL_LOG",
        "$SYS.REQ.SERVER.PING",
        DELETE_VAULT,
    ] {
        alice.cannot_publish(subject, "").await;
    }
    assert_eq!(
        check_streams(&nats.service().await.client)
            .await
            .unwrap()
            .len(),
        4
    );
}

#[tokio::test]
async fn a_client_is_answered_and_notified() {
    let nats = Harness::new().await;
    let (mut alice, mut responder) = (nats.client(&["demo"]).await, nats.responder().await);
    let mut notices = alice.subscribed("keyroll.events.demo.>").await;
    let mut requests = responder.subscribed("keyroll.v1.>").await;
    let mut pings = responder.subscribed("$SRV.PING.keyroll").await;
    for subject in [
        "keyroll.v1.demo.command",
        "keyroll.v1._ledger.info",
        "$SRV.PING.keyroll",
    ] {
        let incoming = if subject == "$SRV.PING.keyroll" {
            &mut pings
        } else {
            &mut requests
        };
        let answer = async {
            let request = next(incoming).await;
            let reply = request.reply.unwrap();
            assert!(is_client_inbox(&reply), "{reply}");
            responder.client.publish(reply, "yes".into()).await.unwrap();
        };
        let (reply, ()) = tokio::join!(alice.client.request(subject, "".into()), answer);
        assert_eq!(reply.unwrap().payload, "yes");
    }
    responder
        .client
        .publish("keyroll.events.demo.changed", "7".into())
        .await
        .unwrap();
    assert_eq!(next(&mut notices).await.payload, "7");
}

#[tokio::test]
async fn the_responder_has_no_way_into_the_streams() {
    let nats = Harness::new().await;
    let mut responder = nats.responder().await;
    for subject in [
        "keyroll.log.demo",
        "$JS.API.INFO",
        DELETE_VAULT,
        "_INBOX_service.x",
        "keyroll.v1.demo.command",
    ] {
        responder.cannot_publish(subject, "").await;
    }
    for subject in [">", "keyroll.log.>", "_INBOX_client.>", SERVICE_INBOX] {
        responder.cannot_subscribe(subject).await;
    }
}
