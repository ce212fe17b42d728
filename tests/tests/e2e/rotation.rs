//! Rotations over so many values that most are deleted by the block: the reports meanwhile, across
//! a kill, and a check that nothing of the old epoch stays on disk.

use keyroll_client::Client;
use keyroll_client::NewSecretSpec;
use keyroll_core::Action;
use keyroll_core::command::Nothing;
use keyroll_tests::harness::{Dev, demo};

use crate::destroy::{on_disk, parts};

/// From a thousand values on, a fence comes before the copies.
const VALUES: u32 = 1_200;
/// The value that is really removed, by its message's number.
const GONE: u64 = 777;

async fn fill(client: &Client) {
    for first in (0..VALUES).step_by(300) {
        let specs = (first..first + 300).map(|number| NewSecretSpec {
            name: format!("Key_{number}").parse().expect("a name"),
            description: "".parse().expect("text"),
            hosts: Vec::new(),
            restricted: false,
            rotate_every: None,
        });
        let specs: Vec<_> = specs.map(|spec| (spec, &b"value"[..])).collect();
        client.create(&demo(), &specs).await.expect("created");
    }
}

/// The values that a storage check and a recovery plan report as lost now: their names, and their
/// number.
fn lost(dev: &Dev) -> (Vec<String>, u64) {
    let storage = ["audit", "verify", "--storage", "--json"];
    let report = dev.keyroll(storage).run().code_in(&[0, 6]).json();
    let problems = report["problems"].as_array().expect("a list").iter();
    let problems = problems.map(|problem| problem["detail"].as_str().expect("words").to_owned());
    let plan = ["recover", "--dry-run", "--json"];
    let plan = dev.keyroll(plan).run().code(0).json();
    assert_eq!(plan["remake"], false, "{plan}");
    let values = plan["workspaces"].as_array().expect("a list").iter();
    let values = values.map(|row| row["values"].as_u64().expect("a number"));
    (problems.collect(), values.sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_key_is_rotated_only_what_was_taken_away_is_lost() {
    let dev = Dev::start();
    fill(&dev.client().await).await;
    assert_eq!(lost(&dev), (Vec::new(), 0));
    let (first, last) = (parts(&dev, 1).await, parts(&dev, u64::from(VALUES)).await);
    let rotated = dev
        .client()
        .await
        .execute(&demo(), Action::KeyRotate(Nothing {}))
        .await;
    rotated.expect("rotated");
    let mut looks = 0;
    let erased = |dev: &Dev| {
        let kinds = ["audit", "log", "--json", "--action", "key.erased"];
        dev.keyroll(kinds).run().code(0).rows().len()
    };
    while erased(&dev) < 1 {
        assert_eq!(lost(&dev), (Vec::new(), 0), "look {looks}");
        looks += 1;
    }
    assert!(looks > 0, "it was over at once");
    for part in first.iter().take(1).chain(last.iter().take(1)) {
        assert!(!on_disk(dev.home(), part), "a wrapped key is on disk");
    }

    // Once more, when values lie under an epoch that their entries do not name; killed half way,
    // and with one value removed.
    let operator = dev.nats_as("operator").await;
    let context = async_nats::jetstream::new(operator.client.clone());
    let vault = context
        .get_stream("KEYROLL_VAULT")
        .await
        .expect("the vault");
    let from = vault.get_info().await.expect("info").state.first_sequence;
    vault.delete_message(from + GONE).await.expect("deleted");
    let (gone, count) = lost(&dev);
    assert_eq!((gone.len(), count), (1, 1), "{gone:?}");
    let rotated = dev
        .client()
        .await
        .execute(&demo(), Action::KeyRotate(Nothing {}))
        .await;
    rotated.expect("rotated");
    assert_eq!(lost(&dev), (gone.clone(), 1));
    let dev = Dev::start_in(dev.kill());
    let mut looks = 0;
    while erased(&dev) < 2 {
        let (now, count) = lost(&dev);
        // Until the loss is recorded.
        assert!(now.is_empty() || now == gone, "look {looks}: {now:?}");
        assert!(count <= 1, "look {looks}: {count}");
        looks += 1;
    }
    assert_eq!(lost(&dev), (Vec::new(), 0));
    let lost_by_name = ["audit", "log", "--json", "--action", "values.lost"];
    assert_eq!(dev.keyroll(lost_by_name).run().code(0).rows().len(), 1);
    dev.verifies();
}
