//! The store of verified facts about secrets, beside the checkpoints: in memory, and in
//! `<workspace>.secrets` where there is a home.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use keyroll_core::{Index, TreeSize, WorkspaceName};

use super::facts::{MOST_BYTES, Observation, SecretFacts};
use super::{Stamp, damaged, lock_directory};
use crate::ClientError;
use crate::private_files;
use crate::sync::lock;
use keyroll_wire::reply::SecretRow;

/// Most bytes of a file: the facts, the first line and the last.
const FILE_BYTES: u64 = MOST_BYTES as u64 + 64;

/// Checks observations of secrets against the verified facts, and remembers them.
#[derive(Debug)]
pub struct SecretFactStore {
    dir: Option<PathBuf>,
    loaded: Mutex<BTreeMap<WorkspaceName, Loaded>>,
}

/// The facts about a workspace, and the state of the file that they were read from.
#[derive(Debug, Default)]
struct Loaded {
    stamp: Option<Stamp>,
    facts: SecretFacts,
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

    /// The number of remembered names.
    ///
    /// # Errors
    /// When the file exists and cannot be read: without it an old value would pass unnoticed.
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
        Ok(look(&loaded.facts))
    }

    /// Checks observations against the facts, and remembers them on disk before it returns. Returns
    /// warnings for a person.
    ///
    /// # Errors
    /// As [`SecretFacts::check`], and nothing is remembered then; when the file cannot be read or
    /// written.
    pub(crate) fn verify(
        &self,
        workspace: &WorkspaceName,
        observations: &[Observation<'_>],
    ) -> Result<Vec<String>, ClientError> {
        if observations.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = lock(&self.loaded);
        let loaded = all.entry(workspace.clone()).or_default();
        let directory_and_path = self.dir.as_ref().zip(self.path(workspace));
        if let Some((_, path)) = &directory_and_path {
            loaded.renew(path)?;
        }
        let warnings = check(&loaded.facts, observations)?;
        if !observations
            .iter()
            .any(|one| loaded.facts.would_change(one))
        {
            return Ok(warnings);
        }
        let Some((dir, path)) = directory_and_path else {
            return Ok(loaded.facts.remember_all(observations, warnings, None).1);
        };
        let _locked = lock_directory(dir)?;
        // Another process may have written meanwhile.
        loaded.read(&path)?;
        let warnings = check(&loaded.facts, observations)?;
        let mut fresh = loaded.facts.clone();
        let (changed, warnings) = fresh.remember_all(observations, warnings, Some(&path));
        if changed {
            private_files::replace(&path, fresh.text().as_bytes())?;
            loaded.facts = fresh;
            loaded.stamp = Stamp::of(&path)?;
        }
        Ok(warnings)
    }

    /// Checks the current versions in an answer against the facts. It remembers nothing, since no
    /// entry proves them.
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
        let check = |facts: &SecretFacts| {
            let mut rows = rows.iter();
            rows.try_for_each(|row| facts.check_version(&row.id, &row.name, row.version, last))
        };
        self.with(workspace, check)?
    }

    /// The text of a workspace's file; `None` when there is none. It takes no lock on the facts: a
    /// caller holds the directory's lock, and [`SecretFactStore::verify`] waits for that one while
    /// it holds the facts.
    pub(super) fn text(&self, workspace: &WorkspaceName) -> io::Result<Option<String>> {
        let Some(path) = self.path(workspace) else {
            return Ok(None);
        };
        let bytes = private_files::read(&path, FILE_BYTES)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Forgets a workspace. Other processes notice that its file is gone.
    pub(super) fn forget(&self, workspace: &WorkspaceName) -> io::Result<()> {
        if let Some(path) = self.path(workspace) {
            return private_files::remove(&path);
        }
        lock(&self.loaded).remove(workspace);
        Ok(())
    }
}

fn check(
    facts: &SecretFacts,
    observations: &[Observation<'_>],
) -> Result<Vec<String>, ClientError> {
    let mut warnings = Vec::new();
    for one in observations {
        warnings.extend(facts.check(one)?);
    }
    Ok(warnings)
}

impl SecretFacts {
    fn remember_all(
        &mut self,
        observations: &[Observation<'_>],
        mut warnings: Vec<String>,
        file: Option<&Path>,
    ) -> (bool, Vec<String>) {
        let left: Vec<&Observation<'_>> = observations
            .iter()
            .filter(|one| !self.remember(one))
            .collect();
        if let Some(first) = left.first() {
            let names = match left.len() {
                1 => format!("{} is", first.name),
                more => format!("{} and {} others are", first.name, more - 1),
            };
            let store = file.map_or_else(
                || "the memory of this client".to_owned(),
                |file| file.display().to_string(),
            );
            warnings.push(format!(
                "{names} not remembered, so an old value would pass unnoticed: {store} has no room for \
                 more than {MOST_BYTES} bytes"
            ));
        }
        (left.len() < observations.len(), warnings)
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
        let facts = match private_files::read(path, FILE_BYTES)? {
            None => SecretFacts::default(),
            Some(bytes) => {
                let text = std::str::from_utf8(&bytes).ok();
                text.and_then(SecretFacts::parse)
                    .ok_or_else(|| damaged(path))?
            }
        };
        *self = Self { stamp, facts };
        Ok(())
    }
}
