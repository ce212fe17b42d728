//! The identity file: an Ed25519 key as PKCS#8 PEM (RFC 8410), as `openssl genpkey -algorithm
//! ed25519` makes it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use keyroll_core::Identity;
use zeroize::Zeroizing;

use crate::error::Failure;
use crate::private_file;

/// Such a file has 119 bytes; with text around the key it may have more.
const FILE_BYTES: u64 = 16 * 1024;

/// The public half of a key.
pub(crate) fn identity(key: &SigningKey) -> Identity {
    Identity(key.verifying_key().to_bytes())
}

/// Reads an identity file that only its owner can read.
pub(crate) fn load(path: &Path) -> Result<SigningKey, Failure> {
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::local(format!(
            "there is no identity at {}: make one with `keyroll identity new`, or name one with --identity",
            path.display()
        )),
        _ => Failure::file(path, &error),
    })?;
    let failed = |error: io::Error| Failure::file(path, &error);
    private_file::check_mode(path, &file.metadata().map_err(failed)?)?;
    let mut text = Zeroizing::new(String::with_capacity(1024));
    file.by_ref()
        .take(FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    // openssl writes nothing around the key, people sometimes do.
    let start = text.find("-----BEGIN PRIVATE KEY-----").unwrap_or(0);
    SigningKey::from_pkcs8_pem(text[start..].trim_end()).map_err(|_| {
        Failure::local(format!(
            "{} is no Ed25519 key in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` makes one",
            path.display()
        ))
    })
}

/// Makes a key and writes its file, never over one that is there.
pub(crate) fn create(path: &Path) -> Result<SigningKey, Failure> {
    let key = SigningKey::from_bytes(&Zeroizing::new(keyroll_api::client::random()?));
    // Without the public key, which older readers of PKCS#8 do not know.
    let pair = KeypairBytes {
        secret_key: key.to_bytes(),
        public_key: None,
    };
    let pem = pair
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| Failure::local(format!("the key cannot be written as PKCS#8: {error}")))?;
    private_file::create(path, pem.as_bytes())?;
    Ok(key)
}

/// The key of a file, made when there is no such file.
pub(crate) fn load_or_create(path: &Path) -> Result<SigningKey, Failure> {
    if path.exists() {
        load(path)
    } else {
        create(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    /// RFC 8410 §10.3, with the public key that RFC 8410 §10.1 gives for it.
    const EXAMPLE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const EXAMPLE_PUBLIC: &str = "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE";

    fn written(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("identity.pem");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        (home, path)
    }

    #[test]
    fn files_of_other_programs_are_read() {
        for text in [EXAMPLE.to_owned(), format!("my key\n{EXAMPLE}\n")] {
            let (_home, path) = written(&text, 0o600);
            let key = load(&path).expect("read");
            assert_eq!(identity(&key).to_string(), EXAMPLE_PUBLIC);
        }
    }

    #[test]
    fn what_is_made_is_read_and_never_overwritten() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("deep/identity.pem");
        let made = create(&path).expect("made");
        assert_eq!(identity(&load(&path).expect("read")), identity(&made));
        assert!(create(&path).is_err());
        let text = fs::read_to_string(&path).expect("read");
        // The form of the example above, to the byte: 119 bytes, same prefix.
        assert_eq!((text.len(), &text[..48]), (EXAMPLE.len(), &EXAMPLE[..48]));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let (_home, path) = written(EXAMPLE, 0o640);
        let error = load(&path).expect_err("refused");
        assert!(error.message().contains("chmod 600"), "{}", error.message());
    }

    #[test]
    fn other_files_are_named_and_not_quoted() {
        for text in [
            "",
            "hunter2",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let (_home, path) = written(text, 0o600);
            let error = load(&path).expect_err("refused");
            assert!(
                error.message().contains("identity.pem") && !error.message().contains("hunter2")
            );
        }
    }
}
