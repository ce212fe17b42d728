//! Identifiers and counters. Index, size, sequence and version are different types, so that they
//! cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: {form}")]
pub struct ParseIdError {
    what: &'static str,
    form: &'static str,
}

fn hex_text(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0_u8; N];
    let mut digits = text.bytes().filter(|byte| *byte != b'-');
    for byte in &mut out {
        let high = char::from(digits.next()?).to_digit(16)?;
        let low = char::from(digits.next()?).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(out)
}

fn key_text(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "ed25519:{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn from_key_text<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text.strip_prefix("ed25519:")?)
        .ok()?;
    bytes.try_into().ok()
}

struct BytesVisitor<const N: usize>(&'static str);

impl<const N: usize> de::Visitor<'_> for BytesVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({N} bytes)", self.0)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        bytes
            .try_into()
            .map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $n:literal, $what:literal, $form:literal, $show:ident, $read:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $n]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $show(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $show(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                $read(text).map(Self).ok_or(ParseIdError { what: $what, form: $form })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    deserializer.deserialize_bytes(BytesVisitor::<$n>($what)).map(Self)
                }
            }
        }
    };
}

fixed_bytes!(
    /// A key that signs: an Ed25519 public key. Text form `ed25519:` and base64url.
    Identity, 32, "public key", "expected ed25519: and 43 characters of base64url", key_text, from_key_text
);
fixed_bytes!(
    /// A member of a workspace. For a member with a key it is this public key, with its text form.
    MemberId, 32, "member id", "expected ed25519: and 43 characters of base64url", key_text, from_key_text
);
fixed_bytes!(
    /// A ledger: the Ed25519 public key that signs its online keys.
    LedgerId, 32, "ledger id", "expected ed25519: and 43 characters of base64url", key_text, from_key_text
);
fixed_bytes!(
    /// A secret, independent of its name: 16 random bytes, never reused.
    SecretId, 16, "secret id", "expected 32 hex digits", hex_text, from_hex
);
fixed_bytes!(
    /// A command, unique for its actor (UUIDv7).
    CommandId, 16, "command id", "expected 32 hex digits", hex_text, from_hex
);
fixed_bytes!(
    /// SHA-256 of some bytes.
    Digest, 32, "digest", "expected 64 hex digits", hex_text, from_hex
);
fixed_bytes!(
    /// The object in the vault that holds a sealed value.
    ObjectId, 32, "vault object id", "expected 64 hex digits", hex_text, from_hex
);
fixed_bytes!(
    /// The encapsulated key (RFC 9180 `enc`) that names a session.
    Encapsulated, 32, "encapsulated key", "expected 64 hex digits", hex_text, from_hex
);

fixed_bytes!(
    /// The X25519 public key that an answer is sealed to; a fresh one for each request.
    AnswerPublic, 32, "answer key", "expected 64 hex digits", hex_text, from_hex
);
fixed_bytes!(
    /// The Ed25519 public key of a NATS connection (an nkey): it answers a nats-server's challenge, and
    /// signs nothing of the ledger's.
    ConnectionKey, 32, "connection key", "expected ed25519: and 43 characters of base64url", key_text, from_key_text
);

impl From<Identity> for MemberId {
    fn from(key: Identity) -> Self {
        Self(key.0)
    }
}

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl ObjectId {
    /// The id of the only object that may hold item `item` of a command.
    pub fn of(actor: &MemberId, command: &CommandId, item: u32, sealed: &Digest) -> Self {
        let hash = Sha256::new()
            .chain_update(actor.0)
            .chain_update(command.0)
            .chain_update(item.to_be_bytes())
            .chain_update(sealed.0);
        Self(hash.finalize().into())
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// Position of an entry in its workspace, from 0.
    Index, u64
);
counter!(
    /// Number of entries of a workspace.
    TreeSize, u64
);
counter!(
    /// Position of a message in the log's stream, from 1; 0 means none.
    Sequence, u64
);
counter!(
    /// Version of a secret's value, from 1.
    Version, u32
);
counter!(
    /// Generation of a workspace's wrapping key, from 1.
    Epoch, u32
);
counter!(
    /// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
    Millis, u64
);

impl Version {
    /// The first version of any secret.
    pub const FIRST: Self = Self(1);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl TreeSize {
    /// The index that the next entry will have.
    pub const fn next_index(self) -> Index {
        Index(self.0)
    }
}

impl Index {
    /// The size of the smallest tree that holds this entry.
    pub const fn tree_size(self) -> TreeSize {
        TreeSize(self.0.saturating_add(1))
    }
}

/// Bytes kept exactly as received: a byte string in CBOR, base64 in JSON.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&STANDARD.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            STANDARD
                .decode(text)
                .map(Self)
                .map_err(|_| de::Error::custom("expected base64"))
        } else {
            serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| Self(bytes.into_vec()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_round_trip() {
        let identity = Identity([7; 32]);
        assert_eq!(identity.to_string().parse(), Ok(identity));
        let id = SecretId([9; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("ed25519:abc".parse::<Identity>().is_err());
        assert!("00".parse::<SecretId>().is_err());
        assert!("0x".repeat(16).parse::<SecretId>().is_err());
    }

    #[test]
    fn an_object_id_depends_on_all_of_its_parts() {
        let place = |actor, command, item, digest| {
            ObjectId::of(
                &MemberId([actor; 32]),
                &CommandId([command; 16]),
                item,
                &Digest([digest; 32]),
            )
        };
        let one = place(1, 2, 3, 4);
        for other in [
            place(9, 2, 3, 4),
            place(1, 9, 3, 4),
            place(1, 2, 9, 4),
            place(1, 2, 3, 9),
        ] {
            assert_ne!(one, other);
        }
    }
}
