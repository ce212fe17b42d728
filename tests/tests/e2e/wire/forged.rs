//! Well-formed commands that are not for this ledger, this workspace or this moment.

use keyroll_core::command::KeyErase;
use keyroll_core::{
    Action, Blob, Code, Command, Epoch, Identity, LedgerId, Millis, TreeSize, cbor, cose,
};
use keyroll_tests::harness::raw::{self, done, refusal, refused_as};
use keyroll_tests::harness::{Dev, Nats};
use keyroll_wire::CommandRequest;
use keyroll_wire::time::now;

use super::{COMMAND, ask, deletion};

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn commands_for_others_old_ones_and_forged_ones_are_refused() {
    let dev = Dev::start();
    dev.create("A", "value");
    dev.keyroll(["workspace", "create", "other"]).run().code(0);
    let before = dev.audit();
    let nats = dev.nats().await;
    let ledger = raw::online_key(&dev, &nats).await;
    let owner = dev.owner();
    let stranger = raw::identity(&dev.person("stranger").home.join("identity.pem"));
    let good = dev.command(deletion(&dev, "A"));
    let refused = async |command: &Command, subject: &str, code: Code| {
        let bytes = cose::sign(command, &owner);
        refused_as(
            &ask(&nats, subject, &raw::request(&bytes)).await,
            ledger,
            &bytes,
            code,
        )
    };
    let wrong = Command {
        ledger: LedgerId([7; 32]),
        ..good.clone()
    };
    refused(&wrong, COMMAND, Code::WrongLedger).await;
    refused(&good, "keyroll.v1.other.command", Code::WrongWorkspace).await;
    refused(&good, "keyroll.v1.Bad_name.command", Code::InvalidName).await;
    refused(&good, "keyroll.v1._ledger.command", Code::InvalidName).await;
    let nowhere = Command {
        workspace: "nowhere".parse().unwrap(),
        ..good.clone()
    };
    refused(&nowhere, "keyroll.v1.nowhere.command", Code::NotFound).await;
    for apart in [61_500_i64, 3_600_000, -61_500, -3_600_000] {
        let at = Millis(now().0.checked_add_signed(apart).expect("a time"));
        refused(&Command { at, ..good.clone() }, COMMAND, Code::Stale).await;
    }
    for at in [Millis(0), Millis(u64::MAX)] {
        refused(&Command { at, ..good.clone() }, COMMAND, Code::Stale).await;
    }
    refused(
        &Command {
            v: 2,
            ..good.clone()
        },
        COMMAND,
        Code::UpgradeNeeded,
    )
    .await;
    let with_delegation = Command {
        delegation: Some(Blob(b"none".to_vec())),
        ..good.clone()
    };
    refused(&with_delegation, COMMAND, Code::Malformed).await;
    // An owner may not do the ledger's own actions.
    let own = Action::KeyErase(KeyErase { epoch: Epoch(1) });
    assert_eq!(refusal_of(&dev, &nats, ledger, own).await, None);

    // Signed by a stranger, in the stranger's name and in the owner's.
    let bytes = cose::sign(&good, &stranger);
    refused_as(
        &ask(&nats, COMMAND, &raw::request(&bytes)).await,
        ledger,
        &bytes,
        Code::Denied,
    );
    let mut forged = bytes.clone();
    let (theirs, ours) = (
        stranger.verifying_key().to_bytes(),
        owner.verifying_key().to_bytes(),
    );
    let at = forged
        .windows(32)
        .position(|part| part == theirs)
        .expect("the key id");
    forged[at..at + 32].copy_from_slice(&ours);
    refused_as(
        &ask(&nats, COMMAND, &raw::request(&forged)).await,
        ledger,
        &forged,
        Code::BadSignature,
    );

    // A value that the command does not name, and a size that no client can have seen.
    let bytes = cose::sign(&good, &owner);
    let value = keyroll_wire::reply::SealedValue {
        key: Blob(vec![1; 72]),
        sealed: Blob(vec![2; 329]),
    };
    let request = CommandRequest {
        seen: TreeSize(0),
        values: vec![value],
        command: Blob(bytes.clone()),
    };
    refused_as(
        &ask(&nats, COMMAND, &cbor::encode(&request)).await,
        ledger,
        &bytes,
        Code::InvalidField,
    );
    for seen in [before.len() as u64 + 10, u64::MAX] {
        let request = CommandRequest {
            seen: TreeSize(seen),
            values: vec![],
            command: Blob(bytes.clone()),
        };
        refused_as(
            &ask(&nats, COMMAND, &cbor::encode(&request)).await,
            ledger,
            &bytes,
            Code::Rollback,
        );
    }
    let denied = dev.audit().len() - before.len();
    assert_eq!(
        denied,
        dev.audit()
            .iter()
            .filter(|row| row["type"] == "access.denied")
            .count()
    );
    done(&ask(&nats, COMMAND, &raw::request(&bytes)).await);
    dev.verifies();
}

/// The code of a refusal; `None` when it became an entry (which then records the denial).
async fn refusal_of(dev: &Dev, nats: &Nats, ledger: Identity, action: Action) -> Option<Code> {
    let bytes = cose::sign(&dev.command(action), &dev.owner());
    let reply = ask(nats, COMMAND, &raw::request(&bytes)).await;
    if reply
        .headers
        .as_ref()
        .is_some_and(|headers| headers.get("Nats-Service-Error").is_some())
    {
        return Some(refusal(&reply, ledger, &bytes).code);
    }
    let entry: keyroll_core::Entry = cbor::decode(&done(&reply).receipt.entry.0).expect("an entry");
    assert!(
        matches!(entry.events[0], keyroll_core::Event::AccessDenied(_)),
        "{:?}",
        entry.events
    );
    None
}
