//! Names, values and keys, and the parts of templates, blocks and files.

use std::sync::LazyLock;

use keyroll_core::command::SessionRef;
use keyroll_core::crypto::{
    AnswerKey, Direction, Key, LedgerSession, RootContext, SealContext, SealingSecret,
    SessionContext, WrapContext, open_value, seal_answer, seal_value, unwrap_key, unwrap_root,
    wrap_key, wrap_root,
};
use keyroll_core::ids::Encapsulated;
use keyroll_core::names::{Label, MemberName, Text};
use keyroll_core::{
    AnswerPublic, CommandId, Digest, Epoch, Glob, Identity, LedgerId, MemberId, ObjectId, SecretId,
    SecretName, Version, WorkspaceName, cbor,
};
use keyroll_files::{Empty, Format};
use keyroll_resolver::{
    Block, BlockFile, Redactor, SecretValue, SecretValues, prepare, references,
};

use keyroll_wire::guest::SealedAnswer;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::text;

fn again<T: std::str::FromStr + ToString + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let same = value.to_string().parse::<T>();
        assert!(same.is_ok_and(|same| same == value), "{text:?}");
    }
}

pub(crate) fn names_and_ids(bytes: &[u8]) {
    let text = text(bytes);
    again::<Identity>(&text);
    again::<LedgerId>(&text);
    again::<SecretId>(&text);
    again::<CommandId>(&text);
    again::<Digest>(&text);
    again::<ObjectId>(&text);
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

pub(crate) const LEDGER: LedgerId = LedgerId([3; 32]);

pub(crate) fn workspace() -> WorkspaceName {
    "demo".parse().expect("a name")
}

/// Sealed bytes made or changed with knowledge of every key: valid ones open to the sealed value.
pub(crate) fn sealed_value(bytes: &[u8]) {
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

/// Any bytes as an answer to a guest, and any key in a guest's request.
pub(crate) fn sealed_answer(bytes: &[u8]) {
    let mut rng = UnwrapErr(SysRng);
    let (key, request) = (AnswerKey::generate(&mut rng), Digest([3; 32]));
    if let Ok(answer) = cbor::decode::<SealedAnswer>(bytes) {
        assert_eq!(cbor::encode(&answer), bytes, "the one encoding");
        assert!(key.open(&answer.enc, &answer.sealed.0, &request).is_err());
    }
    let mut public = [0; 32];
    for (to, from) in public.iter_mut().zip(bytes) {
        *to = *from;
    }
    if let Ok((enc, sealed)) = seal_answer(&AnswerPublic(public), bytes, &request, &mut rng) {
        assert!(
            key.open(&enc, &sealed, &request).is_err(),
            "another's answer"
        );
    }
}

pub(crate) fn wrapped_keys_and_sessions(bytes: &[u8]) {
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
        actor: MemberId([4; 32]),
    };
    if let Ok(keys) = LedgerSession::accept(&secret, &session.enc, &context) {
        let opened = keys.open(Direction::ToLedger, &CommandId([8; 16]), 0, bytes);
        assert!(opened.is_err());
    }
}

/// A block that can be read becomes a request, or is refused.
pub(crate) fn block_file(bytes: &[u8]) {
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

/// A file of secrets that was read and written again reads as the same.
pub(crate) fn file(format: Format, bytes: &[u8]) {
    let read = keyroll_files::read(format, bytes, Empty::Refuse);
    if !read.problems.is_empty() {
        return;
    }
    let found = read.secrets.iter();
    let values: Vec<_> = found.map(|one| (&one.name, one.value.as_slice())).collect();
    let fits = |(_, value): &(_, &[u8])| format.cannot_hold(value).is_none();
    let values: Vec<_> = values.into_iter().filter(fits).collect();
    let written = keyroll_files::write(format, &values);
    let same = keyroll_files::read(format, &written, Empty::Refuse);
    assert_eq!(same.problems, [], "{}", text(&written));
    let same: Vec<_> = same
        .secrets
        .iter()
        .map(|one| (&one.name, one.value.as_slice()))
        .collect();
    assert!(same == values, "{}", text(&written));
}

pub(crate) fn redactor(bytes: &[u8]) {
    const VALUE: &[u8] = b"{{secrets.API_Key}}";
    // Built once, since that takes the time.
    static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| Redactor::new(&[("A", VALUE)]));
    let redactor = &*REDACTOR;
    let whole = redactor.redact(bytes);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut stream = redactor.stream();
    let parts = [stream.push(first), stream.push(second), stream.finish()].concat();
    assert_eq!(parts, whole, "wherever it is cut");
    let found = whole.windows(VALUE.len()).any(|part| part == VALUE);
    assert!(!found, "a value in what is shown");
}
