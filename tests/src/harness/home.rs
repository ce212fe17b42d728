//! The directory of one test.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A data directory, and scratch space beside it. Both are deleted when this is dropped.
#[derive(Debug)]
pub struct Home {
    directory: TempDir,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// A fresh one.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("keyroll-test-").tempdir();
        let home = Self {
            directory: directory.expect("a directory"),
        };
        fs::create_dir(home.scratch()).expect("a directory");
        home
    }

    /// The data directory, which is also the home of its owner's commands.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Scratch space for anything else.
    pub fn scratch(&self) -> PathBuf {
        self.directory.path().join("scratch")
    }

    /// A path in [`Home::scratch`], as an argument for a command line.
    pub fn path(&self, name: &str) -> String {
        let path = self.scratch().join(name);
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// Writes a file into [`Home::scratch`], and returns its path.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    /// Copies a file or directory out of the data directory, to be put back later.
    pub fn save(&self, name: &str, as_name: &str) {
        copy(&self.data().join(name), &self.scratch().join(as_name));
    }

    /// Puts it back in place of the present one.
    pub fn put_back(&self, saved: &str, name: &str) {
        let to = self.data().join(name);
        remove(&to);
        copy(&self.scratch().join(saved), &to);
    }

    /// The directory of a stream, relative to the data directory.
    pub fn stream(&self, name: &str) -> String {
        let found = stream_below(&self.data(), name);
        let found = found.strip_prefix(self.data()).expect("below it");
        found.to_str().expect("a path in UTF-8").to_owned()
    }

    /// Removes a file or directory from the data directory.
    pub fn remove(&self, name: &str) {
        remove(&self.data().join(name));
    }
}

/// The directory of a stream below the directory of a nats-server. It lies below the key of an account.
///
/// # Panics
/// When there is none.
pub fn stream_below(data: &Path, name: &str) -> PathBuf {
    let accounts = fs::read_dir(data.join("jetstream"))
        .expect("streams")
        .flatten();
    let mut streams = accounts.map(|account| account.path().join("streams").join(name));
    streams
        .find(|path| path.is_dir())
        .unwrap_or_else(|| panic!("no stream {name}"))
}

fn remove(path: &Path) {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Copies a file, or a directory with its contents.
///
/// # Panics
/// When that fails, or a directory is there already.
pub fn copy(from: &Path, to: &Path) {
    let failed = |error: std::io::Error| panic!("{} to {}: {error}", from.display(), to.display());
    if from.is_dir() {
        fs::create_dir(to).unwrap_or_else(failed);
        for entry in fs::read_dir(from).expect("a directory").flatten() {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).map_or_else(failed, drop);
    }
}

/// Every file below a directory. Files that vanish meanwhile are left out.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
