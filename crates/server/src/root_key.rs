//! Sources of the root key, which wraps all other keys of the ledger. It is always 32 random bytes, so it
//! can move to another source without wrapping the others again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use keyroll_core::crypto::{Key, RootContext, unwrap_root, wrap_root};
use zeroize::Zeroizing;

use crate::key_file::{KeysError, content, random, read_private, write_new};

/// The credential's name in systemd's directory.
pub const CREDENTIAL: &str = "keyroll-root-key";

/// RFC 9106's second recommendation (64 MiB, three passes), but with one lane, which costs an attacker the
/// same and needs no threads. OWASP recommends at least 19 MiB and two passes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// The largest parameters in a file: nobody needs a gigabyte for a start.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 32;

/// A source of the root key.
pub trait RootKeySource {
    /// Reads the key.
    ///
    /// # Errors
    /// [`KeysError`], which names the source.
    fn root_key(&self) -> Result<Key, KeysError>;
}

/// 64 hex digits in a file that only its owner can read.
#[derive(Debug, Clone)]
pub struct PlainFile(pub PathBuf);

/// 64 hex digits among systemd's credentials (`LoadCredentialEncrypted=`), which it decrypts into
/// memory for this service alone.
#[derive(Debug, Clone)]
pub struct CredentialDirectory(pub PathBuf);

/// A file that only opens with a passphrase, stretched by Argon2id (RFC 9106).
pub struct LockedFile {
    /// The file.
    pub file: PathBuf,
    /// The passphrase.
    pub passphrase: Zeroizing<String>,
}

impl RootKeySource for PlainFile {
    fn root_key(&self) -> Result<Key, KeysError> {
        parse(&self.0, &read_private(&self.0)?)
    }
}

impl RootKeySource for CredentialDirectory {
    fn root_key(&self) -> Result<Key, KeysError> {
        let file = self.0.join(CREDENTIAL);
        // systemd protects the directory. The mode of a file in it may show an ACL mask.
        let bytes = std::fs::read(&file).map_err(|error| KeysError::Io {
            file: file.clone(),
            error,
        })?;
        parse(&file, &Zeroizing::new(bytes))
    }
}

impl RootKeySource for LockedFile {
    fn root_key(&self) -> Result<Key, KeysError> {
        let bytes = read_private(&self.file)?;
        let wrong = |why: &str| content(&self.file, why);
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("not UTF-8 text"))?;
        let mut lines = text.lines();
        let (Some(header), Some(sealed), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(wrong("expected two lines: parameters and the locked key"));
        };
        let sealed = hex::decode(sealed).map_err(|_| wrong("the locked key is not hex"))?;
        let locked = Header::parse(header)
            .ok_or_else(|| wrong("the parameters are unknown, or too large"))?;
        let key = locked.stretch(&self.passphrase);
        let key = key.map_err(|error| wrong(&error.to_string()))?;
        unwrap_root(&key, &sealed, &RootContext::Passphrase(header)).map_err(|_| {
            wrong("it cannot be unlocked: the passphrase is wrong, or the file is damaged")
        })
    }
}

/// Writes the file of a [`PlainFile`], which must not exist yet.
///
/// # Errors
/// [`KeysError`].
pub fn write_plain(file: &Path, key: &Key) -> Result<(), KeysError> {
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key.bytes() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    write_new(file, text.as_bytes())
}

/// Writes the file of a [`LockedFile`], which must not exist yet.
///
/// # Errors
/// [`KeysError`].
pub fn write_locked(file: &Path, key: &Key, passphrase: &str) -> Result<(), KeysError> {
    let header = Header {
        memory: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
        salt: *random::<16>(file)?,
    };
    let (words, nonce) = (header.to_string(), *random::<24>(file)?);
    let stretched = header
        .stretch(passphrase)
        .map_err(|error| content(file, error))?;
    let sealed = wrap_root(&stretched, key, nonce, &RootContext::Passphrase(&words));
    write_new(
        file,
        format!("{words}\n{}\n", hex::encode(sealed)).as_bytes(),
    )
}

/// The first line of a locked file. The encryption binds the key to it.
struct Header {
    memory: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; 16],
}

impl std::fmt::Display for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (m, t, p) = (self.memory, self.passes, self.lanes);
        let salt = hex::encode(self.salt);
        write!(
            f,
            "keyroll-root-key-1 argon2id m={m} t={t} p={p} salt={salt}"
        )
    }
}

impl Header {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("keyroll-root-key-1 argon2id m=")?;
        let (memory, rest) = rest.split_once(" t=")?;
        let (passes, rest) = rest.split_once(" p=")?;
        let (lanes, salt) = rest.split_once(" salt=")?;
        let header = Self {
            memory: memory.parse().ok()?,
            passes: passes.parse().ok()?,
            lanes: lanes.parse().ok()?,
            salt: hex::decode(salt).ok()?.try_into().ok()?,
        };
        let bounded = header.memory <= MOST_MEMORY_KIB
            && header.passes <= MOST_PASSES
            && header.lanes == LANES;
        (bounded && header.to_string() == text).then_some(header)
    }

    fn stretch(&self, passphrase: &str) -> Result<Key, argon2::Error> {
        let params = Params::new(self.memory, self.passes, self.lanes, Some(32))?;
        let mut key = Zeroizing::new([0_u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
            passphrase.as_bytes(),
            &self.salt,
            key.as_mut(),
        )?;
        Ok(Key::new(*key))
    }
}

fn parse(file: &Path, text: &[u8]) -> Result<Key, KeysError> {
    let mut key = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.trim_ascii(), key.as_mut())
        .map_err(|_| content(file, "expected 64 hex digits"))?;
    Ok(Key::new(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does not compile for a type with the trait, because the last line is ambiguous then.
    macro_rules! never {
        ($type:ty: $($trait:path),+) => {{ $({
            trait Either<Which> {
                fn known() {}
            }
            impl<T: ?Sized> Either<()> for T {}
            struct Has;
            impl<T: ?Sized + $trait> Either<Has> for T {}
            <$type as Either<_>>::known();
        })+ }};
    }

    #[test]
    fn types_with_secrets_cannot_be_printed_or_serialized() {
        never!(LockedFile: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
        never!(crate::keys::KeyFiles: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
    }

    fn same(source: &dyn RootKeySource, key: &Key) -> bool {
        source
            .root_key()
            .is_ok_and(|found| found.bytes() == key.bytes())
    }

    #[test]
    fn every_source_returns_the_same_key() {
        let dir = tempfile::tempdir().expect("directory");
        let (key, at) = (Key::new([7; 32]), |name: &str| dir.path().join(name));
        write_plain(&at(CREDENTIAL), &key).expect("written");
        write_locked(&at("root.locked"), &key, "several easy words").expect("written");
        assert!(same(&PlainFile(at(CREDENTIAL)), &key));
        assert!(same(&CredentialDirectory(dir.path().to_owned()), &key));
        let locked = |words: &str| LockedFile {
            file: at("root.locked"),
            passphrase: Zeroizing::new(words.to_owned()),
        };
        assert!(same(&locked("several easy words"), &key));
        assert!(locked("several easy word").root_key().is_err());
        // It contains neither the key nor the passphrase, and is never overwritten.
        let text = std::fs::read_to_string(at("root.locked")).expect("read");
        assert!(!text.contains(&"07".repeat(8)) && !text.contains("easy"));
        assert!(text.starts_with("keyroll-root-key-1 argon2id m=65536 t=3 p=1 salt="));
        assert!(write_locked(&at("root.locked"), &key, "several easy words").is_err());
        assert!(write_plain(&at(CREDENTIAL), &key).is_err());
    }

    #[test]
    fn a_changed_header_is_refused_at_no_cost() {
        let dir = tempfile::tempdir().expect("directory");
        let file = dir.path().join("root.locked");
        write_locked(&file, &Key::new([7; 32]), "several easy words").expect("written");
        let text = std::fs::read_to_string(&file).expect("read");
        for (from, to) in [
            ("m=65536", "m=4294967295"),
            ("t=3", "t=4000000000"),
            ("t=3", "t=1"),
            ("p=1", "p=200"),
            ("m=65536", "m=065536"),
            ("salt=", "salt=00"),
            ("argon2id", "argon2i"),
        ] {
            std::fs::write(&file, text.replace(from, to)).expect("written");
            let source = LockedFile {
                file: file.clone(),
                passphrase: Zeroizing::new("several easy words".to_owned()),
            };
            assert!(source.root_key().is_err(), "{to}");
        }
    }
}
