//! What a client has verified and keeps, per workspace: the highest checkpoint, which makes a
//! rollback of the log visible, and facts about secrets, which make an old or wrong value visible.
//! Both are on disk before a reply is believed.

mod facts;
mod hosts;
mod secrets;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use keyroll_core::{LedgerId, TreeSize, WorkspaceName};
use keyroll_merkle::Hash;

use crate::client::lock;
use crate::private_files;

pub(crate) use facts::{Observation, SetByCaller};
pub use secrets::SecretFactStore;

/// Bytes of a checkpoint's file: far more than a note with its signatures has.
const CHECKPOINT_BYTES: u64 = 64 * 1024;

/// Size and root of a checkpoint that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedCheckpoint {
    /// Number of entries.
    pub size: TreeSize,
    /// Root over them.
    pub root: Hash,
    /// The signed note, when it came as one.
    pub note: Option<String>,
}

/// Keeps the highest checkpoints and the facts about secrets, in memory and in a directory when
/// there is one.
#[derive(Debug)]
pub struct CheckpointStore {
    dir: Option<PathBuf>,
    /// Where what was kept goes when it is given up.
    evidence: Option<PathBuf>,
    known: Mutex<BTreeMap<WorkspaceName, CachedCheckpoint>>,
    secrets: SecretFactStore,
}

/// A checkpoint, and which file it was read from.
#[derive(Debug, Clone)]
struct CachedCheckpoint {
    stamp: Option<Stamp>,
    seen: TrustedCheckpoint,
}

impl CheckpointStore {
    /// In memory only.
    pub fn memory() -> Self {
        Self::new(None, None)
    }

    /// In `home/seen/<ledger>`: `<workspace>` has a checkpoint's size, root and note, one per line,
    /// `<workspace>.secrets` the facts about secrets.
    pub fn in_home(home: &Path, ledger: &LedgerId) -> Self {
        let name = ledger.to_string().replace(':', "-");
        let dir = home.join("seen").join(name);
        Self::new(Some(dir), Some(home.join("evidence")))
    }

    fn new(dir: Option<PathBuf>, evidence: Option<PathBuf>) -> Self {
        Self {
            secrets: SecretFactStore::new(dir.clone()),
            known: Mutex::new(BTreeMap::new()),
            dir,
            evidence,
        }
    }

    /// Where checkpoints are kept, when not in memory.
    pub fn directory(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The facts about secrets.
    pub fn secrets(&self) -> &SecretFactStore {
        &self.secrets
    }

    /// The highest checkpoint of a workspace.
    ///
    /// # Errors
    /// When a file is there and cannot be read: to go on without it would forgive a rollback.
    pub fn get(&self, workspace: &WorkspaceName) -> io::Result<Option<TrustedCheckpoint>> {
        self.renewed(&mut lock(&self.known), workspace)
    }

    /// What is known of a workspace, read again when its file is another one: a person may have
    /// accepted a recovery meanwhile.
    fn renewed(
        &self,
        known: &mut BTreeMap<WorkspaceName, CachedCheckpoint>,
        workspace: &WorkspaceName,
    ) -> io::Result<Option<TrustedCheckpoint>> {
        let kept = known.get(workspace);
        let Some(dir) = &self.dir else {
            return Ok(kept.map(|kept| kept.seen.clone()));
        };
        let stamp = Stamp::of(&dir.join(workspace.as_str()))?;
        if let Some(kept) = kept.filter(|kept| kept.stamp == stamp) {
            return Ok(Some(kept.seen.clone()));
        }
        let seen = read(dir, workspace)?;
        match seen.clone() {
            Some(seen) => known.insert(workspace.clone(), CachedCheckpoint { stamp, seen }),
            None => known.remove(workspace),
        };
        Ok(seen)
    }

    /// Workspaces of which something was seen.
    ///
    /// # Errors
    /// When the directory is there and cannot be read.
    pub fn workspaces(&self) -> io::Result<Vec<WorkspaceName>> {
        let Some(dir) = &self.dir else {
            return Ok(lock(&self.known).keys().cloned().collect());
        };
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let name = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        let mut found: Vec<WorkspaceName> = entries.flatten().filter_map(name).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Keeps a checkpoint if it is higher than the one kept. False when the one kept has the same
    /// size and another root: then the log was forked.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn raise(&self, workspace: &WorkspaceName, fresh: TrustedCheckpoint) -> io::Result<bool> {
        let mut known = lock(&self.known);
        let kept = self.renewed(&mut known, workspace)?;
        match kept.map(|kept| check(&kept, &fresh)) {
            Some(Comparison::Forked) => return Ok(false),
            Some(Comparison::Behind) => return Ok(true),
            Some(Comparison::Ahead) | None => {}
        }
        let Some(dir) = &self.dir else {
            known.insert(workspace.clone(), CachedCheckpoint::in_memory(fresh));
            return Ok(true);
        };
        let _alone = lock_directory(dir)?;
        // Another process may have been quicker.
        match read(dir, workspace)?.map(|kept| check(&kept, &fresh)) {
            Some(Comparison::Forked) => return Ok(false),
            Some(Comparison::Behind) => {}
            Some(Comparison::Ahead) | None => {
                let kept = write(dir, workspace, fresh)?;
                known.insert(workspace.clone(), kept);
            }
        }
        Ok(true)
    }

    /// Trusts a workspace anew: keeps this checkpoint whatever was kept before, or none where the
    /// ledger has nothing of it, and forgets the facts about its secrets. Where there is a home, what was kept goes to a file in
    /// `home/evidence`, the facts behind the checkpoint.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn accept(
        &self,
        workspace: &WorkspaceName,
        seen: Option<TrustedCheckpoint>,
    ) -> io::Result<Option<PathBuf>> {
        let mut known = lock(&self.known);
        let Some((dir, evidence)) = self.dir.as_ref().zip(self.evidence.as_ref()) else {
            self.secrets.forget(workspace)?;
            known.remove(workspace);
            known.extend(seen.map(|seen| (workspace.clone(), CachedCheckpoint::in_memory(seen))));
            return Ok(None);
        };
        let _alone = lock_directory(dir)?;
        private_files::own_directory(evidence)?;
        let old = read(dir, workspace)?;
        let name = old.as_ref().map_or_else(
            || format!("{workspace}-0"),
            |old| format!("{workspace}-{}-{}", old.size, old.root),
        );
        let kept = evidence.join(name);
        let facts = self.secrets.text(workspace)?;
        // One that was cut short a moment ago may have put more there.
        if facts.is_some() || !kept.exists() {
            let old = old.as_ref().map(text).unwrap_or_default();
            let both = format!("{old}\n{}", facts.unwrap_or_default());
            private_files::replace(&kept, both.as_bytes())?;
        }
        // First: facts that outlive their checkpoint would be held against the new log.
        self.secrets.forget(workspace)?;
        known.remove(workspace);
        match seen {
            Some(seen) => {
                known.insert(workspace.clone(), write(dir, workspace, seen)?);
            }
            None => private_files::remove(&dir.join(workspace.as_str()))?,
        }
        Ok(Some(kept))
    }
}

impl CachedCheckpoint {
    const fn in_memory(seen: TrustedCheckpoint) -> Self {
        Self { stamp: None, seen }
    }
}

/// A fresh checkpoint beside the one kept.
enum Comparison {
    Ahead,
    Behind,
    Forked,
}

fn check(kept: &TrustedCheckpoint, fresh: &TrustedCheckpoint) -> Comparison {
    match fresh.size.cmp(&kept.size) {
        Ordering::Greater => Comparison::Ahead,
        Ordering::Equal if fresh.root != kept.root => Comparison::Forked,
        Ordering::Equal | Ordering::Less => Comparison::Behind,
    }
}

/// Tells one content of a file from the next: every change is a new file in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
    length: u64,
}

impl Stamp {
    /// That of a file; `None` when there is none.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self {
                inode: metadata.ino(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                length: metadata.len(),
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Held while it lives: one at a time among all processes, so that what is kept never sinks.
fn lock_directory(dir: &Path) -> io::Result<File> {
    if let Some(above) = dir.parent() {
        private_files::own_directory(above)?;
    }
    private_files::own_directory(dir)?;
    private_files::lock(&dir.join(".lock"))
}

/// A file that cannot be understood.
fn trust_anew(path: &Path) -> io::Error {
    let path = path.display();
    io::Error::other(format!("{path} is damaged: move it away to trust anew"))
}

fn read(dir: &Path, workspace: &WorkspaceName) -> io::Result<Option<TrustedCheckpoint>> {
    let path = dir.join(workspace.as_str());
    let Some(bytes) = private_files::read(&path, CHECKPOINT_BYTES)? else {
        return Ok(None);
    };
    let parsed = std::str::from_utf8(&bytes).ok().and_then(parse);
    parsed.map(Some).ok_or_else(|| trust_anew(&path))
}

fn write(
    dir: &Path,
    workspace: &WorkspaceName,
    seen: TrustedCheckpoint,
) -> io::Result<CachedCheckpoint> {
    let path = dir.join(workspace.as_str());
    private_files::replace(&path, text(&seen).as_bytes())?;
    let stamp = Stamp::of(&path)?;
    Ok(CachedCheckpoint { stamp, seen })
}

fn text(seen: &TrustedCheckpoint) -> String {
    let note = seen.note.as_deref().unwrap_or_default();
    format!("{}\n{}\n{note}", seen.size, seen.root)
}

fn parse(text: &str) -> Option<TrustedCheckpoint> {
    let mut lines = text.splitn(3, '\n');
    let size = TreeSize(lines.next()?.parse().ok()?);
    let root: keyroll_core::Digest = lines.next()?.parse().ok()?;
    let note = lines
        .next()
        .filter(|note| !note.is_empty())
        .map(str::to_owned);
    Some(TrustedCheckpoint {
        size,
        root: Hash(root.0),
        note,
    })
}

#[cfg(test)]
mod tests;
