//! Keeps what a client has verified, per workspace: the highest checkpoint, which reveals a
//! rollback of the log, and facts about secrets, which reveal an old or wrong value. Both are on
//! disk before a reply is accepted.

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

use crate::private_files;
use crate::sync::lock;

pub(crate) use facts::{Observation, SetByCaller};
pub use secrets::SecretFactStore;

/// Most bytes of a checkpoint's file: far more than a note with its signatures needs.
const CHECKPOINT_BYTES: u64 = 64 * 1024;

/// The size and root of a verified checkpoint.
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
    /// The directory for checkpoints and facts that were replaced by [`CheckpointStore::accept`].
    evidence: Option<PathBuf>,
    cached: Mutex<BTreeMap<WorkspaceName, CachedCheckpoint>>,
    secrets: SecretFactStore,
}

/// A checkpoint, and the state of the file that it was read from.
#[derive(Debug, Clone)]
struct CachedCheckpoint {
    stamp: Option<Stamp>,
    checkpoint: TrustedCheckpoint,
}

impl CheckpointStore {
    /// A store in memory only.
    pub fn memory() -> Self {
        Self::new(None, None)
    }

    /// A store in `home/seen/<ledger>`: the file `<workspace>` has a checkpoint's size, root and
    /// note, one per line, `<workspace>.secrets` the facts about secrets.
    pub fn in_home(home: &Path, ledger: &LedgerId) -> Self {
        let name = ledger.to_string().replace(':', "-");
        let dir = home.join("seen").join(name);
        Self::new(Some(dir), Some(home.join("evidence")))
    }

    fn new(dir: Option<PathBuf>, evidence: Option<PathBuf>) -> Self {
        Self {
            secrets: SecretFactStore::new(dir.clone()),
            cached: Mutex::new(BTreeMap::new()),
            dir,
            evidence,
        }
    }

    /// The directory of the checkpoints; `None` when they are in memory only.
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
    /// When a file exists and cannot be read: without it a rollback would pass unnoticed.
    pub fn get(&self, workspace: &WorkspaceName) -> io::Result<Option<TrustedCheckpoint>> {
        self.current(&mut lock(&self.cached), workspace)
    }

    /// The checkpoint of a workspace. Its file is read again when it has changed: a person may have
    /// accepted a recovery meanwhile.
    fn current(
        &self,
        cached: &mut BTreeMap<WorkspaceName, CachedCheckpoint>,
        workspace: &WorkspaceName,
    ) -> io::Result<Option<TrustedCheckpoint>> {
        let kept = cached.get(workspace);
        let Some(dir) = &self.dir else {
            return Ok(kept.map(|kept| kept.checkpoint.clone()));
        };
        let stamp = Stamp::of(&dir.join(workspace.as_str()))?;
        if let Some(kept) = kept.filter(|kept| kept.stamp == stamp) {
            return Ok(Some(kept.checkpoint.clone()));
        }
        let read = read(dir, workspace)?;
        match read.clone() {
            Some(checkpoint) => {
                cached.insert(workspace.clone(), CachedCheckpoint { stamp, checkpoint })
            }
            None => cached.remove(workspace),
        };
        Ok(read)
    }

    /// The workspaces with a trusted checkpoint.
    ///
    /// # Errors
    /// When the directory exists and cannot be read.
    pub fn workspaces(&self) -> io::Result<Vec<WorkspaceName>> {
        let Some(dir) = &self.dir else {
            return Ok(lock(&self.cached).keys().cloned().collect());
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

    /// Keeps a checkpoint if it is higher than the kept one. Returns false when the kept one has
    /// the same size and another root, which means that the log was forked.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn raise(&self, workspace: &WorkspaceName, fresh: TrustedCheckpoint) -> io::Result<bool> {
        let mut cached = lock(&self.cached);
        let kept = self.current(&mut cached, workspace)?;
        match kept.map(|kept| compare(&kept, &fresh)) {
            Some(Comparison::Forked) => return Ok(false),
            Some(Comparison::Behind) => return Ok(true),
            Some(Comparison::Ahead) | None => {}
        }
        let Some(dir) = &self.dir else {
            cached.insert(workspace.clone(), CachedCheckpoint::in_memory(fresh));
            return Ok(true);
        };
        let _locked = lock_directory(dir)?;
        // Another process may have written meanwhile.
        match read(dir, workspace)?.map(|kept| compare(&kept, &fresh)) {
            Some(Comparison::Forked) => return Ok(false),
            Some(Comparison::Behind) => {}
            Some(Comparison::Ahead) | None => {
                let kept = write(dir, workspace, fresh)?;
                cached.insert(workspace.clone(), kept);
            }
        }
        Ok(true)
    }

    /// Starts to trust a workspace anew: replaces the kept checkpoint by this one, or by none where
    /// the ledger has no such workspace, and forgets the facts about its secrets. The replaced
    /// checkpoint and facts go to a file in `home/evidence`, where there is a home.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn accept(
        &self,
        workspace: &WorkspaceName,
        accepted: Option<TrustedCheckpoint>,
    ) -> io::Result<Option<PathBuf>> {
        let mut cached = lock(&self.cached);
        let Some((dir, evidence)) = self.dir.as_ref().zip(self.evidence.as_ref()) else {
            self.secrets.forget(workspace)?;
            cached.remove(workspace);
            let accepted = accepted.map(CachedCheckpoint::in_memory);
            cached.extend(accepted.map(|accepted| (workspace.clone(), accepted)));
            return Ok(None);
        };
        let _locked = lock_directory(dir)?;
        private_files::own_directory(evidence)?;
        let old = read(dir, workspace)?;
        let name = old.as_ref().map_or_else(
            || format!("{workspace}-0"),
            |old| format!("{workspace}-{}-{}", old.size, old.root),
        );
        let kept = evidence.join(name);
        let facts = self.secrets.text(workspace)?;
        // An earlier call that was interrupted may have written more there.
        if facts.is_some() || !kept.exists() {
            let old = old.as_ref().map(text).unwrap_or_default();
            let both = format!("{old}\n{}", facts.unwrap_or_default());
            private_files::replace(&kept, both.as_bytes())?;
        }
        // The facts go first: if they outlived their checkpoint, the new log would contradict them.
        self.secrets.forget(workspace)?;
        cached.remove(workspace);
        match accepted {
            Some(accepted) => {
                cached.insert(workspace.clone(), write(dir, workspace, accepted)?);
            }
            None => private_files::remove(&dir.join(workspace.as_str()))?,
        }
        Ok(Some(kept))
    }
}

impl CachedCheckpoint {
    const fn in_memory(checkpoint: TrustedCheckpoint) -> Self {
        let stamp = None;
        Self { stamp, checkpoint }
    }
}

/// A fresh checkpoint compared with the kept one.
enum Comparison {
    Ahead,
    Behind,
    Forked,
}

fn compare(kept: &TrustedCheckpoint, fresh: &TrustedCheckpoint) -> Comparison {
    match fresh.size.cmp(&kept.size) {
        Ordering::Greater => Comparison::Ahead,
        Ordering::Equal if fresh.root != kept.root => Comparison::Forked,
        Ordering::Equal | Ordering::Less => Comparison::Behind,
    }
}

/// Identifies the content of a file: every change replaces the file by a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
    length: u64,
}

impl Stamp {
    /// The stamp of a file; `None` when there is none.
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

/// Locks the directory against all other processes, so that a kept checkpoint never gets lower. The
/// lock is held until the file is dropped.
fn lock_directory(dir: &Path) -> io::Result<File> {
    if let Some(above) = dir.parent() {
        private_files::own_directory(above)?;
    }
    private_files::own_directory(dir)?;
    private_files::lock(&dir.join(".lock"))
}

/// The error for a damaged file.
fn damaged(path: &Path) -> io::Error {
    let path = path.display();
    io::Error::other(format!("{path} is damaged: move it away to trust anew"))
}

fn read(dir: &Path, workspace: &WorkspaceName) -> io::Result<Option<TrustedCheckpoint>> {
    let path = dir.join(workspace.as_str());
    let Some(bytes) = private_files::read(&path, CHECKPOINT_BYTES)? else {
        return Ok(None);
    };
    let parsed = std::str::from_utf8(&bytes).ok().and_then(parse);
    parsed.map(Some).ok_or_else(|| damaged(&path))
}

fn write(
    dir: &Path,
    workspace: &WorkspaceName,
    checkpoint: TrustedCheckpoint,
) -> io::Result<CachedCheckpoint> {
    let path = dir.join(workspace.as_str());
    private_files::replace(&path, text(&checkpoint).as_bytes())?;
    let stamp = Stamp::of(&path)?;
    Ok(CachedCheckpoint { stamp, checkpoint })
}

fn text(checkpoint: &TrustedCheckpoint) -> String {
    let note = checkpoint.note.as_deref().unwrap_or_default();
    format!("{}\n{}\n{note}", checkpoint.size, checkpoint.root)
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
