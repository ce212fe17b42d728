//! A ledger whose log was damaged and whose vault lost a value, after `keyroll recover`.

use std::fs;

use keyroll_tests::golden::Bundle;
use keyroll_tests::harness::{Dev, Home};

/// Makes one, and returns the result of `export` on it.
pub(crate) async fn make(export: impl FnOnce(&Dev) -> Bundle) -> Bundle {
    let dev = Dev::start();
    for number in 0..6 {
        dev.create(&format!("S{number}"), format!("value {number}"));
    }
    lose_first_value(&dev).await;
    let home = dev.stop();
    damage(&home);
    // No file has the lost entries.
    home.remove("ledger.redb");
    let dev = Dev::start_in(home);
    dev.keyroll(["recover", "--yes"]).run().code(0);
    dev.keyroll(["audit", "accept"]).run().code(0);
    dev.create("After", "the recovery");
    export(&dev)
}

async fn lose_first_value(dev: &Dev) {
    let operator = dev.nats_as("operator").await;
    let context = async_nats::jetstream::new(operator.client.clone());
    let vault = context.get_stream("KEYROLL_VAULT").await;
    let vault = vault.expect("the vault");
    vault.delete_message(1).await.expect("deleted");
}

/// Changes a byte of an entry in the middle.
fn damage(home: &Home) {
    let log = home.data().join(home.stream("KEYROLL_LOG"));
    let path = log.join("msgs/1.blk");
    let mut bytes = fs::read(&path).expect("the log's only block");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&path, bytes).expect("written");
}
