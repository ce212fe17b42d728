//! Hostile bytes for every decoder, the template parser and the redactor: the test vectors, changed
//! at random. Nothing may panic, and what is accepted must be the one encoding of what it says.
//!
//! A bounded number of tries for each target, or as many as `KEYROLL_FUZZ_SECONDS` allow
//! (`just fuzz`). A failure prints the input in hex.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use keyroll_api::reply::Info;
use keyroll_api::{CommandReply, CommandRequest, Query, Reply};
use keyroll_core::cose::{self, Form};
use keyroll_core::statement::{Delegation, LedgerKey, SealingKey};
use keyroll_core::{Commit, Entry, Index, Recorded, SignedCommand, cbor};
use keyroll_merkle::{Note, SignedCheckpoint, TlogProof, VerifierKey};
use keyroll_resolver::{BlockFile, Redactor, Template};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Tries for each target where no time is given: a few seconds for all in a debug build.
const TRIES: u64 = 4_000;
/// Longer inputs than any form needs slow the search down.
const MOST_BYTES: usize = 8 * 1024;

/// xorshift64*: the same sequence on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("fits")
    }
}

fn strings(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => {
            if let Ok(bytes) = hex::decode(text) {
                found.push(bytes);
            }
            found.push(text.clone().into_bytes());
        }
        Value::Array(parts) => parts.iter().for_each(|part| strings(part, found)),
        Value::Object(parts) => parts.values().for_each(|part| strings(part, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Everything in the vectors, and what they do not have.
fn corpus() -> Vec<Vec<u8>> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/vectors");
    let mut found: Vec<Vec<u8>> = [
        "{{secrets.API_Key}}",
        "Bearer {{ secrets.A }}{{secrets.B}} \u{e9}",
        r#"{"workflow": "w", "blocks": [{"name": "b", "type": "external_api", "method": "POST",
            "url": "https://a.example/x", "headers": {"X": "{{secrets.A}}"}, "body": {"json": {"a": 1}}}]}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    for file in fs::read_dir(vectors).expect("the vectors") {
        let text = fs::read(file.expect("a file").path()).expect("read");
        strings(&serde_json::from_slice(&text).expect("JSON"), &mut found);
    }
    found.retain(|bytes| bytes.len() <= MOST_BYTES);
    found.sort();
    found.dedup();
    assert!(found.len() > 200, "{} inputs to start from", found.len());
    found
}

fn changed(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    const EDGES: [u8; 10] = [0x00, 0x17, 0x18, 0x1b, 0x5f, 0x7f, 0x80, 0x9b, 0xbf, 0xff];
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = EDGES[random.below(EDGES.len())],
            2 => bytes.insert(at, EDGES[random.below(EDGES.len())]),
            3 => bytes.truncate(at),
            4 => {
                let end = (at + random.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let start = random.below(other.len());
                let end = (start + random.below(64)).min(other.len());
                bytes.splice(at..at, other[start..end].iter().copied());
            }
        }
    }
    bytes
}

fn attack(target: &str, run: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let corpus = corpus();
    let time = std::env::var("KEYROLL_FUZZ_SECONDS").ok();
    let time = time.map(|text| Duration::from_secs(text.parse().expect("seconds")));
    let (begun, mut tries) = (Instant::now(), 0_u64);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    while time.map_or(tries < TRIES, |time| begun.elapsed() < time) {
        let input = match usize::try_from(tries).ok().and_then(|at| corpus.get(at)) {
            Some(whole) => whole.clone(),
            None => changed(&mut random, &corpus),
        };
        let survived = std::panic::catch_unwind(|| run(&input));
        assert!(survived.is_ok(), "{target} on {}", hex::encode(&input));
        tries += 1;
    }
    println!("{target}: {tries} inputs");
}

fn plain<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(value) = cbor::decode::<T>(bytes) {
        assert_eq!(cbor::encode(&value), bytes, "the one encoding");
    }
}

fn signed<F: Form>(bytes: &[u8]) {
    if let Ok(opened) = cose::open::<F>(bytes) {
        assert_eq!(opened.bytes[..], bytes[..], "kept as it came");
        let _ = opened.verify();
    }
    let _ = cose::claimed_type(bytes);
}

#[test]
fn cbor_and_wire_bodies() {
    attack("cbor", plain::<ciborium::Value>);
    attack("entry", |bytes| {
        plain::<Entry>(bytes);
        let _ = Recorded::decode_strict(Index(0), bytes);
    });
    attack("command request", plain::<CommandRequest>);
    attack("command reply", plain::<CommandReply>);
    attack("info", plain::<Info>);
}

#[test]
fn signed_forms() {
    attack("command", |bytes| {
        if let Ok(command) = SignedCommand::decode(bytes) {
            let _ = command.verify();
        }
    });
    attack("query", signed::<Query>);
    attack("reply", signed::<Reply>);
    attack("commit", signed::<Commit>);
    attack("delegation", signed::<Delegation>);
    attack("ledger key", signed::<LedgerKey>);
    attack("sealing key", signed::<SealingKey>);
    attack("bundle", |bytes| {
        let _ = keyroll_ledger::bundle::read(bytes);
    });
}

#[test]
fn notes_and_proofs() {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    attack("note", |bytes| {
        let _ = Note::parse(&text(bytes));
        let _ = SignedCheckpoint::parse(&text(bytes));
    });
    attack("tlog-proof", |bytes| {
        let _ = TlogProof::parse(&text(bytes));
    });
    attack("vkey", |bytes| {
        let _ = VerifierKey::parse(&text(bytes));
    });
}

#[test]
fn templates_blocks_and_redaction() {
    attack("template", |bytes| {
        if let Ok(template) = Template::parse(&String::from_utf8_lossy(bytes)) {
            template.references().for_each(drop);
        }
    });
    attack("block file", |bytes| {
        let _ = BlockFile::parse(bytes);
    });
    let value = b"{{secrets.API_Key}}".as_slice();
    let redactor = Redactor::new(&[("A", value)]).expect("a redactor");
    attack("redactor", |bytes| {
        let whole = redactor.redact(bytes);
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let mut stream = redactor.stream();
        let parts = [stream.push(first), stream.push(second), stream.finish()].concat();
        assert_eq!(parts, whole, "wherever it is cut");
        let found = whole.windows(value.len()).any(|part| part == value);
        assert!(!found, "a value in what is shown");
    });
}
