//! The identity file: an Ed25519 key as PKCS#8 PEM (RFC 8410), as `openssl genpkey -algorithm
//! ed25519` makes it, with a passphrase when wanted (PBES2, RFC 8018). The file of a sign-in's
//! key has the member's consent as a second PEM block.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use keyroll_client::{SignInConsent, Signer, random};
use keyroll_core::{Identity, cbor};
use pkcs8::pkcs5::pbes2;
use pkcs8::{LineEnding, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::error::Failure;
use crate::passphrase::PassphraseSource;
use crate::private_file;

/// Such a file has 119 bytes; with text around the key it may have more.
const FILE_BYTES: u64 = 16 * 1024;
/// PBKDF2-HMAC-SHA256, as OWASP recommends it. (scrypt at OWASP's cost needs more memory than
/// openssl grants it, and openssl is to read these files.)
const PBKDF2_ITERATIONS: u32 = 600_000;

const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// The second block that earlier programs wrote.
const DELEGATION: &str = "KEYROLL DELEGATION";
const SIGN_IN: &str = "KEYROLL SIGN-IN";

/// The file of the sign-in of a home directory.
pub(crate) fn sign_in_path(home: &Path) -> PathBuf {
    home.join("sign-in.pem")
}

/// The public half of a key.
pub(crate) fn identity(key: &SigningKey) -> Identity {
    keyroll_client::public(key)
}

/// Reads the key of an identity file that only its owner can read.
pub(crate) fn load(path: &Path, source: PassphraseSource) -> Result<SigningKey, Failure> {
    let text = read(path)?;
    if block(&text, DELEGATION).is_some() || block(&text, SIGN_IN).is_some() {
        return Err(Failure::usage(format!(
            "{} is a temporary key, and this command needs an identity's own key",
            path.display()
        )));
    }
    key(path, &text, source)
}

/// Reads an identity file: an identity's own key, or a sign-in's.
pub(crate) fn signer(path: &Path, source: PassphraseSource) -> Result<Signer, Failure> {
    let text = read(path)?;
    let key = key(path, &text, source)?;
    let within = |failure: Failure| failure.within(&path.display().to_string());
    let not_base64 = || {
        within(Failure::usage(
            "what follows the key is not Base64. Create a new one with `keyroll login`",
        ))
    };
    if let Some(consent) = block(&text, SIGN_IN) {
        let consent = decoded(consent).ok_or_else(not_base64)?;
        let consent = cbor::decode(&consent).map_err(|error| within(error.into()))?;
        return Signer::signed_in(key, consent).map_err(|error| within(error.into()));
    }
    if block(&text, DELEGATION).is_some() {
        let ended = Failure::usage("delegated keys have ended: sign in with `keyroll login`");
        return Err(within(ended));
    }
    Ok(key.into())
}

/// The content of a PEM block.
fn decoded(block: &str) -> Option<Vec<u8>> {
    let lines = block.lines().filter(|line| !line.starts_with("-----"));
    let body: String = lines.collect();
    STANDARD.decode(body.trim()).ok()
}

fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::local(format!(
            "{} does not exist. Create an identity with `keyroll identity new`, name one with --identity, or sign in with `keyroll login`",
            path.display()
        )),
        _ => Failure::file(path, &error),
    })?;
    let failed = |error: io::Error| Failure::file(path, &error);
    private_file::check_mode(path, &file.metadata().map_err(failed)?)?;
    // Room for all of it: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(17 * 1024));
    file.by_ref()
        .take(FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

/// A PEM block, from its first line to its last.
fn block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (first, last) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let start = text.find(&first)?;
    let end = start + text[start..].find(&last)? + last.len();
    Some(&text[start..end])
}

fn key(path: &Path, text: &str, source: PassphraseSource) -> Result<SigningKey, Failure> {
    let shown = path.display();
    if let Some(pem) = block(text, ENCRYPTED) {
        let passphrase = source.present(&shown.to_string())?;
        return SigningKey::from_pkcs8_encrypted_pem(pem, passphrase.as_bytes()).map_err(|_| {
            Failure::local(format!(
                "cannot decrypt {shown}. Either the passphrase is wrong, or the file is not an Ed25519 key in \
                 encrypted PKCS#8 PEM with PBES2 (PBKDF2 or scrypt, AES)"
            ))
        });
    }
    let pem = block(text, PLAIN).unwrap_or_default();
    SigningKey::from_pkcs8_pem(pem).map_err(|_| {
        Failure::local(format!(
            "{shown} is not an Ed25519 key in PKCS#8 PEM. `keyroll identity new` and `openssl genpkey -algorithm \
             ed25519` create one"
        ))
    })
}

fn new_key() -> Result<SigningKey, Failure> {
    Ok(SigningKey::from_bytes(&Zeroizing::new(random()?)))
}

fn pem(key: &SigningKey, passphrase: Option<&str>) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::local(format!("the key cannot be written as PKCS#8: {error}"))
    };
    // Without the public key, which older readers of PKCS#8 do not know.
    let pair = KeypairBytes {
        secret_key: key.to_bytes(),
        public_key: None,
    };
    let Some(passphrase) = passphrase else {
        return pair
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| failed(&error));
    };
    let (salt, iv): ([u8; 16], [u8; 16]) = (random()?, random()?);
    let parameters =
        pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(PBKDF2_ITERATIONS, &salt, iv)
            .map_err(|error| failed(&error))?;
    let der = pair.to_pkcs8_der().map_err(|error| failed(&error))?;
    PrivateKeyInfoRef::try_from(der.as_bytes())
        .and_then(|info| info.encrypt_with_params(parameters, passphrase))
        .map_err(|error| failed(&error))?
        .to_pem(ENCRYPTED, LineEnding::LF)
        .map_err(|error| failed(&error))
}

/// Makes a key and writes its file, never over an existing one.
pub(crate) fn create(path: &Path, passphrase: Option<&str>) -> Result<SigningKey, Failure> {
    let key = new_key()?;
    private_file::create(path, pem(&key, passphrase)?.as_bytes())?;
    Ok(key)
}

/// Makes the key of a sign-in, for which a member consents, and the text of its file.
pub(crate) fn signed_in(
    consent: impl FnOnce(Identity) -> SignInConsent,
) -> Result<(Signer, Zeroizing<String>), Failure> {
    let key = new_key()?;
    let consent = consent(identity(&key));
    let text = with_block(&pem(&key, None)?, SIGN_IN, &cbor::encode(&consent));
    Ok((Signer::signed_in(key, consent)?, text))
}

/// A key with a second PEM block.
fn with_block(pem: &str, label: &str, content: &[u8]) -> Zeroizing<String> {
    let encoded = STANDARD.encode(content);
    // Base64 is ASCII.
    let lines: Vec<&str> = (0..encoded.len())
        .step_by(64)
        .map(|at| &encoded[at..encoded.len().min(at + 64)])
        .collect();
    let body = lines.join("\n");
    // Room for both: a string that grows leaves a copy of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(pem.len() + body.len() + 128));
    for part in [pem, "-----BEGIN ", label, "-----\n", &body] {
        text.push_str(part);
    }
    for part in ["\n-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}

/// The key of a file; creates the file if it does not exist.
pub(crate) fn load_or_create(path: &Path, source: PassphraseSource) -> Result<SigningKey, Failure> {
    if path.exists() {
        load(path, source)
    } else {
        create(path, None)
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

    const NOBODY: PassphraseSource = PassphraseSource::for_identity(false);

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
            let key = load(&path, NOBODY).expect("read");
            assert_eq!(identity(&key).to_string(), EXAMPLE_PUBLIC);
        }
    }

    #[test]
    fn what_is_made_is_read_and_never_overwritten() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("deep/identity.pem");
        let made = create(&path, None).expect("made");
        assert_eq!(
            identity(&load(&path, NOBODY).expect("read")),
            identity(&made)
        );
        assert!(create(&path, None).is_err());
        let text = fs::read_to_string(&path).expect("read");
        // The form of the example above, to the byte: 119 bytes, same prefix.
        assert_eq!((text.len(), &text[..48]), (EXAMPLE.len(), &EXAMPLE[..48]));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let (_home, path) = written(EXAMPLE, 0o640);
        let error = load(&path, NOBODY).expect_err("refused");
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
            let error = load(&path, NOBODY).expect_err("refused");
            assert!(
                error.message().contains("identity.pem") && !error.message().contains("hunter2")
            );
        }
    }

    #[test]
    fn a_sign_in_keeps_its_consent_beside_it() {
        use keyroll_core::sign_in::SignInTerms;
        use keyroll_core::{LedgerId, Millis};
        let owner = SigningKey::from_bytes(&[7; 32]);
        let (made, text) = signed_in(|key| {
            let terms = SignInTerms {
                key,
                from: Millis(1),
                until: Millis(2),
                origin: "a laptop".parse().expect("an origin"),
            };
            SignInConsent::by_key(&owner, LedgerId([1; 32]), terms)
        })
        .expect("made");
        let (_home, path) = written(&text, 0o600);
        let read = signer(&path, NOBODY).expect("read");
        assert_eq!(read.member(), identity(&owner).into());
        assert_eq!(identity(read.key()), identity(made.key()));
        assert_eq!(read.consent(), made.consent());
        // Where an identity's own key is needed, this one will not do.
        assert_eq!(load(&path, NOBODY).expect_err("refused").code(), "usage");
        fs::write(&path, text.replace(&text[170..180], "AAAAAAAAAA")).expect("written");
        assert!(signer(&path, NOBODY).is_err());
    }

    #[test]
    fn a_delegated_key_of_earlier_programs_is_named() {
        let block = "-----BEGIN KEYROLL DELEGATION-----\nAAAA\n-----END KEYROLL DELEGATION-----\n";
        let (_home, path) = written(&format!("{EXAMPLE}{block}"), 0o600);
        let refused = signer(&path, NOBODY).map(|_| ()).expect_err("refused");
        assert!(
            refused.message().contains("keyroll login"),
            "{}",
            refused.message()
        );
    }

    #[test]
    fn a_passphrase_is_asked_for_where_somebody_can_answer() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("identity.pem");
        let key = create(&path, Some("several easy words")).expect("made");
        let text = fs::read_to_string(&path).expect("read");
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        let error = load(&path, NOBODY).expect_err("nobody to ask");
        assert!(error.message().contains("KEYROLL_PASSPHRASE_FILE"));
        let open = |words: &str| SigningKey::from_pkcs8_encrypted_pem(&text, words);
        assert!(open("several easy word").is_err());
        assert_eq!(
            identity(&open("several easy words").expect("opens")),
            identity(&key)
        );
    }
}
