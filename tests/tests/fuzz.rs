//! Hostile bytes for every decoder, the template parser and the redactor: the test vectors, changed
//! at random. Nothing may panic, and what is accepted must be the one encoding of what it says.
//!
//! A bounded number of tries for each target, always the same ones, or as many as
//! `KEYROLL_FUZZ_SECONDS` allow (`just fuzz`), others every time or those of `KEYROLL_FUZZ_SEED`. A
//! failure prints the input in hex.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use keyroll_api::reply::Info;
use keyroll_api::{CommandReply, CommandRequest, Query, Reply};
use keyroll_core::command::SessionRef;
use keyroll_core::cose::{self, Form};
use keyroll_core::crypto::{
    Direction, Key, LedgerSession, RootContext, SealContext, SealingSecret, SessionContext,
    WrapContext, open_value, seal_value, unwrap_key, unwrap_root, wrap_key, wrap_root,
};
use keyroll_core::ids::Encapsulated;
use keyroll_core::names::{Label, MemberName, Text};
use keyroll_core::statement::{Delegation, LedgerKey, SealingKey};
use keyroll_core::{
    CommandId, Commit, Digest, Entry, Epoch, Glob, Identity, Index, LedgerId, Place, Recorded,
    SecretId, SecretName, SignedCommand, Version, WorkspaceName, cbor,
};
use keyroll_files::Format;
use keyroll_merkle::{Note, SignedCheckpoint, TlogProof, VerifierKey};
use keyroll_resolver::{
    Block, BlockFile, Cidr, HostPattern, Redactor, SecretValue, SecretValues, Template, key_shapes,
    prepare, references,
};
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

fn said(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

fn attack(target: &str, run: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let corpus = corpus();
    let time = said("KEYROLL_FUZZ_SECONDS").map(Duration::from_secs);
    let usual = time.map_or(0x9e37_79b9_7f4a_7c15, |_| rand::random());
    // Zero would stay zero.
    let seed = said("KEYROLL_FUZZ_SEED").unwrap_or(usual).max(1);
    let (begun, mut tries) = (Instant::now(), 0_u64);
    let mut random = Random(seed);
    while time.map_or(tries < TRIES, |time| begun.elapsed() < time) {
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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A test of its own for each target, so that they are shared out among the processors.
macro_rules! targets {
    ($($name:ident: $run:expr;)+) => {
        $(
            #[test]
            fn $name() {
                attack(stringify!($name), $run);
            }
        )+
    };
}

mod target {
    use super::*;

    targets! {
        cbor_of_any_form: plain::<ciborium::Value>;
        entry: |bytes| {
            plain::<Entry>(bytes);
            let _ = Recorded::decode_strict(Index(0), bytes);
            let _ = Recorded::decode(Index(0), bytes);
        };
        command_request: plain::<CommandRequest>;
        command_reply: plain::<CommandReply>;
        info: plain::<Info>;
        command: |bytes| {
            if let Ok(command) = SignedCommand::decode(bytes) {
                let _ = command.verify();
            }
        };
        query: signed::<Query>;
        reply: signed::<Reply>;
        commit: |bytes| {
            signed::<Commit>(bytes);
            let _ = Commit::decode(bytes);
            let _ = Commit::decode_strict(bytes);
        };
        delegation: signed::<Delegation>;
        ledger_key: signed::<LedgerKey>;
        sealing_key: signed::<SealingKey>;
        bundle: |bytes| {
            let _ = keyroll_ledger::bundle::read(bytes);
        };
        note: |bytes| {
            let _ = Note::parse(&text(bytes));
            let _ = SignedCheckpoint::parse(&text(bytes));
        };
        tlog_proof: |bytes| {
            let _ = TlogProof::parse(&text(bytes));
        };
        vkey: |bytes| {
            let _ = VerifierKey::parse(&text(bytes));
        };
        names_and_ids: super::names_and_ids;
        sealed_value: super::sealed_value;
        wrapped_keys_and_sessions: super::wrapped_keys_and_sessions;
        template: |bytes| {
            if let Ok(template) = Template::parse(&text(bytes)) {
                template.references().for_each(drop);
            }
        };
        block_file: super::block_file;
        hosts_addresses_and_key_shapes: |bytes| {
            let text = text(bytes);
            let _ = (text.parse::<HostPattern>(), text.parse::<Cidr>());
            let _ = key_shapes(&text);
        };
        dotenv_file: |bytes| file(Format::Dotenv, bytes);
        json_file: |bytes| file(Format::Json, bytes);
        yaml_file: |bytes| file(Format::Yaml, bytes);
        redactor: super::redactor;
    }
}

fn again<T: std::str::FromStr + ToString + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let same = value.to_string().parse::<T>();
        assert!(same.is_ok_and(|same| same == value), "{text:?}");
    }
}

fn names_and_ids(bytes: &[u8]) {
    let text = text(bytes);
    again::<Identity>(&text);
    again::<LedgerId>(&text);
    again::<SecretId>(&text);
    again::<CommandId>(&text);
    again::<Digest>(&text);
    again::<Place>(&text);
    again::<SecretName>(&text);
    again::<WorkspaceName>(&text);
    again::<MemberName>(&text);
    again::<Label>(&text);
    again::<Text>(&text);
    again::<keyroll_core::names::HostPattern>(&text);
    again::<Glob>(&text);
    if let (Ok(glob), Ok(name)) = (text.parse::<Glob>(), "A_long_name_of_a_secret".parse()) {
        let _ = glob.matches(&name);
    }
}

const LEDGER: LedgerId = LedgerId([3; 32]);

fn workspace() -> WorkspaceName {
    "demo".parse().expect("a name")
}

/// Sealed bytes that somebody made or changed who knows every key: what holds opens to what was
/// sealed.
fn sealed_value(bytes: &[u8]) {
    let (key, workspace) = (Key::new([5; 32]), workspace());
    let context = SealContext {
        ledger: &LEDGER,
        workspace: &workspace,
        secret: SecretId([1; 16]),
        version: Version(1),
    };
    let open = |sealed: &[u8]| open_value(sealed, &Digest::of(sealed), &key, &context);
    let _ = open(bytes);
    let Ok(mut sealed) = seal_value(bytes, &key, [9; 24], &context) else {
        return;
    };
    let opened = open(&sealed).expect("what was sealed opens");
    assert_eq!(opened.as_slice(), bytes);
    let at = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % sealed.len();
    sealed[at] ^= 1;
    assert!(open(&sealed).is_err(), "changed at {at}");
    assert!(open(&sealed[..at]).is_err(), "cut at {at}");
}

fn wrapped_keys_and_sessions(bytes: &[u8]) {
    let (key, inner, workspace) = (Key::new([5; 32]), Key::new([6; 32]), workspace());
    let context = WrapContext {
        ledger: &LEDGER,
        workspace: &workspace,
        secret: SecretId([1; 16]),
        version: Version(1),
        epoch: Epoch(1),
        digest: Digest([2; 32]),
    };
    let root = RootContext::Sealing(&LEDGER, 7);
    assert!(unwrap_key(&key, bytes, &context).is_err());
    assert!(unwrap_root(&key, bytes, &root).is_err());
    let at = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % 72;
    let mut wrapped = wrap_key(&key, &inner, [9; 24], &context);
    wrapped[at] ^= 1;
    assert!(unwrap_key(&key, &wrapped, &context).is_err());
    let mut wrapped = wrap_root(&key, &inner, [9; 24], &root);
    wrapped[at] ^= 1;
    assert!(unwrap_root(&key, &wrapped, &root).is_err());
    let mut enc = [0; 32];
    for (to, from) in enc.iter_mut().zip(bytes) {
        *to = *from;
    }
    let session = SessionRef {
        enc: Encapsulated(enc),
        period: 7,
    };
    let secret = SealingSecret::new(&key).expect("a key");
    let context = SessionContext {
        ledger: &LEDGER,
        workspace: &workspace,
        actor: Identity([4; 32]),
    };
    if let Ok(keys) = LedgerSession::accept(&secret, &session.enc, &context) {
        let opened = keys.open(Direction::ToLedger, &CommandId([8; 16]), 0, bytes);
        assert!(opened.is_err());
    }
}

/// What is read from a block becomes a request, or is refused.
fn block_file(bytes: &[u8]) {
    let Ok(file) = BlockFile::parse(bytes) else {
        return;
    };
    let mut secrets = SecretValues::new();
    secrets.insert("A", SecretValue::new("a \"value\" <&> \n"));
    for block in &file.blocks {
        let _ = references(block);
        if let Block::External(api) = block {
            let _ = prepare(api, &secrets);
        }
    }
}

/// What was read from a file of secrets and is written again is read as the same.
fn file(format: Format, bytes: &[u8]) {
    let read = keyroll_files::read(format, bytes);
    if !read.problems.is_empty() {
        return;
    }
    let found = read.secrets.iter();
    let values: Vec<_> = found.map(|one| (&one.name, one.value.as_slice())).collect();
    let Ok(written) = keyroll_files::write(format, &values) else {
        return;
    };
    let same = keyroll_files::read(format, &written);
    assert_eq!(same.problems, [], "{}", text(&written));
    let same: Vec<_> = same
        .secrets
        .iter()
        .map(|one| (&one.name, one.value.as_slice()))
        .collect();
    assert!(same == values, "{}", text(&written));
}

fn redactor(bytes: &[u8]) {
    const VALUE: &[u8] = b"{{secrets.API_Key}}";
    // Made once: that is what takes the time.
    static REDACTOR: LazyLock<Redactor> =
        LazyLock::new(|| Redactor::new(&[("A", VALUE)]).expect("a redactor"));
    let redactor = &*REDACTOR;
    let whole = redactor.redact(bytes);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut stream = redactor.stream();
    let parts = [stream.push(first), stream.push(second), stream.finish()].concat();
    assert_eq!(parts, whole, "wherever it is cut");
    let found = whole.windows(VALUE.len()).any(|part| part == VALUE);
    assert!(!found, "a value in what is shown");
}
