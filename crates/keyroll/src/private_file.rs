//! Files that hold keys or passwords: [`private_files`], with failures that name the file.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use keyroll_client::private_files;

use crate::error::Failure;

/// Creates a directory and its parents for their owner alone. An existing one stays as it is.
pub(crate) fn make_directory(path: &Path) -> Result<(), Failure> {
    private_files::make_directory(path).map_err(|error| Failure::file(path, &error))
}

/// Writes a new file.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    private_files::create(path, bytes).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::local(format!("{} exists and was not overwritten", path.display()))
        }
        _ => Failure::file(path, &error),
    })
}

/// Writes a file in place of an old one, in one step: a reader sees the old or the new.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    private_files::replace(path, bytes).map_err(|error| Failure::file(path, &error))
}

/// Removes a file, if there is one.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    private_files::remove(path).map_err(|error| Failure::file(path, &error))
}

/// Fails where no file can be written at a path. It leaves no file behind.
pub(crate) fn try_out(path: &Path) -> Result<(), Failure> {
    private_files::try_out(path).map_err(|error| Failure::file(path, &error))
}

/// Refuses a file that users other than its owner may read.
pub(crate) fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), Failure> {
    if !private_files::others_may(metadata) {
        return Ok(());
    }
    let mode = metadata.permissions().mode() & 0o7777;
    let path = path.display();
    Err(Failure::local(format!(
        "other users can read {path} (mode {mode:04o}), so keyroll does not use it. If nobody has read it, run \
         `chmod 600 {path}`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_read_is_refused_until_it_is_private_again() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("a/key");
        create(&path, b"one").expect("created");
        let again = create(&path, b"two").expect_err("there already");
        assert!(again.message().contains("not overwritten"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        let refused = check_mode(&path, &fs::metadata(&path).expect("there"));
        let refused = refused.expect_err("others may");
        assert!(refused.message().contains("mode 0644"));
        replace(&path, b"two").expect("replaced");
        check_mode(&path, &fs::metadata(&path).expect("there")).expect("private again");
    }
}
