//! The service from the view of any NATS client: good requests, bad bytes, hostile reply subjects.

mod bad_bytes;
mod bystanders;
mod forged;
mod once;

use async_nats::Message;
use keyroll_core::command::SecretRef;
use keyroll_core::{Action, SecretId, TreeSize};
use keyroll_tests::harness::{Dev, Nats};
use keyroll_wire::query::MemberList;
use keyroll_wire::time::now;
use keyroll_wire::{Query, Question};

const COMMAND: &str = "keyroll.v1.demo.command";
const QUERY: &str = "keyroll.v1.demo.query";

/// The id of a secret, and a command that deletes it.
fn deletion(dev: &Dev, name: &str) -> Action {
    let shown = dev
        .keyroll(["secret", "show", name, "--json"])
        .run()
        .code(0)
        .json();
    let id: SecretId = shown["id"].as_str().expect("an id").parse().expect("an id");
    Action::SecretDelete(SecretRef {
        id,
        name: name.parse().expect("a name"),
    })
}

fn query(dev: &Dev) -> Query {
    Query {
        v: 1,
        at: now(),
        ask: Question::MemberList(MemberList {
            limit: 100,
            ..MemberList::default()
        }),
        seen: TreeSize(0),
        ledger: dev.ledger(),
        workspace: Some("demo".parse().expect("a name")),
        member: None,
        delegation: None,
    }
}

async fn ask(nats: &Nats, subject: &str, payload: &[u8]) -> Message {
    nats.request(subject, payload).await
}
