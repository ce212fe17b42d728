//! The highest checkpoint seen per workspace. It is what makes a rollback visible, so it is
//! written to disk before a reply is believed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use keyroll_core::{LedgerId, TreeSize, WorkspaceName};
use keyroll_merkle::Hash;

/// Size and root of a checkpoint that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Number of entries.
    pub size: TreeSize,
    /// Root over them.
    pub root: Hash,
    /// The signed note, when it came as one.
    pub note: Option<String>,
}

/// Keeps the highest checkpoints, in memory and in a directory when there is one.
#[derive(Debug)]
pub struct SeenStore {
    dir: Option<PathBuf>,
    known: Mutex<BTreeMap<WorkspaceName, Seen>>,
}

impl SeenStore {
    /// In memory only.
    pub fn memory() -> Self {
        Self {
            dir: None,
            known: Mutex::new(BTreeMap::new()),
        }
    }

    /// In `home/seen/<ledger>/<workspace>`: size, root and note, one per line.
    pub fn in_home(home: &Path, ledger: &LedgerId) -> Self {
        let name = ledger.to_string().replace(':', "-");
        Self {
            dir: Some(home.join("seen").join(name)),
            known: Mutex::new(BTreeMap::new()),
        }
    }

    /// The highest checkpoint of a workspace.
    ///
    /// # Errors
    /// When a file is there and cannot be read: to go on without it would forgive a rollback.
    pub fn get(&self, workspace: &WorkspaceName) -> std::io::Result<Option<Seen>> {
        if let Ok(known) = self.known.lock()
            && let Some(seen) = known.get(workspace)
        {
            return Ok(Some(seen.clone()));
        }
        let Some(dir) = &self.dir else {
            return Ok(None);
        };
        match std::fs::read_to_string(dir.join(workspace.as_str())) {
            Ok(text) => parse(&text).map(Some).ok_or_else(|| {
                let file = dir.join(workspace.as_str());
                std::io::Error::other(format!(
                    "{} is damaged: move it away to trust anew",
                    file.display()
                ))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a checkpoint if it is higher than the one kept.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn raise(&self, workspace: &WorkspaceName, seen: Seen) -> std::io::Result<()> {
        let highest = self.get(workspace)?;
        if highest.is_some_and(|highest| highest.size >= seen.size) {
            return Ok(());
        }
        self.set(workspace, seen)
    }

    /// Keeps a checkpoint whatever was kept before: after an accepted recovery.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set(&self, workspace: &WorkspaceName, seen: Seen) -> std::io::Result<()> {
        if let Some(dir) = &self.dir {
            std::fs::create_dir_all(dir)?;
            let (file, fresh) = (
                dir.join(workspace.as_str()),
                dir.join(format!(".{workspace}.{}", std::process::id())),
            );
            let mut out = std::fs::File::create(&fresh)?;
            write!(
                out,
                "{}\n{}\n{}",
                seen.size,
                hex(&seen.root),
                seen.note.as_deref().unwrap_or_default()
            )?;
            out.sync_all()?;
            std::fs::rename(fresh, file)?;
        }
        if let Ok(mut known) = self.known.lock() {
            known.insert(workspace.clone(), seen);
        }
        Ok(())
    }
}

fn hex(hash: &Hash) -> String {
    keyroll_core::Digest(hash.0).to_string()
}

fn parse(text: &str) -> Option<Seen> {
    let mut lines = text.splitn(3, '\n');
    let size = TreeSize(lines.next()?.parse().ok()?);
    let root: keyroll_core::Digest = lines.next()?.parse().ok()?;
    let note = lines
        .next()
        .filter(|note| !note.is_empty())
        .map(str::to_owned);
    Some(Seen {
        size,
        root: Hash(root.0),
        note,
    })
}
