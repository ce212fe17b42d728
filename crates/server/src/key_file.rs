//! Reading and writing key files, which only their owner may read.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

/// Why keys cannot be created or read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Keys exist already. They are never replaced.
    #[error("{0} already exists: a ledger's keys are never replaced")]
    Exists(PathBuf),
    /// A file is missing or cannot be read.
    #[error("{file}: {error}")]
    Io {
        /// The file.
        file: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// Other users may read a file.
    #[error("{0} can be read by others: set its mode to 0600")]
    Readable(PathBuf),
    /// A file has invalid content.
    #[error("{file}: {why}")]
    Content {
        /// The file.
        file: PathBuf,
        /// The reason.
        why: String,
    },
}

/// The error for invalid content.
pub(crate) fn content(file: &Path, why: impl std::fmt::Display) -> KeysError {
    KeysError::Content {
        file: file.to_owned(),
        why: why.to_string(),
    }
}

/// Writes a new file of mode 0600.
pub(crate) fn write_new(file: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => KeysError::Exists(file.to_owned()),
        _ => KeysError::Io {
            file: file.to_owned(),
            error,
        },
    };
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(io)?;
    out.write_all(bytes).map_err(io)?;
    out.sync_all().map_err(io)
}

/// Reads a file, unless other users may read it, too.
pub(crate) fn read_private(file: &Path) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let io = |error| KeysError::Io {
        file: file.to_owned(),
        error,
    };
    let mode = std::fs::metadata(file).map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeysError::Readable(file.to_owned()));
    }
    std::fs::read(file).map(Zeroizing::new).map_err(io)
}

/// Random bytes. `file` is named in the error.
pub(crate) fn random<const N: usize>(file: &Path) -> Result<Zeroizing<[u8; N]>, KeysError> {
    let mut bytes = Zeroizing::new([0_u8; N]);
    SysRng
        .try_fill_bytes(bytes.as_mut())
        .map_err(|error| content(file, format!("no randomness: {error}")))?;
    Ok(bytes)
}
