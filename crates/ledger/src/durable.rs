//! File operations that survive a crash of the machine.

use std::fs::File;
use std::io;
use std::path::Path;

/// Renames a file whose bytes are on disk; then its new name is, too.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    names_beside(to)
}

/// Puts the names in the directory that `path` lies in on disk, its own among them.
pub(crate) fn names_beside(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) if directory != Path::new("") => File::open(directory)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
