//! The purposes of reveals: restricted secrets, and agents.

use keyroll_core::command::Purpose;
use keyroll_core::roles::{Permission, Role, allows};
use keyroll_core::{Code, cbor};
use keyroll_tests::harness::Dev;
use serde_json::json;

use super::{VALUE, outcome, purposes, reveal, session};

/// Blocks alone get restricted secrets, and only of members whose role the table allows it.
#[tokio::test(flavor = "multi_thread")]
async fn restricted_secrets_are_for_blocks_whatever_the_purpose_says() {
    let dev = Dev::start();
    let create = ["secret", "create", "Only_blocks", "--stdin", "--restricted"];
    dev.keyroll(create).stdin(VALUE).run().code(0);
    let nats = dev.nats().await;
    for role in Role::ALL {
        let who = dev.member(&format!("{}1", role.as_str()), role.as_str(), "*");
        let begun = session(&dev, &who, "demo").await;
        for (purpose, permission) in purposes() {
            let case = format!("{role:?} {}", purpose.as_str());
            let block = matches!(purpose, Purpose::Block(_));
            let gets = block && allows(role, permission) && allows(role, Permission::UseRestricted);
            let action = reveal("Only_blocks", purpose, begun);
            let got = outcome(&dev, &nats, &who, "demo", action).await;
            assert_eq!(got, (!gets).then_some(Code::Denied), "{case}");
        }
        let run = [
            "run",
            "--only",
            "Only_blocks",
            "--",
            "printenv",
            "Only_blocks",
        ];
        dev.keyroll_as(&who, run).run().code(4).lacks(VALUE);
    }
    dev.verifies();
}

/// No command reveals for an agent yet: `command sign` makes the bytes for any NATS client.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_reveals_for_an_agent_and_the_log_shows_it() {
    let dev = Dev::start();
    dev.create("Db_main", VALUE);
    let nats = dev.nats().await;
    let rudi = dev.member("rudi", "runner", "Db_*");
    let begun = session(&dev, &rudi, "demo").await;
    let purpose = json!({"agent": {"name": "sidecar", "max_age": 60, "run": "nightly-7"}});
    let session = json!({"enc": begun.enc, "period": begun.period});
    let fields = json!({"names": [{"name": "Db_main"}], "purpose": purpose, "session": session});
    let sign = ["command", "sign", "secret.reveal"];
    let signed = dev.keyroll_as(&rudi, sign).stdin(fields.to_string());
    let request = signed.run().code(0).bytes().to_vec();
    let reply = nats.request("keyroll.v1.demo.command", request).await;
    let answer: keyroll_wire::CommandReply = cbor::decode(&reply.payload).expect("a reply");
    assert!(
        matches!(answer, keyroll_wire::CommandReply::Committed(_)),
        "{answer:?}"
    );
    let rows = dev.audit();
    let row = rows.last().expect("a row");
    let agent = json!({"name": "sidecar", "max_age": 60, "run": "nightly-7"});
    assert_eq!((&row["purpose"], &row["agent"]), (&json!("agent"), &agent));
    let table = dev.keyroll(["audit", "log"]).run().code(0);
    table.stdout_has("agent sidecar for nightly-7");
    dev.verifies();
}
