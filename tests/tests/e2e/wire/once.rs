//! One command, one entry: however often it is sent, and from whichever client.

use async_nats::Message;
use keyroll_core::command::{Nothing, Purpose, RevealItem, SecretReveal};
use keyroll_core::{Action, Code, Command, Millis, cose};
use keyroll_tests::harness::Dev;
use keyroll_tests::harness::raw::{self, done, refused_as};
use keyroll_tests::harness::wait::until;
use keyroll_wire::reply::CommittedCommand;
use keyroll_wire::time::now;
use serde_json::json;

use super::{COMMAND, ask, deletion};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_takes_effect_once_however_often_it_is_sent() {
    let dev = Dev::start();
    dev.create("A", "value");
    let nats = dev.nats().await;
    let ledger = raw::online_key(&dev, &nats).await;
    let command = dev.command(deletion(&dev, "A"));
    let bytes = cose::sign(&command, &dev.owner());
    let request = raw::request(&bytes);
    let send = |_| ask(&nats, COMMAND, &request);
    let replies: Vec<Message> = futures::future::join_all((0..20).map(send)).await;
    let receipts: Vec<CommittedCommand> = replies.iter().map(done).collect();
    assert!(
        receipts
            .iter()
            .all(|done| done.receipt.index == receipts[0].receipt.index)
    );
    assert!(
        receipts
            .iter()
            .all(|done| done.receipt.entry == receipts[0].receipt.entry)
    );
    assert_eq!(dev.audit().len(), 3);

    // Also much later, when everything else has changed, and after a restart.
    dev.keyroll(["secret", "restore", "A"]).run().code(0);
    assert_eq!(
        done(&send(0).await).receipt.entry,
        receipts[0].receipt.entry
    );
    let home = dev.stop();
    let dev = Dev::start_in(home);
    let nats = dev.nats().await;
    assert_eq!(
        done(&ask(&nats, COMMAND, &request).await).receipt.entry,
        receipts[0].receipt.entry
    );
    assert_eq!(dev.audit().len(), 4);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("value");

    // The same id with other bytes is a conflict; another actor's id has no effect.
    let other = Command {
        at: Millis(command.at.0 + 1),
        ..command.clone()
    };
    let bytes = cose::sign(&other, &dev.owner());
    refused_as(
        &ask(&nats, COMMAND, &raw::request(&bytes)).await,
        ledger,
        &bytes,
        Code::Conflict,
    );
    let bob = dev.member("bob", "editor", "*");
    let key = raw::identity(&bob.home.join("identity.pem"));
    let theirs = cose::sign(
        &Command {
            at: now(),
            ..command
        },
        &key,
    );
    let entry = done(&ask(&nats, COMMAND, &raw::request(&theirs)).await).receipt;
    assert_eq!(entry.index.0, dev.audit().len() as u64 - 1);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(3)
        .error_code("deleted");
    dev.verifies();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_reveal_brings_the_receipt_and_no_value() {
    let dev = Dev::start();
    dev.create("A", "value");
    let nats = dev.nats().await;
    let action = reveal_of(&dev, "A").await;
    let request = raw::signed(&dev.command(action), &dev.owner());
    let first = done(&ask(&nats, COMMAND, &request).await);
    assert_eq!(first.released.len(), 1);
    let again = done(&ask(&nats, COMMAND, &request).await);
    assert_eq!(
        (again.released.len(), again.receipt.entry),
        (0, first.receipt.entry)
    );
    assert_eq!(dev.audit().len(), 3);
}

/// A reveal under a session whose answer only its maker can read.
async fn reveal_of(dev: &Dev, name: &str) -> Action {
    let client = dev.client().await;
    let session = client
        .session(&"demo".parse().expect("a name"))
        .expect("a session");
    let item = RevealItem {
        id: None,
        name: name.parse().expect("a name"),
        version: None,
    };
    let reveal = SecretReveal {
        names: vec![item],
        reason: None,
        purpose: Purpose::View(Nothing {}),
        session: session.reference,
    };
    Action::SecretReveal(reveal)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_command_works_from_any_client() {
    let dev = Dev::start();
    dev.create("A", "value");
    let shown = dev
        .keyroll(["secret", "show", "A", "--json"])
        .run()
        .code(0)
        .json();
    let fields = json!({"id": shown["id"], "name": "A"}).to_string();
    let sign = |action: &str| {
        dev.keyroll(["command", "sign", action])
            .stdin(&fields)
            .run()
            .code(0)
            .quiet()
    };
    let nats = dev.nats().await;
    let delete = sign("secret.delete");
    let receipt = done(&ask(&nats, COMMAND, delete.bytes()).await).receipt;
    assert_eq!(receipt.index.0, 2);
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(3)
        .error_code("deleted");

    // Without a reply subject it is carried out all the same.
    let restore = sign("secret.restore");
    nats.client
        .publish(COMMAND, restore.bytes().to_vec().into())
        .await
        .expect("published");
    until("the entry of a command that nobody waits for", || {
        (dev.audit().last()?["type"] == "secret.restored").then_some(())
    });
    dev.keyroll(["secret", "reveal", "A"])
        .run()
        .code(0)
        .stdout("value");

    // The signed command can be opened, and names its signer.
    let opened = dev
        .keyroll(["command", "open", "--json"])
        .stdin(delete.bytes())
        .run()
        .code(0)
        .json();
    assert_eq!(opened["command"]["signature"], "valid", "{opened}");
    assert_eq!(
        opened["command"]["payload"]["action"]["secret.delete"]["name"], "A",
        "{opened}"
    );
    let mut broken = delete.bytes().to_vec();
    *broken.last_mut().expect("bytes") ^= 1;
    let opened = dev
        .keyroll(["command", "open", "--json"])
        .stdin(&broken)
        .run()
        .code(0)
        .json();
    assert_eq!(opened["command"]["signature"], "INVALID", "{opened}");
    dev.keyroll(["command", "open"])
        .stdin("nonsense")
        .run()
        .code(1)
        .error_code("malformed");
    dev.keyroll(["command", "sign", "secret.steal"])
        .stdin("{}")
        .run()
        .code(2)
        .error_code("usage");
    dev.keyroll(["command", "sign", "secret.delete"])
        .stdin("{\"id\":")
        .run()
        .code(2)
        .error_code("usage");
    let create = dev
        .keyroll(["command", "sign", "secret.delete"])
        .stdin("{\"id\": \"x\", \"name\": \"a b\"}")
        .run();
    create.code(2).error_code("usage").lacks("a b");
    dev.verifies();
}
