//! A read model from an untrusted disk, as `keyroll recover` may get one: its pages and checksums
//! are right, and its rows hold anything at all.

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use keyroll_core::{
    Blob, Commit, Digest, Identity, Index, LedgerId, Millis, Recorded, Rules, Sequence, State,
    TreeSize, Version, cose,
};
use keyroll_ledger::follower::Fold;
use keyroll_ledger::projection::{
    AuditScan, Projection, ProjectionError, View, WorkspaceView, digest,
};
use keyroll_store::log::Message;
use redb::{Database, Key, ReadableTable as _, StorageBackend, TableDefinition, WriteTransaction};

use crate::engine::{Random, edited, vectors};
use crate::values::workspace;

/// A file in memory, which can be read again after redb closed it.
#[derive(Debug, Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl File {
    fn with<T>(&self, run: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self) -> Database {
        let file = self.clone();
        // Opening a database allocates its page cache, which would take most of a try's time.
        let db = Database::builder()
            .set_cache_size(1024 * 1024)
            .create_with_backend(file);
        db.expect("a database in memory")
    }

    fn projection(&self) -> Result<Projection, ProjectionError> {
        let file = self.clone();
        let opener = Arc::new(move |_: &Path| Ok(file.open()));
        // redb uses the memory; this path is only a placeholder.
        Projection::open_with(Path::new("/dev/null"), &ledger(), opener)
    }
}

fn to_index(offset: u64) -> usize {
    usize::try_from(offset).expect("it is in memory")
}

impl StorageBackend for File {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.with(|bytes| bytes.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let (from, length) = (to_index(offset), out.len());
        self.with(|bytes| out.copy_from_slice(&bytes[from..from + length]));
        Ok(())
    }

    fn set_len(&self, length: u64) -> std::io::Result<()> {
        self.with(|bytes| bytes.resize(to_index(length), 0));
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        let from = to_index(offset);
        self.with(|bytes| bytes[from..from + data.len()].copy_from_slice(data));
        Ok(())
    }
}

fn seed(name: &str) -> SigningKey {
    let keys = vectors("keys.json");
    let found = keys["keys"].as_array().expect("keys").iter();
    let key = found.into_iter().find(|key| key["name"] == name);
    let seed = key.expect("that key")["seed"].as_str().expect("a seed");
    let seed = hex::decode(seed).expect("hex");
    SigningKey::from_bytes(&seed.try_into().expect("32 bytes"))
}

fn public(key: &SigningKey) -> [u8; 32] {
    key.verifying_key().to_bytes()
}

fn ledger() -> LedgerId {
    static LEDGER: LazyLock<LedgerId> = LazyLock::new(|| LedgerId(public(&seed("ledger id"))));
    *LEDGER
}

/// The log of the vectors, followed by all other entries in them: one of each kind.
fn entries() -> Vec<Blob> {
    let (log, entries) = (vectors("log.json"), vectors("entries.json"));
    let forms = [&log["entries"], &entries["forms"]];
    let forms = forms
        .into_iter()
        .flat_map(|forms| forms.as_array().expect("forms"));
    forms
        .map(|form| {
            hex::decode(form["bytes"].as_str().expect("bytes"))
                .expect("hex")
                .into()
        })
        .collect()
}

fn commits(key: &SigningKey) -> Vec<Message> {
    let mut state = State::new(ledger(), workspace());
    let mut messages = Vec::new();
    for entries in entries().chunks(3) {
        let commit = Commit {
            v: keyroll_core::commit::COMMIT_V,
            at: Millis(1_900_000_000_000),
            root: Digest(state.root().0),
            first: state.size(),
            rules: Rules::CURRENT.number(),
            ledger: ledger(),
            entries: entries.to_vec(),
            workspace: workspace(),
        };
        for entry in entries {
            let recorded = Recorded::decode(state.size().next_index(), &entry.0);
            state.apply(Rules::CURRENT, &recorded.expect("an entry"));
        }
        messages.push(Message {
            sequence: Sequence(messages.len() as u64 + 1),
            workspace: Some(workspace()),
            bytes: cose::sign(&commit, key).into(),
        });
    }
    messages
}

struct Whole {
    /// The read model of the log without its last commit, as bytes of a file.
    file: Vec<u8>,
    last: Message,
    key: Identity,
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let (file, key) = (File::default(), seed("ledger's online key"));
    let mut commits = commits(&key);
    let last = commits.pop().expect("a commit");
    let key = Identity(public(&key));
    let projection = file.projection().expect("a read model");
    let fold = Fold::resume(projection, ledger(), key, Arc::default());
    let mut fold = fold.expect("resumes");
    fold.fold(&commits, true).expect("folds");
    let view = fold.projection().view().expect("a view");
    let (size, all) = (view.entries().expect("entries"), entries().len() as u64);
    assert!(size < all && all - size <= 3, "{size} of {all}");
    drop((view, fold));
    let file = file.with(|bytes| bytes.clone());
    Whole { file, last, key }
});

/// Changes one of a table's rows, and computes its checksum again, if rows of that table have one.
struct Change<'a> {
    random: &'a mut Random,
    input: &'a [u8],
}

/// Bytes of a row's checksum.
const CHECKSUM: usize = 8;

impl Change<'_> {
    fn row<K: Key + 'static>(&mut self, tx: &WriteTransaction, name: &str, has_checksum: bool) {
        let definition: TableDefinition<'_, K, &[u8]> = TableDefinition::new(name);
        let mut table = tx.open_table(definition).expect("a table");
        let rows = table.iter().expect("rows").map(|row| {
            let (key, value) = row.expect("a row");
            (
                K::as_bytes(&key.value()).as_ref().to_vec(),
                value.value().to_vec(),
            )
        });
        let mut rows: Vec<(Vec<u8>, Vec<u8>)> = rows.collect();
        if rows.is_empty() {
            return;
        }
        let (key, mut row) = rows.swap_remove(self.random.below(rows.len()));
        if has_checksum {
            row.truncate(row.len() - CHECKSUM);
        }
        let mut row = edited(self.random, row, &[self.input.to_vec()]);
        if has_checksum {
            let checksum = Digest::of(&row).0;
            row.extend_from_slice(&checksum[..CHECKSUM]);
        }
        let key = K::from_bytes(&key);
        table.insert(key, row.as_slice()).expect("changed");
    }

    fn some_row(&mut self, tx: &WriteTransaction) {
        match self.random.below(12) {
            0 => self.row::<&str>(tx, "meta", false),
            1 => self.row::<(u32, u8, u64)>(tx, "nodes", false),
            2 => self.row::<u32>(tx, "workspaces", true),
            3 => self.row::<(u32, u32)>(tx, "secrets", true),
            4 => self.row::<(u32, u32, u32)>(tx, "versions", true),
            5 => self.row::<(u32, &[u8; 32])>(tx, "members", true),
            6 => self.row::<(u32, &[u8; 32])>(tx, "denials", true),
            7 => self.row::<(u32, u32, u64)>(tx, "secrets_since", true),
            8 => self.row::<(u32, u32, u64)>(tx, "members_since", true),
            9 => self.row::<(u32, &str)>(tx, "workflows", true),
            10 => self.row::<(u32, u64)>(tx, "problems", true),
            _ => self.row::<(u32, u64)>(tx, "commits", true),
        }
    }
}

/// More than the number of secrets in the log.
const MANY: u32 = 16;

fn read_all(view: &View) -> Result<(), ProjectionError> {
    view.head()?;
    let _ = view.entries();
    let _ = view.problems(None);
    digest(view)?;
    for (_, head) in view.workspaces()? {
        let Some(found) = view.workspace(&head.name)? else {
            continue;
        };
        let _ = (found.problems(), found.root(), found.state(ledger()));
        let _ = (read_secrets(&found), read_past(&found), read_log(&found));
    }
    Ok(())
}

fn read_secrets(found: &WorkspaceView<'_>) -> Result<(), ProjectionError> {
    for ordinal in 0..MANY {
        let _ = found.secret(ordinal);
        let _ = found.versions(ordinal, Version(u32::MAX), |version, _| {
            found.exposures(ordinal, version).map(|_| true)
        });
    }
    let _ = found.versions_after((0, 0), MANY as usize);
    let _ = found.ending((0, 0), MANY as usize);
    let mut names = Vec::new();
    found.scan_names(None, |name, _| {
        names.push(name.to_owned());
        Ok::<_, ProjectionError>(true)
    })?;
    for name in names {
        let _ = (found.ordinals_named(&name), found.uses(&name));
    }
    Ok(())
}

fn read_past(found: &WorkspaceView<'_>) -> Result<(), ProjectionError> {
    for size in (0..u64::from(MANY))
        .chain([found.size().0, u64::MAX])
        .map(TreeSize)
    {
        let last = found.last_secret_at(size)?.min(MANY);
        for ordinal in 0..=last {
            let _ = found.secret_at(ordinal, size);
        }
        let mut left = MANY;
        let _ = found.members_at(size, 0, |_, _| {
            left -= 1;
            left > 0
        });
        let _ = found.time_of(size);
    }
    Ok(())
}

/// Reads as a recovery does, and as an audit does.
fn read_log(found: &WorkspaceView<'_>) -> Result<(), ProjectionError> {
    let mut at = Index(0);
    while let Ok(Some(commit)) = found.commit_of(at) {
        assert!(commit.first <= at && at < commit.next, "it goes on");
        at = commit.next;
        let _ = Commit::decode(&commit.bytes);
    }
    let all = found.scan_audit(&AuditScan::All, (0, u64::MAX))?;
    for index in all.take(MANY as usize) {
        let _ = found.entry(index?);
    }
    for index in (0..u64::from(MANY)).map(Index) {
        let _ = found.entry(index);
    }
    Ok(())
}

/// A changed row is read or refused. The input chooses the row and the change, and is put into it.
pub(crate) fn read_model(bytes: &[u8]) {
    let chosen = Digest::of(bytes).0.first_chunk::<8>().copied();
    let mut random = Random::seeded(u64::from_be_bytes(chosen.expect("32 bytes")));
    let file = File(Arc::new(Mutex::new(WHOLE.file.clone())));
    {
        let (db, input) = (file.open(), bytes);
        let tx = db.begin_write().expect("begun");
        let random = &mut random;
        Change { random, input }.some_row(&tx);
        tx.commit().expect("written");
    }
    let Ok(projection) = file.projection() else {
        return;
    };
    let _ = projection.view().and_then(|view| read_all(&view));
    let fold = Fold::resume(projection, ledger(), WHOLE.key, Arc::default());
    let _ = fold.and_then(|mut fold| fold.fold(std::slice::from_ref(&WHOLE.last), false));
}
