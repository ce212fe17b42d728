//! Names and keys of note signers (c2sp.org/signed-note).

use std::fmt;

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use crate::text::{from_base64, is_control, to_base64};

/// The signature type of Ed25519 in c2sp.org/signed-note.
const ED25519: u8 = 0x01;

/// A public key with the name it signs under.
///
/// Its text form, by `parse` and `Display`, is `<name>+<key id in 8 hex digits>+<base64>`; the
/// base64 part holds the signature type and the 32 bytes of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_id: u32,
    key: VerifyingKey,
}

/// Why a name or a key cannot be used to sign or verify notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a name that can stand in a signature line.
    #[error("a key name must not be empty nor contain spaces, control characters or `+`")]
    Name,
    /// The text does not have the form of a key.
    #[error("a verifier key has the form <name>+<8 lower-case hex digits>+<base64>")]
    Form,
    /// The signature type is not Ed25519.
    #[error("the key's signature type is {0:#04x}, only Ed25519 (0x01) is known")]
    SignatureType(u8),
    /// The bytes are not a usable public key.
    #[error("the key is not an Ed25519 public key of full order")]
    Key,
    /// The id does not belong to the name and key.
    #[error("the key id is {found:08x}, but name and key give {expected:08x}")]
    KeyId {
        /// The id of the name and the key.
        expected: u32,
        /// The id in the text.
        found: u32,
    },
}

impl VerifierKey {
    /// A key with the name it signs under.
    ///
    /// # Errors
    /// [`KeyError::Name`] for a name that cannot stand in a signature line; [`KeyError::Key`] for a
    /// key of small order, under which a signature proves nothing.
    pub fn new(name: impl Into<String>, key: VerifyingKey) -> Result<Self, KeyError> {
        let name = name.into();
        let key_id = key_id(&name, &key)?;
        if key.is_weak() {
            return Err(KeyError::Key);
        }
        Ok(Self { name, key_id, key })
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// See [`KeyError`]; the spelling must be exactly that of `Display`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let found = parse_key_id(id).ok_or(KeyError::Form)?;
        let bytes = from_base64(key).ok_or(KeyError::Form)?;
        let (&signature_type, bytes) = bytes.split_first().ok_or(KeyError::Form)?;
        if signature_type != ED25519 {
            return Err(KeyError::SignatureType(signature_type));
        }
        let key = VerifyingKey::try_from(bytes).map_err(|_| KeyError::Key)?;
        let parsed = Self::new(name, key)?;
        if parsed.key_id != found {
            let expected = parsed.key_id;
            return Err(KeyError::KeyId { expected, found });
        }
        Ok(parsed)
    }

    /// The name that stands in signature lines.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that stands at the start of signatures. It only helps to find the key.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The public key.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ED25519];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.key_id, to_base64(&bytes))
    }
}

/// `SHA-256(name || 0x0A || 0x01 || public key)[:4]`, read as a big-endian number.
///
/// # Errors
/// [`KeyError::Name`] for a name that cannot stand in a signature line.
pub fn key_id(name: &str, key: &VerifyingKey) -> Result<u32, KeyError> {
    if !is_name(name) {
        return Err(KeyError::Name);
    }
    let digest: [u8; 32] = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519])
        .chain_update(key.as_bytes())
        .finalize()
        .into();
    let [a, b, c, d, ..] = digest;
    Ok(u32::from_be_bytes([a, b, c, d]))
}

pub(crate) fn is_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || is_control(c) || c == '+';
    !name.is_empty() && !name.contains(forbidden)
}

fn parse_key_id(text: &str) -> Option<u32> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == 8 && text.bytes().all(digit))
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()
}
