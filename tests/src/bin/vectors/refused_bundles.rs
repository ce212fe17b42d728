//! Invalid bundles whose signed parts are all genuine.

use keyroll_audit::bundle::{Header, verify};
use serde_json::{Value, json};

use crate::log::Log;
use crate::tree;
use crate::wire::{bundle, bundle_header};
use crate::world::World;

pub(crate) fn bundles(world: &World, log: &Log) -> Vec<Value> {
    let header = bundle_header(world, log);
    let good = bundle(&header, &log.commits);
    assert!(
        verify(good.as_slice(), None).is_ok_and(|report| report.ok()),
        "what is changed is good"
    );
    let first = bundle(&header, &[]).len();
    // The header's length takes two bytes, and a commit's too.
    let wider = |at: usize| {
        let mut bytes = good.clone();
        assert_eq!(bytes[at], 0x59);
        bytes.splice(at..=at, [0x5a, 0, 0]);
        bytes
    };
    let old = Header {
        checkpoint: tree::note(world, log, 7),
        ..header.clone()
    };
    let fewer = &log.commits[..log.commits.len() - 1];
    let cases = [
        ("the header's length in four bytes", wider(0)),
        ("a commit's length in four bytes", wider(first)),
        ("a byte after the end", [&good[..], &[0]].concat()),
        ("an empty item at the end", [&good[..], &[0x40]].concat()),
        ("a checkpoint of seven entries", bundle(&old, &log.commits)),
        ("without the last commit", bundle(&header, fewer)),
    ];
    let case = |(name, bytes): (&str, Vec<u8>)| {
        let taken = verify(bytes.as_slice(), None).is_ok_and(|report| report.ok());
        assert!(!taken, "{name}");
        json!({"name": name, "bytes": hex::encode(bytes)})
    };
    cases.map(case).to_vec()
}
