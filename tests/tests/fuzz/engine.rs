//! Changes inputs at random, and runs a target with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Tries for each target if no time is given: a few seconds for all in a debug build.
pub(crate) const TRIES: u64 = 4_000;
/// Longer inputs than any form needs slow the search down.
const MOST_BYTES: usize = 8 * 1024;

/// xorshift64*: the same sequence on every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
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

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/vectors")
}

fn read(path: &Path) -> Value {
    let text = fs::read(path).expect("read");
    serde_json::from_slice(&text).expect("JSON")
}

/// A file of the test vectors.
pub(crate) fn vectors(file: &str) -> Value {
    read(&directory().join(file))
}

/// Everything in the vectors, and inputs that they lack.
fn corpus() -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = [
        "{{secrets.API_Key}}",
        "Bearer {{ secrets.A }}{{secrets.B}} \u{e9}",
        r#"{"workflow": "w", "blocks": [{"name": "b", "type": "external_api", "method": "POST",
            "url": "https://a.example/x", "headers": {"X": "{{secrets.A}}"}, "body": {"json": {"a": 1}}}]}"#,
        r#"{"workflow": "w", "blocks": [{"name": "b", "type": "external_api", "method": "POST",
            "url": "https://a.example/x", "auth": {"type": "bearer", "token": "{{secrets.A}}"},
            "body": {"xml": "<a b='1'>{{secrets.A}}</a>"}}]}"#,
        r#"{"workflow": "w", "blocks": [{"name": "b", "type": "python", "code": "import secrets\nsecrets.A"}]}"#,
        "export A=1 # one\nB=\"two\\n\\t\\\"\"\nC='three'\n\n# four\nD=\"a\nb\"\n",
        "A: one\nB: \"two\\u0041\\x41\"\nC: |\n  three\n  four\nD: >-\n  five\nE: !!binary aGk=\n",
        r#"{"A": "one", "B": "\ud83d\ude00", "C": 3}"#,
        "https://*.a.example:8443",
        "10.0.0.0/8",
        "fd00::/8",
        "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789 AKIAIOSFODNN7EXAMPLE",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    for file in fs::read_dir(directory()).expect("the vectors") {
        strings(&read(&file.expect("a file").path()), &mut found);
    }
    found.retain(|bytes| bytes.len() <= MOST_BYTES);
    found.sort();
    found.dedup();
    assert!(found.len() > 200, "{} inputs to start from", found.len());
    found
}

fn changed(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let bytes = corpus[random.below(corpus.len())].clone();
    edited(random, bytes, corpus)
}

/// Up to three changes of bytes, with pieces of the corpus among them.
pub(crate) fn edited(random: &mut Random, mut bytes: Vec<u8>, corpus: &[Vec<u8>]) -> Vec<u8> {
    const EDGES: [u8; 10] = [0x00, 0x17, 0x18, 0x1b, 0x5f, 0x7f, 0x80, 0x9b, 0xbf, 0xff];
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

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

pub(crate) fn attack(target: &str, most: u64, run: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let corpus = corpus();
    let time = setting("KEYROLL_FUZZ_SECONDS").map(Duration::from_secs);
    let usual = time.map_or(0x9e37_79b9_7f4a_7c15, |_| rand::random());
    let seed = setting("KEYROLL_FUZZ_SEED").unwrap_or(usual);
    let (begun, mut tries) = (Instant::now(), 0_u64);
    let mut random = Random::seeded(seed);
    while time.map_or(tries < most, |time| begun.elapsed() < time) {
        let input = match usize::try_from(tries).ok().and_then(|at| corpus.get(at)) {
            Some(whole) => whole.clone(),
            None => changed(&mut random, &corpus),
        };
        let survived = std::panic::catch_unwind(|| run(&input));
        assert!(survived.is_ok(), "{target} on {}", hex::encode(&input));
        tries += 1;
    }
    println!("{target}: {tries} inputs, seed {seed}");
}
