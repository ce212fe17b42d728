//! The highest checkpoint seen per workspace. It is what makes a rollback visible, so it is
//! written to disk before a reply is believed.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
        match &self.dir {
            Some(dir) => read(dir, workspace),
            None => Ok(None),
        }
    }

    /// Workspaces of which something was seen.
    ///
    /// # Errors
    /// When the directory is there and cannot be read.
    pub fn workspaces(&self) -> std::io::Result<Vec<WorkspaceName>> {
        let Some(dir) = &self.dir else {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(known.keys().cloned().collect());
        };
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        let mut found: Vec<WorkspaceName> = entries.flatten().filter_map(name).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Keeps a checkpoint if it is higher than the one kept. False when the one kept has the same
    /// size and another root: then the log was forked.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn raise(&self, workspace: &WorkspaceName, fresh: Seen) -> std::io::Result<bool> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // What is known here is never ahead of the file.
        match known.get(workspace).map(|kept| judge(kept, &fresh)) {
            Some(Judged::Forked) => return Ok(false),
            Some(Judged::Behind) => return Ok(true),
            Some(Judged::Ahead) | None => {}
        }
        let Some(dir) = &self.dir else {
            known.insert(workspace.clone(), fresh);
            return Ok(true);
        };
        let _alone = lock(dir)?;
        let kept = read(dir, workspace)?;
        let seen = match (kept.as_ref().map(|kept| judge(kept, &fresh)), kept) {
            (Some(Judged::Forked), _) => return Ok(false),
            (Some(Judged::Behind), Some(kept)) => kept,
            _ => {
                write(dir, workspace, &fresh)?;
                fresh
            }
        };
        known.insert(workspace.clone(), seen);
        Ok(true)
    }

    /// Keeps a checkpoint whatever was kept before: after an accepted recovery.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set(&self, workspace: &WorkspaceName, seen: Seen) -> std::io::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dir) = &self.dir {
            let _alone = lock(dir)?;
            write(dir, workspace, &seen)?;
        }
        known.insert(workspace.clone(), seen);
        Ok(())
    }
}

/// A fresh checkpoint beside the one kept.
enum Judged {
    Ahead,
    Behind,
    Forked,
}

fn judge(kept: &Seen, fresh: &Seen) -> Judged {
    match fresh.size.cmp(&kept.size) {
        Ordering::Greater => Judged::Ahead,
        Ordering::Equal if fresh.root != kept.root => Judged::Forked,
        Ordering::Equal | Ordering::Less => Judged::Behind,
    }
}

/// Held while it lives: one at a time among all processes, so that what is kept never sinks.
fn lock(dir: &Path) -> std::io::Result<std::fs::File> {
    std::fs::create_dir_all(dir)?;
    let lock = std::fs::File::create(dir.join(".lock"))?;
    lock.lock()?;
    Ok(lock)
}

fn read(dir: &Path, workspace: &WorkspaceName) -> std::io::Result<Option<Seen>> {
    let file = dir.join(workspace.as_str());
    match std::fs::read_to_string(&file) {
        Ok(text) => parse(&text).map(Some).ok_or_else(|| {
            let words = format!("{} is damaged: move it away to trust anew", file.display());
            std::io::Error::other(words)
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(dir: &Path, workspace: &WorkspaceName, seen: &Seen) -> std::io::Result<()> {
    let fresh = dir.join(format!(".{workspace}.new"));
    let mut out = std::fs::File::create(&fresh)?;
    let note = seen.note.as_deref().unwrap_or_default();
    write!(out, "{}\n{}\n{note}", seen.size, hex(&seen.root))?;
    out.sync_all()?;
    std::fs::rename(fresh, dir.join(workspace.as_str()))?;
    std::fs::File::open(dir)?.sync_all()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(size: u64) -> Seen {
        Seen {
            size: TreeSize(size),
            root: Hash([7; 32]),
            note: Some("a\nnote\n".to_owned()),
        }
    }

    #[test]
    fn what_is_kept_never_sinks_among_many() {
        let home = std::env::temp_dir().join(format!("keyroll-seen-{}", std::process::id()));
        let (ledger, workspace) = (
            LedgerId([1; 32]),
            "demo".parse::<WorkspaceName>().expect("name"),
        );
        std::thread::scope(|scope| {
            for start in 0..4_u64 {
                let (home, ledger, workspace) = (&home, &ledger, &workspace);
                scope.spawn(move || {
                    let store = SeenStore::in_home(home, ledger);
                    for size in (start..200).step_by(4) {
                        assert!(store.raise(workspace, seen(size)).expect("kept"));
                        let kept = store.get(workspace).expect("read").expect("there");
                        assert!(kept.size.0 >= size);
                    }
                });
            }
        });
        let fresh = SeenStore::in_home(&home, &ledger);
        assert_eq!(fresh.get(&workspace).expect("read"), Some(seen(199)));
        let forked = Seen {
            root: Hash([8; 32]),
            ..seen(199)
        };
        assert!(
            !SeenStore::in_home(&home, &ledger)
                .raise(&workspace, forked)
                .expect("read")
        );
        fresh.set(&workspace, seen(3)).expect("accepted");
        assert_eq!(
            SeenStore::in_home(&home, &ledger)
                .get(&workspace)
                .expect("read"),
            Some(seen(3))
        );
        let file = home
            .join("seen")
            .join(ledger.to_string().replace(':', "-"))
            .join("demo");
        std::fs::write(file, "nothing").expect("damaged");
        assert!(SeenStore::in_home(&home, &ledger).get(&workspace).is_err());
        std::fs::remove_dir_all(home).expect("removed");
    }
}
