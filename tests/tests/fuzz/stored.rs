//! Messages of the vault and the keys, which anyone who runs nats-server can write as well.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use futures::FutureExt as _;
use keyroll_audit::bundle;
use keyroll_audit::commit_file;
use keyroll_client::checkpoints::CheckpointStore;
use keyroll_core::command::StoredAt;
use keyroll_core::crypto::{Key, WrapContext};
use keyroll_core::{Blob, Code, Commit, Digest, Epoch, Millis, ObjectId, SecretId, Version};
use keyroll_store::keyring::Keyring;
use keyroll_store::objects::MemoryObjects;
use keyroll_store::vault::{StoredValue, Vault};

use keyroll_server::keys::read_signing_key;

use crate::text;
use crate::values::{LEDGER, workspace};

const EPOCH: Epoch = Epoch(1);
/// The sealing period of the stored keys.
const PERIOD: u32 = 7;

/// A request to memory is answered at once.
fn at_once<T>(asked: impl Future<Output = T>) -> T {
    asked.now_or_never().expect("nothing to wait for")
}

fn subject_and_bytes(objects: &MemoryObjects) -> (String, Vec<u8>) {
    let (subject, bytes) = objects.all().pop().expect("something is stored");
    (subject, bytes.to_vec())
}

/// Every change of a message that `at` chooses from: a bit, a missing end, one byte more.
fn changes(message: &[u8], at: usize) -> [Vec<u8>; 3] {
    let at = at % message.len();
    let mut flipped = message.to_vec();
    flipped[at] ^= 1 << (at % 8);
    [flipped, message[..at].to_vec(), [message, &[0]].concat()]
}

fn sum(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| usize::from(*byte)).sum()
}

/// A vault message of any bytes; then one that the ledger stored, of any sealed bytes, and changed
/// since.
pub(crate) fn vault_message(bytes: &[u8]) {
    let (workspace, key, place) = (workspace(), Key::new([5; 32]), ObjectId([4; 32]));
    let context = WrapContext {
        ledger: &LEDGER,
        workspace: &workspace,
        secret: SecretId([1; 16]),
        version: Version(1),
        epoch: EPOCH,
        digest: Digest::of(bytes),
    };
    let objects = MemoryObjects::default();
    let vault = || Vault::new(Arc::new(objects.clone()));
    let found = StoredValue {
        sealed: Blob(bytes.to_vec()),
        data_key: Key::new([6; 32]),
    };
    at_once(vault().copy(&place, &found, &key, &context)).expect("stored");
    let read = at_once(vault().find(&place, &key, &context)).expect("read");
    assert_eq!(read.sealed.0, bytes);
    assert_eq!(read.data_key.bytes(), found.data_key.bytes());
    let (subject, message) = subject_and_bytes(&objects);
    let [flipped, cut, longer] = changes(&message, sum(bytes));
    for wrong in [bytes.to_vec(), flipped, cut, longer] {
        objects.overwrite(&subject, wrong.clone());
        let lost = at_once(vault().find(&place, &key, &context));
        let lost = lost.err().map(|rejection| rejection.code);
        assert_eq!(lost, Some(Code::ValueLost), "{}", hex::encode(wrong));
    }
}

/// Stored keys of any bytes, or changed since they were stored.
pub(crate) fn stored_keys(bytes: &[u8]) {
    let (workspace, objects) = (workspace(), MemoryObjects::default());
    // Nothing is kept in memory between checks.
    let keyring = || Keyring::new(Key::new([5; 32]), LEDGER, Arc::new(objects.clone()));
    at_once(keyring().make_workspace_key(&workspace, EPOCH)).expect("made");
    let (subject, message) = subject_and_bytes(&objects);
    for wrong in changes(&message, sum(bytes)) {
        objects.overwrite(&subject, wrong.clone());
        let refused = at_once(keyring().workspace_key(&workspace, EPOCH));
        assert!(refused.is_err(), "{}", hex::encode(wrong));
    }
    objects.overwrite(&subject, bytes.to_vec());
    assert!(at_once(keyring().workspace_key(&workspace, EPOCH)).is_err());
    // Bytes that are no stored key prove nothing about the root key.
    let _ = at_once(keyring().fits_root());
    objects.lose_all();
    at_once(keyring().sealing_key(PERIOD)).expect("made");
    let (subject, message) = subject_and_bytes(&objects);
    for wrong in changes(&message, sum(bytes)) {
        objects.overwrite(&subject, wrong.clone());
        let read = at_once(keyring().sealing_key(PERIOD));
        assert!(read.is_err(), "{}", hex::encode(wrong));
    }
    objects.overwrite(&subject, bytes.to_vec());
    assert!(at_once(keyring().sealing_key(PERIOD)).is_err());
}

/// Subjects that keyroll did not write: those without an object id or an epoch are skipped.
pub(crate) fn subjects(bytes: &[u8]) {
    let (workspace, text) = (workspace(), text(bytes));
    let objects = MemoryObjects::default();
    let vault = Vault::new(Arc::new(objects.clone()));
    let keyring = Keyring::new(Key::new([5; 32]), LEDGER, Arc::new(objects.clone()));
    let at = StoredAt {
        epoch: Epoch(u32::try_from(sum(bytes) % 100).expect("small")),
        place: ObjectId([7; 32]),
    };
    for subject in [
        format!("keyroll.vault.{workspace}.{}.{}", at.place, at.epoch),
        format!("keyroll.vault.{workspace}.{text}.{}", at.epoch),
        format!("keyroll.vault.{workspace}.{}.{text}", at.place),
        format!("keyroll.keys.{text}.1"),
        format!("keyroll.keys.{workspace}.{text}"),
        format!("keyroll.keys._sealing.{text}"),
    ] {
        objects.overwrite(&subject, bytes.to_vec());
    }
    let listed = at_once(vault.list(&workspace, None, None)).expect("listed");
    assert!(listed.contains(&at), "{listed:?}");
    for at in listed {
        // A listed object exists: it can be read, and erased.
        let held = at_once(vault.info(&workspace, at)).expect("looked at");
        assert!(held.is_some(), "{at:?}");
    }
    let _ = at_once(keyring.fits_root());
    let _ = at_once(keyring.erase_workspace_keys(&workspace, Epoch(9)));
    let _ = at_once(keyring.erase_past_sealing_keys(Millis(u64::MAX)));
}

/// Commits saved by a recovery, cut anywhere: the commits before the cut are read.
pub(crate) fn saved_commits(bytes: &[u8]) {
    let found = commit_file::read(bytes).len();
    let known = usize::from(Commit::decode(bytes).is_ok());
    let three = commit_file::write([bytes, b"no commit", bytes].iter());
    assert_eq!(commit_file::read(&three).len(), 2 * known);
    let cut = &three[..sum(bytes) % three.len()];
    let most = usize::from(cut.len() >= bytes.len() + 4) * known;
    assert_eq!(commit_file::read(cut).len(), most, "cut at {}", cut.len());
    let behind = [commit_file::write([bytes].iter()), bytes.to_vec()].concat();
    assert_eq!(commit_file::read(&behind).len(), known + found);
}

/// A readable bundle is, to the last byte, as this program would write it.
pub(crate) fn bundle(bytes: &[u8]) {
    let Ok(mut reader) = bundle::Reader::new(bytes) else {
        return;
    };
    let mut again = Vec::new();
    bundle::write_header(&mut again, reader.header()).expect("written");
    while let Ok(found) = reader.commit() {
        let Some(commit) = found else {
            assert_eq!(again, bytes);
            return;
        };
        bundle::write_commit(&mut again, commit).expect("written");
    }
}

/// Key files, and a client's files of what it has verified: what can be read is kept unchanged.
pub(crate) fn local_files(bytes: &[u8]) {
    thread_local! {
        static HOME: tempfile::TempDir = tempfile::tempdir().expect("a directory");
    }
    let workspace = workspace();
    HOME.with(|home| {
        let key = home.path().join("key");
        let mut open = OpenOptions::new();
        let open = open.write(true).create(true).truncate(true).mode(0o600);
        let mut file = open.open(&key).expect("a file");
        file.write_all(bytes).expect("written");
        let _ = read_signing_key(&key);
        let seen = home
            .path()
            .join("seen")
            .join(LEDGER.to_string().replace(':', "-"));
        std::fs::create_dir_all(&seen).expect("a directory");
        std::fs::write(seen.join(workspace.as_str()), bytes).expect("written");
        let store = || CheckpointStore::in_home(home.path(), &LEDGER);
        if let Ok(Some(seen)) = store().get(&workspace) {
            store()
                .accept(&workspace, Some(seen.clone()))
                .expect("written");
            assert_eq!(store().get(&workspace).expect("read"), Some(seen));
        }
        let facts = seen.join(format!("{workspace}.secrets"));
        std::fs::write(&facts, bytes).expect("written");
        let count = store().secrets().count(&workspace);
        let is_whole = bytes.starts_with(b"keyroll-secrets/v1\n") && bytes.ends_with(b"\nend\n");
        assert!(is_whole || count.is_err());
        std::fs::remove_file(facts).expect("removed");
    });
}
