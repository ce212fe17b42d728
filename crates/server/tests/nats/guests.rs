//! Guests: whoever connects without credentials.

use async_nats::ConnectOptions;
use keyroll_nats::creds::seconds;
use keyroll_nats::jwt::{self, TimeRange, User};
use keyroll_server::nats::AccountName;
use keyroll_server::nats::permissions::{GUEST_INBOX, GUEST_REQUESTS, guest_arrival, is_crossing};

use crate::permissions::DELETE_VAULT;
use crate::support::{Connection, Harness, next, user_of};

async fn guest(nats: &Harness) -> Connection {
    let inbox = format!("{GUEST_INBOX}.x");
    let tried = nats.try_connect(ConnectOptions::new(), &inbox).await;
    tried.unwrap()
}

#[tokio::test]
async fn a_guest_is_answered_to_four_requests_and_reaches_nothing_else() {
    let nats = Harness::new().await;
    let (mut guest, mut responder) = (guest(&nats).await, nats.responder().await);
    let mut requests = responder.subscribed("keyroll.v1.>").await;
    for subject in GUEST_REQUESTS {
        let answer = async {
            let request = next(&mut requests).await;
            assert_eq!(&*request.subject, guest_arrival(subject));
            let reply = request.reply.unwrap();
            assert!(is_crossing(&reply), "{reply}");
            responder.client.publish(reply, "yes".into()).await.unwrap();
        };
        let (reply, ()) = tokio::join!(guest.client.request(subject, "".into()), answer);
        assert_eq!(reply.unwrap().payload, "yes");
    }
    for subject in [
        "keyroll.v1._ledger.query",
        "keyroll.v1._guest.info",
        "keyroll.v1.demo.command",
        "keyroll.v1.demo.query",
        "$SRV.PING.keyroll",
        "keyroll.log.demo",
        "$JS.API.INFO",
        "$SYS.REQ.SERVER.PING",
        DELETE_VAULT,
    ] {
        guest.cannot_publish(subject, "").await;
    }
    for subject in [
        ">",
        "keyroll.>",
        "keyroll.v1._ledger.info",
        "_INBOX_client.>",
        "_INBOX_service.>",
        "_R_.>",
        "keyroll.events.>",
        "$SYS.>",
    ] {
        guest.cannot_subscribe(subject).await;
    }
}

/// Guests share an inbox, so answers to them are sealed. They cannot hear anybody else.
#[tokio::test]
async fn guests_hear_each_other_and_nobody_else() {
    let nats = Harness::new().await;
    let (mut one, other) = (guest(&nats).await, guest(&nats).await);
    let all = one
        .client
        .subscribe(format!("{GUEST_INBOX}.>"))
        .await
        .unwrap();
    let mut all = all;
    one.client.flush().await.unwrap();
    let mut responder = nats.responder().await;
    let mut requests = responder.subscribed("keyroll.v1.>").await;
    let answer = async {
        let reply = next(&mut requests).await.reply.unwrap();
        responder
            .client
            .publish(reply, "sealed".into())
            .await
            .unwrap();
    };
    let (_, ()) = tokio::join!(other.client.request(GUEST_REQUESTS[0], "".into()), answer);
    assert_eq!(next(&mut all).await.payload, "sealed");
    one.cannot_subscribe("_INBOX_client.>").await;
}

/// A guest's own reply subject is not used across accounts, whatever it is.
#[tokio::test]
async fn a_guests_reply_subject_reaches_nothing() {
    let nats = Harness::new().await;
    let (guest, mut responder) = (guest(&nats).await, nats.responder().await);
    let mut requests = responder.subscribed("keyroll.v1.>").await;
    for reply in [
        DELETE_VAULT,
        "keyroll.log.demo",
        "_INBOX_client.alice.x",
        "keyroll.v1._ledger.info",
    ] {
        guest
            .client
            .publish_with_reply(GUEST_REQUESTS[0], reply.to_owned(), "".into())
            .await
            .unwrap();
        let seen = next(&mut requests).await.reply.unwrap();
        assert!(seen.starts_with("_R_."), "{seen}");
        responder.client.publish(seen, "".into()).await.unwrap();
    }
    let found = keyroll_server::nats::check_streams(&nats.service().await.client).await;
    assert!(found.unwrap().iter().all(|stream| stream.messages == 0));
}

#[tokio::test]
async fn guests_are_few() {
    let nats = Harness::bare().await;
    let mut connected = Vec::new();
    let refused = loop {
        match nats
            .try_connect(ConnectOptions::new(), "_INBOX_guest.x")
            .await
        {
            Ok(guest) => connected.push(guest),
            Err(refused) => break refused,
        }
        assert!(connected.len() <= 64, "no bound");
    };
    assert_eq!(connected.len(), 64, "{refused}");
    // Members are not among them.
    nats.client(&["demo"]).await;
}

/// The sentinel has such ranges for the whole day: a guest cannot stay.
#[tokio::test]
async fn a_guests_connection_ends_with_its_range_of_the_day() {
    let nats = Harness::bare().await;
    let claims: jwt::Claims<User> = jwt::open(&nats.config.trust.sentinel).unwrap();
    assert_eq!(claims.nats.times.len(), 24 * 12);
    let clock = |from_now: u64| {
        let second = seconds() + from_now;
        let (minute, hour) = (second / 60 % 60, second / 3_600 % 24);
        format!("{hour:02}:{minute:02}:{:02}", second % 60)
    };
    let short = User {
        times: vec![TimeRange {
            start: "00:00:00".to_owned(),
            end: clock(3),
        }],
        ..claims.nats
    };
    let account = nats.keys.account(AccountName::Guests);
    let creds = user_of(account, "guest", short, (0, None));
    let mut guest = nats.connect(&creds, "_INBOX_guest.x").await;
    guest.ended("expired").await;
}
