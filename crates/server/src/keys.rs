//! The ledger's key files, each with mode 0600:
//!
//! ```text
//! ledger-id.pem    the key whose public half is the ledger's id; may be moved offline
//! online.pem       the key that signs commits and checkpoints
//! ledger-key.cose  the id's statement for the online key
//! root.key         64 hex digits: the key that wraps all keys, unless it is kept in another way
//! ```

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use keyroll_core::crypto::Key;
use keyroll_core::statement::LedgerKey;
use keyroll_core::{Blob, Identity, LedgerId, Millis, cose};
use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::root_key::{PlainFile, RootKeySource};

/// How long an online key lasts: ten years.
const LIFE_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Why keys cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There are keys already; they are never replaced.
    #[error("{0} exists already: a ledger's keys are never replaced")]
    Exists(PathBuf),
    /// A file is missing or cannot be read.
    #[error("{file}: {error}")]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Others may read a file.
    #[error("{0} can be read by others: set its mode to 0600")]
    Readable(PathBuf),
    /// A file holds something else.
    #[error("{file}: {why}")]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// The keys a service needs. The ledger's id key is not among them.
pub struct KeyFiles {
    pub(crate) statement: Blob,
    pub(crate) online: SigningKey,
    pub(crate) root: Key,
    ledger: LedgerId,
}

pub(crate) fn content(file: &Path, why: impl std::fmt::Display) -> KeysError {
    KeysError::Content {
        file: file.to_owned(),
        why: why.to_string(),
    }
}

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

pub(crate) fn random<const N: usize>(file: &Path) -> Result<Zeroizing<[u8; N]>, KeysError> {
    let mut bytes = Zeroizing::new([0_u8; N]);
    SysRng
        .try_fill_bytes(bytes.as_mut())
        .map_err(|error| content(file, format!("no randomness: {error}")))?;
    Ok(bytes)
}

/// A fresh Ed25519 key in a new PKCS#8 PEM file, as `openssl genpkey -algorithm ed25519` makes one.
///
/// # Errors
/// [`KeysError`].
pub fn new_signing_key(file: &Path) -> Result<SigningKey, KeysError> {
    let key = SigningKey::from_bytes(&*random::<32>(file)?);
    let pkcs8 = KeypairBytes {
        secret_key: key.to_bytes(),
        public_key: None,
    };
    let pem = pkcs8
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| content(file, error))?;
    write_new(file, pem.as_bytes())?;
    Ok(key)
}

/// The Ed25519 key in a PKCS#8 PEM file that nobody else may read.
///
/// # Errors
/// [`KeysError`].
pub fn read_signing_key(file: &Path) -> Result<SigningKey, KeysError> {
    let bytes = read_private(file)?;
    let pem = std::str::from_utf8(&bytes).map_err(|_| content(file, "not PEM"))?;
    SigningKey::from_pkcs8_pem(pem)
        .map_err(|error| content(file, format!("not an Ed25519 PKCS#8 PEM key: {error}")))
}

/// The file of a plain root key among the others.
pub fn plain_root(dir: &Path) -> PathBuf {
    dir.join("root.key")
}

/// The file of a root key that a passphrase opens.
pub fn locked_root(dir: &Path) -> PathBuf {
    dir.join("root.locked")
}

/// Makes a ledger's keys in `dir`, with a plain root key.
///
/// # Errors
/// [`KeysError`]; nothing that exists is replaced.
pub fn create_keys(dir: &Path, now: Millis) -> Result<LedgerId, KeysError> {
    create_keys_with(dir, now, |key| {
        crate::root_key::write_plain(&plain_root(dir), key)
    })
}

/// Makes a ledger's keys in `dir`; `keep` puts a new root key where it is to be kept. That comes
/// first: where it fails there are no keys, and it can be done again.
///
/// # Errors
/// [`KeysError`], or what `keep` fails with; nothing that exists is replaced.
pub fn create_keys_with<E: From<KeysError>>(
    dir: &Path,
    now: Millis,
    keep: impl FnOnce(&Key) -> Result<(), E>,
) -> Result<LedgerId, E> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(|error| KeysError::Io {
        file: dir.to_owned(),
        error,
    })?;
    keep(&Key::new(*random(dir)?))?;
    let id = new_signing_key(&dir.join("ledger-id.pem"))?;
    let online = new_signing_key(&dir.join("online.pem"))?;
    let ledger = LedgerId(id.verifying_key().to_bytes());
    let statement = LedgerKey {
        v: 1,
        key: Identity(online.verifying_key().to_bytes()),
        ledger,
        serial: 1,
        not_after: Millis(now.0.saturating_add(LIFE_MS)),
        not_before: now,
    };
    write_new(&dir.join("ledger-key.cose"), &cose::sign(&statement, &id))?;
    Ok(ledger)
}

/// A file of keys in `dir` that is there already.
pub fn found_in(dir: &Path) -> Option<PathBuf> {
    let files = ["root.key", "ledger-id.pem", "online.pem", "ledger-key.cose"];
    let mut paths = files.iter().map(|file| dir.join(file));
    paths.find(|path| path.exists())
}

impl KeyFiles {
    /// Reads the keys that a service needs from `dir`.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn load(dir: &Path) -> Result<Self, KeysError> {
        Self::load_with(dir, &PlainFile(plain_root(dir)))
    }

    /// As [`KeyFiles::load`], with the root key from elsewhere.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn load_with(dir: &Path, root: &dyn RootKeySource) -> Result<Self, KeysError> {
        let online = read_signing_key(&dir.join("online.pem"))?;
        let file = dir.join("ledger-key.cose");
        let statement = std::fs::read(&file).map_err(|error| KeysError::Io {
            file: file.clone(),
            error,
        })?;
        let said = cose::open::<LedgerKey>(&statement)
            .map_err(|error| content(&file, error))?
            .payload;
        let said =
            LedgerKey::open(&statement, &said.ledger).map_err(|error| content(&file, error))?;
        if said.key.0 != online.verifying_key().to_bytes() {
            return Err(content(
                &file,
                "it is a statement for another key than online.pem",
            ));
        }
        Ok(Self {
            statement: statement.into(),
            online,
            root: root.root_key()?,
            ledger: said.ledger,
        })
    }

    /// The ledger's id.
    pub const fn ledger(&self) -> LedgerId {
        self.ledger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_read_back() {
        let dir = tempfile::tempdir().expect("directory");
        let keys = dir.path().join("keys");
        let ledger = create_keys(&keys, Millis(1)).expect("made");
        assert_eq!(KeyFiles::load(&keys).expect("read").ledger(), ledger);
        assert!(matches!(
            create_keys(&keys, Millis(1)),
            Err(KeysError::Exists(_))
        ));
        assert_eq!(
            KeyFiles::load(&keys).expect("still the same").ledger(),
            ledger
        );
    }

    #[test]
    fn keys_that_others_can_read_are_refused() {
        let dir = tempfile::tempdir().expect("directory");
        create_keys(dir.path(), Millis(1)).expect("made");
        let root = dir.path().join("root.key");
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o640)).expect("mode");
        assert!(
            matches!(KeyFiles::load(dir.path()), Err(KeysError::Readable(file)) if file == root)
        );
    }
}
