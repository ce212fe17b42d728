//! The workspaces where the ledger knows a sign-in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fs, io};

use keyroll_core::{Identity, LedgerId, WorkspaceName};

use crate::checkpoints::CheckpointStore;
use crate::private_files;
use crate::sync::lock;

/// Most bytes of the file of workspaces: thousands of names.
const FILE_BYTES: u64 = 256 * 1024;
const DIRECTORY: &str = "sign-ins";

/// The workspaces where the ledger knows a sign-in, in memory and in a file when there is one.
#[derive(Default)]
pub(crate) struct OpenedIn {
    file: Option<PathBuf>,
    names: Mutex<BTreeSet<WorkspaceName>>,
    opening: Mutex<BTreeMap<WorkspaceName, Arc<tokio::sync::Mutex<()>>>>,
}

impl OpenedIn {
    /// Those that an earlier process opened, from the file beside the checkpoints.
    pub(crate) fn in_directory(directory: &Path, key: &Identity) -> io::Result<Self> {
        let name = format!("{}.workspaces", key.to_string().replace(':', "-"));
        let file = directory.join(DIRECTORY).join(name);
        let text = private_files::read(&file, FILE_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let names = text.lines().filter_map(|line| line.parse().ok()).collect();
        Ok(Self {
            file: Some(file),
            names: Mutex::new(names),
            opening: Mutex::default(),
        })
    }

    pub(crate) fn contains(&self, workspace: &WorkspaceName) -> bool {
        lock(&self.names).contains(workspace)
    }

    /// What makes the first command of many in a workspace wait for the entry of one, and those in
    /// other workspaces for nothing.
    pub(crate) fn opening(&self, workspace: &WorkspaceName) -> Arc<tokio::sync::Mutex<()>> {
        let mut opening = lock(&self.opening);
        Arc::clone(opening.entry(workspace.clone()).or_default())
    }

    pub(crate) fn insert(&self, workspace: &WorkspaceName) {
        let mut names = lock(&self.names);
        names.insert(workspace.clone());
        self.keep(&names);
    }

    /// Forgets a workspace; false where it was not known.
    pub(crate) fn remove(&self, workspace: &WorkspaceName) -> bool {
        let mut names = lock(&self.names);
        let known = names.remove(workspace);
        if known {
            self.keep(&names);
        }
        known
    }

    /// Without the file, the next process asks once more.
    fn keep(&self, names: &BTreeSet<WorkspaceName>) {
        if let Some(file) = &self.file {
            let lines: Vec<&str> = names.iter().map(WorkspaceName::as_str).collect();
            let _ = private_files::replace(file, lines.join("\n").as_bytes());
        }
    }
}

/// Forgets where the sign-ins of a home directory are open. The ledger still knows.
///
/// # Errors
/// When a file cannot be removed.
pub fn forget_sign_ins(home: &Path, ledger: &LedgerId) -> io::Result<()> {
    let checkpoints = CheckpointStore::in_home(home, ledger);
    let directory = checkpoints.directory().map(|path| path.join(DIRECTORY));
    match directory.map(fs::remove_dir_all) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> WorkspaceName {
        text.parse().expect("a name")
    }

    #[test]
    fn the_next_process_knows_where_a_sign_in_is_open_until_it_is_forgotten() {
        let home = tempfile::tempdir().expect("a directory");
        let ledger = LedgerId([9; 32]);
        let checkpoints = CheckpointStore::in_home(home.path(), &ledger);
        let directory = checkpoints.directory().expect("a directory");
        let open = || OpenedIn::in_directory(directory, &Identity([1; 32])).expect("read");
        let first = open();
        first.insert(&name("demo"));
        first.insert(&name("both"));
        assert!(first.remove(&name("demo")) && !first.remove(&name("demo")));
        assert!(open().contains(&name("both")) && !open().contains(&name("demo")));
        forget_sign_ins(home.path(), &ledger).expect("forgotten");
        forget_sign_ins(home.path(), &ledger).expect("once more");
        assert!(!open().contains(&name("both")));
    }

    #[tokio::test]
    async fn opening_in_one_workspace_waits_for_no_other() {
        let opened = OpenedIn::default();
        let demo = opened.opening(&name("demo"));
        let _held = demo.lock().await;
        assert!(opened.opening(&name("demo")).try_lock().is_err());
        assert!(opened.opening(&name("both")).try_lock().is_ok());
    }
}
