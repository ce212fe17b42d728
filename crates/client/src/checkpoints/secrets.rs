//! What a client has verified of secrets, kept beside its checkpoints: in memory, and in
//! `<workspace>.secrets` where there is a home.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use keyroll_core::{Index, TreeSize, WorkspaceName};

use super::facts::{MOST_BYTES, Observation, SecretFacts};
use super::{Stamp, lock_directory, trust_anew};
use crate::ClientError;
use crate::client::lock;
use crate::private_files;
use keyroll_wire::reply::SecretRow;

/// Bytes of a file: the facts, its first line and its last.
const FILE_BYTES: u64 = MOST_BYTES as u64 + 64;

/// Holds what is shown of secrets against what was verified before, and remembers it.
#[derive(Debug)]
pub struct SecretFactStore {
    dir: Option<PathBuf>,
    loaded: Mutex<BTreeMap<WorkspaceName, Loaded>>,
}

/// The facts about a workspace, and which file they were read from.
#[derive(Debug, Default)]
struct Loaded {
    stamp: Option<Stamp>,
    known: SecretFacts,
}

impl SecretFactStore {
    pub(super) fn new(dir: Option<PathBuf>) -> Self {
        Self {
            dir,
            loaded: Mutex::new(BTreeMap::new()),
        }
    }

    fn path(&self, workspace: &WorkspaceName) -> Option<PathBuf> {
        // No workspace has a dot in its name.
        let path = |dir: &PathBuf| dir.join(format!("{workspace}.secrets"));
        self.dir.as_ref().map(path)
    }

    /// Number of names that are remembered.
    ///
    /// # Errors
    /// When the file is there and cannot be read: to go on without it would forgive a rollback.
    pub fn count(&self, workspace: &WorkspaceName) -> io::Result<usize> {
        self.with(workspace, SecretFacts::len)
    }

    fn with<T>(
        &self,
        workspace: &WorkspaceName,
        look: impl FnOnce(&SecretFacts) -> T,
    ) -> io::Result<T> {
        let mut all = lock(&self.loaded);
        let loaded = all.entry(workspace.clone()).or_default();
        if let Some(path) = self.path(workspace) {
            loaded.renew(&path)?;
        }
        Ok(look(&loaded.known))
    }

    /// Holds against the facts what entries show, and remembers it, on disk before this returns:
    /// what a person should know of it.
    ///
    /// # Errors
    /// As [`SecretFacts::check`], and then nothing is remembered; when the file cannot be read or written.
    pub(crate) fn verify(
        &self,
        workspace: &WorkspaceName,
        shown: &[Observation<'_>],
    ) -> Result<Vec<String>, ClientError> {
        if shown.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = lock(&self.loaded);
        let loaded = all.entry(workspace.clone()).or_default();
        let place = self.dir.as_ref().zip(self.path(workspace));
        if let Some((_, path)) = &place {
            loaded.renew(path)?;
        }
        let warnings = check(&loaded.known, shown)?;
        if !shown.iter().any(|one| loaded.known.would_change(one)) {
            return Ok(warnings);
        }
        let Some((dir, path)) = place else {
            return Ok(loaded.known.remember_all(shown, warnings, None).1);
        };
        let _alone = lock_directory(dir)?;
        // Another process may have been quicker.
        loaded.read(&path)?;
        let warnings = check(&loaded.known, shown)?;
        let mut fresh = loaded.known.clone();
        let (changed, warnings) = fresh.remember_all(shown, warnings, Some(&path));
        if changed {
            private_files::replace(&path, fresh.text().as_bytes())?;
            loaded.known = fresh;
            loaded.stamp = Stamp::of(&path)?;
        }
        Ok(warnings)
    }

    /// Holds the current versions that an answer shows against the facts. Nothing is remembered: no
    /// entry is shown to prove them.
    ///
    /// # Errors
    /// [`keyroll_core::Code::Rollback`]; when the file cannot be read.
    pub(crate) fn check_rows(
        &self,
        workspace: &WorkspaceName,
        size: TreeSize,
        rows: &[SecretRow],
    ) -> Result<(), ClientError> {
        let Some(last) = size.0.checked_sub(1).map(Index) else {
            return Ok(());
        };
        let check = |known: &SecretFacts| {
            let mut rows = rows.iter();
            rows.try_for_each(|row| known.check_version(&row.id, &row.name, row.version, last))
        };
        self.with(workspace, check)?
    }

    /// The file of a workspace; `None` when there is none. Whoever verifies holds its facts and waits
    /// for the directory, so who holds the directory does not wait for them.
    pub(super) fn text(&self, workspace: &WorkspaceName) -> io::Result<Option<String>> {
        let Some(path) = self.path(workspace) else {
            return Ok(None);
        };
        let bytes = private_files::read(&path, FILE_BYTES)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Forgets a workspace. Whoever has read its file notices that it is gone.
    pub(super) fn forget(&self, workspace: &WorkspaceName) -> io::Result<()> {
        if let Some(path) = self.path(workspace) {
            return private_files::remove(&path);
        }
        lock(&self.loaded).remove(workspace);
        Ok(())
    }
}

fn check(known: &SecretFacts, shown: &[Observation<'_>]) -> Result<Vec<String>, ClientError> {
    let mut warnings = Vec::new();
    for one in shown {
        warnings.extend(known.check(one)?);
    }
    Ok(warnings)
}

impl SecretFacts {
    fn remember_all(
        &mut self,
        shown: &[Observation<'_>],
        mut warnings: Vec<String>,
        file: Option<&Path>,
    ) -> (bool, Vec<String>) {
        let left: Vec<&Observation<'_>> = shown.iter().filter(|one| !self.remember(one)).collect();
        if let Some(first) = left.first() {
            let names = match left.len() {
                1 => format!("{} is", first.name),
                more => format!("{} and {} others are", first.name, more - 1),
            };
            let place = file.map_or_else(
                || "what this client remembers".to_owned(),
                |file| file.display().to_string(),
            );
            warnings.push(format!(
                "{names} not remembered, so an old value would not be noticed: {place} has no room for \
                 more than {MOST_BYTES} bytes"
            ));
        }
        (left.len() < shown.len(), warnings)
    }
}

impl Loaded {
    /// Reads the file, unless it is the one that was read last.
    fn renew(&mut self, path: &Path) -> io::Result<()> {
        if self.stamp.is_some() && self.stamp == Stamp::of(path)? {
            return Ok(());
        }
        self.read(path)
    }

    fn read(&mut self, path: &Path) -> io::Result<()> {
        let stamp = Stamp::of(path)?;
        let known = match private_files::read(path, FILE_BYTES)? {
            None => SecretFacts::default(),
            Some(bytes) => {
                let text = std::str::from_utf8(&bytes).ok();
                text.and_then(SecretFacts::parse)
                    .ok_or_else(|| trust_anew(path))?
            }
        };
        *self = Self { stamp, known };
        Ok(())
    }
}
