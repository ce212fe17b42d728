//! Creation of the streams, and checks of their settings.

use async_nats::jetstream::stream::{Config, RetentionPolicy};
use keyroll_server::nats::{LedgerStream, check_streams, create_streams};
use keyroll_server::nats::{StreamError, create_stream};

use crate::support::Harness;

#[tokio::test]
async fn they_are_made_once_and_then_left_alone() {
    let nats = Harness::bare().await;
    let operator = nats.operator().await.client;
    let missing = check_streams(&operator).await.unwrap_err().to_string();
    for stream in LedgerStream::ALL {
        assert!(
            missing.contains(&format!("{stream} is missing")),
            "{missing}"
        );
    }
    assert_eq!(
        create_streams(&operator, 1).await.unwrap(),
        LedgerStream::ALL
    );
    assert_eq!(create_streams(&operator, 1).await.unwrap(), []);
    assert_eq!(check_streams(&operator).await.unwrap().len(), 4);
    let error = create_streams(&operator, 2).await.unwrap_err();
    assert!(matches!(error, StreamError::Replicas(2)), "{error}");
}

#[tokio::test]
async fn every_changed_setting_is_named_and_nothing_is_made() {
    let nats = Harness::bare().await;
    let operator = nats.operator().await;
    let foreign = Config {
        retention: RetentionPolicy::Interest,
        max_message_size: 10,
        deny_purge: false,
        ..LedgerStream::Log.config(1)
    };
    operator.jetstream().create_stream(foreign).await.unwrap();
    let error = create_streams(&operator.client, 1)
        .await
        .unwrap_err()
        .to_string();
    for wanted in [
        "KEYROLL_LOG has retention \"interest\" instead of \"limits\"",
        "KEYROLL_LOG has max_msg_size 10 instead of 1048576",
        "KEYROLL_LOG has deny_purge unset instead of true",
    ] {
        assert!(error.contains(wanted), "{error}");
    }
    assert_eq!(error.matches("instead of").count(), 3, "{error}");
    operator
        .jetstream()
        .get_stream("KEYROLL_VAULT")
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_creation_cut_short_goes_on_but_damage_does_not() {
    let nats = Harness::bare().await;
    let operator = nats.operator().await.client;
    create_stream(&operator, LedgerStream::Log, 1)
        .await
        .unwrap();
    create_stream(&operator, LedgerStream::Keys, 1)
        .await
        .unwrap();
    assert_eq!(
        create_streams(&operator, 1).await.unwrap(),
        [LedgerStream::Vault, LedgerStream::Tokens]
    );

    operator
        .request("keyroll.log.demo", "x".into())
        .await
        .unwrap();
    nats.operator()
        .await
        .jetstream()
        .delete_stream("KEYROLL_VAULT")
        .await
        .unwrap();
    let error = create_streams(&operator, 1).await.unwrap_err();
    assert!(
        matches!(
            error,
            StreamError::Incomplete {
                missing: LedgerStream::Vault,
                present: LedgerStream::Log
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_user_that_may_not_ask_learns_why_there_is_no_answer() {
    let nats = Harness::new().await;
    let alice = nats.client(&["demo"]).await.client;
    let error = check_streams(&alice).await.unwrap_err().to_string();
    assert!(error.contains("lacks the permission"), "{error}");
}
