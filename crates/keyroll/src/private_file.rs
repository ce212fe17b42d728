//! Files that hold keys or passwords: mode 0600, in directories of mode 0700.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::Failure;

/// Makes a directory and its parents for its owner alone. One that is there stays as it is.
pub(crate) fn make_directory(path: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|error| Failure::file(path, &error))
}

/// Writes a file that must not be there yet.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(parent) = parent(path) {
        make_directory(parent)?;
    }
    write_new(path, bytes).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::local(format!(
            "{} is there already and is not overwritten",
            path.display()
        )),
        _ => Failure::file(path, &error),
    })
}

/// Writes a file in place of an old one, in one step: a reader sees the old or the new.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::file(path, &error);
    if let Some(parent) = parent(path) {
        make_directory(parent)?;
    }
    let fresh = beside(path);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    write_new(&fresh, bytes)
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(failed)
}

/// Fails where no file could be written at a path; nothing is left of the trial.
pub(crate) fn try_out(path: &Path) -> Result<(), Failure> {
    if let Some(parent) = parent(path) {
        make_directory(parent)?;
    }
    let fresh = beside(path);
    write_new(&fresh, b"")
        .and_then(|()| fs::remove_file(&fresh))
        .map_err(|error| Failure::file(path, &error))
}

/// A name of this process's own in the same directory.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

/// Refuses a file that others than its owner may read.
pub(crate) fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), Failure> {
    let mode = metadata.permissions().mode() & 0o7777;
    let others = mode & 0o077;
    if others == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::local(format!(
        "{path} can be read by others (mode {mode:04o}), so it is not used: if nobody did, run \
         `chmod 600 {path}`"
    )))
}

fn parent(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_for_their_owner_and_created_once() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("a/b/key");
        create(&path, b"one").expect("created");
        assert!(create(&path, b"two").is_err());
        assert_eq!(fs::read(&path).expect("read"), b"one");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&home.path().join("a"))), (0o600, 0o700));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(check_mode(&path, &fs::metadata(&path).expect("there")).is_err());
        replace(&path, b"two").expect("replaced");
        assert_eq!(
            (fs::read(&path).expect("read"), mode(&path)),
            (b"two".to_vec(), 0o600)
        );
        check_mode(&path, &fs::metadata(&path).expect("there")).expect("private again");
        assert_eq!(
            fs::read_dir(home.path().join("a/b"))
                .expect("listed")
                .count(),
            1
        );
    }
}
