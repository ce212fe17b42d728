//! Private files: mode 0600, in directories of mode 0700, whatever the umask is.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const FILE: u32 = 0o600;
const DIRECTORY: u32 = 0o700;

/// Creates a directory and its missing parents. Existing directories keep their mode.
///
/// # Errors
/// When it cannot be created, or another file is in its place.
pub fn make_directory(path: &Path) -> io::Result<()> {
    let make = || DirBuilder::new().mode(DIRECTORY).create(path);
    let made = match (make(), parent(path)) {
        (Err(error), Some(parent)) if error.kind() == ErrorKind::NotFound => {
            make_directory(parent)?;
            make()
        }
        (made, _) => made,
    };
    match made {
        // The umask may have taken bits of the owner.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(DIRECTORY)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// As [`make_directory`], for a directory that holds only keyroll's own files: access by others is
/// removed.
///
/// # Errors
/// As [`make_directory`].
pub fn own_directory(path: &Path) -> io::Result<()> {
    make_directory(path)?;
    close_to_others(path, &fs::metadata(path)?, DIRECTORY)
}

fn close_to_others(path: &Path, metadata: &Metadata, mode: u32) -> io::Result<()> {
    if !others_may(metadata) {
        return Ok(());
    }
    let closed = fs::set_permissions(path, Permissions::from_mode(mode));
    closed.map_err(|error| {
        let path = path.display();
        let words =
            format!("others may use {path}, and its mode cannot be set to {mode:o}: {error}");
        io::Error::new(error.kind(), words)
    })
}

/// Writes a file that does not exist yet, durably.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`], and when it cannot be written.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = parent(path) {
        make_directory(parent)?;
    }
    write_new(path, bytes)
}

/// Writes a file in place of an old one, durably and in one step: a reader sees the old or the new.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = parent(path) {
        make_directory(parent)?;
    }
    let fresh = beside(path);
    remove(&fresh)?;
    write_new(&fresh, bytes)?;
    fs::rename(&fresh, path).inspect_err(|_| forget(&fresh))?;
    // A writable directory may not be readable. Then the new name is as durable as the file system
    // makes it.
    match File::open(parent(path).unwrap_or(Path::new("."))) {
        Ok(directory) => directory.sync_all(),
        Err(_) => Ok(()),
    }
}

/// Checks that a file can be written at a path. No file is left behind.
///
/// # Errors
/// The reason.
pub fn try_out(path: &Path) -> io::Result<()> {
    if let Some(parent) = parent(path) {
        make_directory(parent)?;
    }
    let fresh = beside(path);
    write_new(&fresh, b"")?;
    fs::remove_file(&fresh)
}

/// Reads one of keyroll's own files; `None` when there is none. Access by others is removed.
///
/// # Errors
/// When it cannot be read, or has more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    close_to_others(path, &file.metadata()?, FILE)?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let words = format!("{} has more than {most} bytes", path.display());
        return Err(io::Error::other(words));
    }
    Ok(Some(bytes))
}

/// Waits for the lock of a file, which is created if absent. The lock is held until the returned
/// file is dropped.
///
/// # Errors
/// When it cannot be created or locked.
pub fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(FILE).open(path)?;
    if mode(&file.metadata()?) & 0o777 != FILE {
        file.set_permissions(Permissions::from_mode(FILE))?;
    }
    file.lock()?;
    Ok(file)
}

/// Removes a file, if there is one.
///
/// # Errors
/// When it exists and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether anyone but the owner has access.
pub fn others_may(metadata: &Metadata) -> bool {
    mode(metadata) & 0o077 != 0
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.permissions().mode()
}

fn parent(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
}

/// A name in the same directory that only this process uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE)
        .open(path)?;
    // The umask may have taken bits of the owner.
    let written = file
        .set_permissions(Permissions::from_mode(FILE))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all());
    // On a full disk, half a file is worse than none.
    written.inspect_err(|_| forget(path))
}

/// Removes a useless file. The error that made it useless is reported, not this one.
fn forget(path: &Path) {
    let _ = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        mode(&fs::metadata(path).expect("there")) & 0o777
    }

    #[test]
    fn files_are_for_their_owner_and_created_once() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("a/b/key");
        create(&path, b"one").expect("created");
        let again = create(&path, b"two").expect_err("there already");
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("read"), b"one");
        let (above, beside) = (home.path().join("a"), home.path().join("a/b"));
        assert_eq!(
            [&path, &above, &beside].map(|path| mode_of(path)),
            [0o600, 0o700, 0o700]
        );
        replace(&path, b"two").expect("replaced");
        assert_eq!(
            read(&path, 3).expect("read").as_deref(),
            Some(b"two".as_slice())
        );
        assert_eq!(fs::read_dir(&beside).expect("listed").count(), 1);
    }

    #[test]
    fn what_others_could_read_is_closed_to_them() {
        let home = tempfile::tempdir().expect("a directory");
        let (directory, path) = (home.path().join("own"), home.path().join("own/file"));
        fs::create_dir(&directory).expect("made");
        fs::write(&path, "old").expect("written");
        for (path, mode) in [(&directory, 0o777), (&path, 0o666)] {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("opened");
        }
        make_directory(&directory).expect("there");
        assert_eq!(mode_of(&directory), 0o777, "it may be somebody else's");
        own_directory(&directory).expect("there");
        assert_eq!(mode_of(&directory), 0o700);
        assert_eq!(
            read(&path, 9).expect("read").as_deref(),
            Some(b"old".as_slice())
        );
        assert_eq!(mode_of(&path), 0o600);
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("file");
        assert!(read(&path, 9).expect("nothing there").is_none());
        fs::write(&path, [0; 10]).expect("written");
        let error = read(&path, 9).expect_err("too large");
        assert!(error.to_string().contains("more than 9 bytes"), "{error}");
        assert!(make_directory(&path).is_err(), "a file is in its place");
    }
}
