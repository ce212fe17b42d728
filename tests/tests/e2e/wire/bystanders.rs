//! Bystanders hear, read and receive only their own messages.

use futures::StreamExt as _;
use keyroll_core::command::{MemberRecord, Nothing};
use keyroll_core::{Action, cose};
use keyroll_tests::harness::Dev;
use keyroll_tests::harness::nats::next;
use keyroll_tests::harness::raw::{self, done};
use serde_json::{Value, json};

use super::{COMMAND, QUERY, ask, deletion, query};

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn hostile_reply_subjects_reach_nothing() {
    let dev = Dev::start();
    dev.create("A", "value");
    let nats = dev.nats().await;
    let operator = dev.nats_as("operator").await;
    let mut everything = operator.subscribe(">").await;
    let command = |_| raw::signed(&dev.command(Action::MemberAdd(some_member())), &dev.owner());
    let subjects = [
        "$JS.API.STREAM.DELETE.KEYROLL_VAULT",
        "$JS.API.STREAM.PURGE.KEYROLL_VAULT",
        "$JS.API.STREAM.UPDATE.KEYROLL_LOG",
        "keyroll.log.demo",
        "keyroll.vault.demo.aa.1",
        "keyroll.keys.demo.2",
        "keyroll.v1.demo.command",
        "keyroll.events.demo.secret.created",
        "$SYS.REQ.SERVER.PING",
        "_INBOX_service.x",
        "_INBOX_client",
        "_INBOX_client.dev",
    ];
    for (number, subject) in subjects.iter().enumerate() {
        let asked = raw::signed(
            &dev.command(Action::WorkspaceCreate(Nothing {})),
            &dev.owner(),
        );
        for payload in [asked, command(number), b"garbage".to_vec()] {
            // The client's user may not even send requests with some of them: then nothing arrives
            // at all.
            let sent =
                nats.client
                    .publish_with_reply(COMMAND, (*subject).to_owned(), payload.into());
            sent.await.expect("sent");
        }
        let asked = cose::sign(&query(&dev), &dev.owner());
        let sent = nats
            .client
            .publish_with_reply(QUERY, (*subject).to_owned(), asked.into());
        sent.await.expect("sent");
        let sent = nats
            .client
            .publish_with_reply("$SRV.PING", (*subject).to_owned(), "".into());
        sent.await.expect("sent");
    }
    // Requests are processed in order: when this one is answered, so are those before it.
    done(
        &ask(
            &nats,
            COMMAND,
            &raw::signed(&dev.command(deletion(&dev, "A")), &dev.owner()),
        )
        .await,
    );
    dev.keyroll(["secret", "restore", "A"]).run().code(0);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("value");
    dev.verifies();
    let rows: Vec<Value> = dev.audit();
    assert!(
        rows.iter().all(|row| row["type"] != "member.added"),
        "a request with such a reply was carried out"
    );
    // The streams' account carried only the ledger's own work.
    operator.round_trip().await;
    let mut heard = Vec::new();
    while let Some(Some(message)) = futures::FutureExt::now_or_never(everything.next()) {
        let delivered = message
            .reply
            .is_some_and(|reply| reply.starts_with("$JS.ACK."));
        // A consumer is sent messages under the subject they were published on.
        if !delivered {
            heard.push(message.subject.to_string());
        }
    }
    assert!(
        heard.iter().any(|subject| subject == "keyroll.log.demo"),
        "{heard:?}"
    );
    for subject in &heard {
        let harmless = [
            "keyroll.log.demo",
            "_INBOX_",
            "_R_.",
            "$JS.API.STREAM.MSG.GET.",
            "$JS.API.DIRECT.GET.",
            "$JS.ACK.",
        ];
        let more = [
            "$JS.API.STREAM.INFO.",
            "$JS.API.CONSUMER.",
            "$JS.API.INFO",
            "$JS.EVENT.ADVISORY.",
        ];
        let known = harmless
            .iter()
            .chain(&more)
            .any(|start| subject.starts_with(start));
        assert!(
            known && !subject.contains("DELETE.KEYROLL_VAULT"),
            "{heard:?}"
        );
    }
    let log_messages = heard
        .iter()
        .filter(|subject| *subject == "keyroll.log.demo")
        .count();
    assert_eq!(
        log_messages,
        rows.len() - 2,
        "one message in the log for each entry since, and no other"
    );
}

fn some_member() -> MemberRecord {
    MemberRecord {
        name: "intruder".parse().expect("a name"),
        role: keyroll_core::roles::Role::Owner,
        member: keyroll_core::MemberId([9; 32]),
        expires: None,
        secrets: vec![keyroll_core::Glob::any()],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_introduces_itself() {
    let dev = Dev::start();
    let nats = dev.nats_discovery().await;
    let ask = async |subject: &str| -> Value {
        serde_json::from_slice(&nats.request(subject, Vec::new()).await.payload).expect("JSON")
    };
    for subject in ["$SRV.PING", "$SRV.PING.keyroll"] {
        let ping = ask(subject).await;
        assert_eq!(
            (&ping["type"], &ping["name"]),
            (&json!("io.nats.micro.v1.ping_response"), &json!("keyroll"))
        );
    }
    let info = ask("$SRV.INFO.keyroll").await;
    assert_eq!(info["type"], "io.nats.micro.v1.info_response");
    let endpoints = info["endpoints"].as_array().expect("endpoints").iter();
    let mut endpoints: Vec<_> = endpoints
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["subject"].as_str().unwrap(),
            )
        })
        .collect();
    endpoints.sort_unstable();
    assert_eq!(
        endpoints,
        [
            ("accept", "keyroll.v1._ledger.accept"),
            ("command", "keyroll.v1.*.command"),
            ("credential", "keyroll.v1._ledger.credential"),
            ("info", "keyroll.v1._ledger.info"),
            ("query", "keyroll.v1.*.query")
        ]
    );
    dev.create("A", "value");
    dev.keyroll(["secret", "reveal", "None_such"]).run().code(3);
    let stats = ask("$SRV.STATS.keyroll").await;
    let command = stats["endpoints"]
        .as_array()
        .expect("endpoints")
        .iter()
        .find(|one| one["name"] == "command");
    assert!(
        command.expect("the endpoint")["num_requests"].as_u64() >= Some(2),
        "{stats}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_have_an_index_and_a_type_and_nothing_else() {
    let dev = Dev::start();
    let nats = dev.nats().await;
    let mut notices = nats.subscribe("keyroll.events.>").await;
    dev.create("A", "value");
    dev.keyroll(["secret", "edit", "A", "--stdin"])
        .stdin("two")
        .run()
        .code(0);
    dev.keyroll(["secret", "reveal", "A"]).run().code(0);
    dev.keyroll(["secret", "delete", "A", "--yes"])
        .run()
        .code(0);
    for (index, kind) in [
        (1, "secret.created"),
        (2, "secret.edited"),
        (3, "secret.revealed"),
        (4, "secret.deleted"),
    ] {
        let notice = next(&mut notices).await;
        assert_eq!(
            notice.subject.as_str(),
            format!("keyroll.events.demo.{kind}")
        );
        let body: Value = serde_json::from_slice(&notice.payload).expect("JSON");
        assert_eq!(body, json!({"index": index, "type": kind}));
        assert!(notice.reply.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_reads_neither_log_nor_vault_nor_others_mail() {
    let dev = Dev::start();
    let mut nats = dev.nats().await;
    for subject in [
        "keyroll.log.>",
        "keyroll.vault.>",
        "keyroll.keys.>",
        "keyroll.v1.>",
        "_INBOX_client.>",
        "$JS.>",
        ">",
    ] {
        let _subscriber = nats.client.subscribe(subject).await.expect("sent");
        nats.refused(&format!("subscription to \"{subject}\""))
            .await;
    }
    for subject in [
        "keyroll.log.demo",
        "keyroll.events.demo.secret.created",
        "$JS.API.STREAM.DELETE.KEYROLL_LOG",
    ] {
        nats.client
            .publish(subject, "x".into())
            .await
            .expect("sent");
        nats.refused(&format!("publish to \"{subject}\"")).await;
    }
    dev.create("A", "value");
    dev.verifies();
}
