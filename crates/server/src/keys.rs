//! The ledger's key files, each with mode 0600:
//!
//! ```text
//! ledger-id.pem    the key whose public half is the ledger's id; may be moved offline
//! online.pem       the key that signs commits and checkpoints
//! ledger-key.cose  the id's statement for the online key
//! root.key         64 hex digits: the key that wraps all others, unless it is kept elsewhere
//! ```

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use keyroll_core::crypto::Key;
use keyroll_core::statement::LedgerKey;
use keyroll_core::{Blob, Identity, LedgerId, Millis, cose};

pub use crate::key_file::KeysError;
use crate::key_file::{content, random, read_private, write_new};
use crate::root_key::{PlainFile, RootKeySource};

/// How long an online key is valid: ten years.
const LIFE_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// The keys that a service needs. The ledger's id key is not one of them.
pub struct KeyFiles {
    pub(crate) statement: Blob,
    pub(crate) online: SigningKey,
    pub(crate) root: Key,
    ledger: LedgerId,
}

/// Generates an Ed25519 key into a new PKCS#8 PEM file, as `openssl genpkey -algorithm ed25519` does.
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

/// Reads the Ed25519 key in a private PKCS#8 PEM file.
///
/// # Errors
/// [`KeysError`].
pub fn read_signing_key(file: &Path) -> Result<SigningKey, KeysError> {
    let bytes = read_private(file)?;
    let pem = std::str::from_utf8(&bytes).map_err(|_| content(file, "not PEM"))?;
    SigningKey::from_pkcs8_pem(pem)
        .map_err(|error| content(file, format!("not an Ed25519 PKCS#8 PEM key: {error}")))
}

/// The file of a plain root key in the directory of keys.
pub fn plain_root(dir: &Path) -> PathBuf {
    dir.join("root.key")
}

/// The file of a root key that is locked with a passphrase.
pub fn locked_root(dir: &Path) -> PathBuf {
    dir.join("root.locked")
}

/// Creates a ledger's keys in `dir`, with a plain root key.
///
/// # Errors
/// [`KeysError`]; nothing that exists is replaced.
pub fn create_keys(dir: &Path, now: Millis) -> Result<LedgerId, KeysError> {
    create_keys_with(dir, now, |key| {
        crate::root_key::write_plain(&plain_root(dir), key)
    })
}

/// Creates a ledger's keys in `dir`. `keep` stores the new root key. It runs first, so that after its
/// failure there are no keys, and the call can be repeated.
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

/// A key file in `dir` that already exists.
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
        let claimed = cose::open::<LedgerKey>(&statement)
            .map_err(|error| content(&file, error))?
            .payload;
        let opened =
            LedgerKey::open(&statement, &claimed.ledger).map_err(|error| content(&file, error))?;
        if opened.key.0 != online.verifying_key().to_bytes() {
            return Err(content(
                &file,
                "it is a statement about another key than online.pem",
            ));
        }
        Ok(Self {
            statement: statement.into(),
            online,
            root: root.root_key()?,
            ledger: opened.ledger,
        })
    }

    /// The ledger's id.
    pub const fn ledger(&self) -> LedgerId {
        self.ledger
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_created_once_and_read_back() {
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
    fn keys_that_other_users_can_read_are_refused() {
        let dir = tempfile::tempdir().expect("directory");
        create_keys(dir.path(), Millis(1)).expect("made");
        let root = dir.path().join("root.key");
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o640)).expect("mode");
        assert!(
            matches!(KeyFiles::load(dir.path()), Err(KeysError::Readable(file)) if file == root)
        );
    }
}
