//! Sealing a value, on the client:
//! `0x01 ‖ commitment(32) ‖ nonce(24) ‖ XChaCha20-Poly1305(key, padded, aad)`, where
//! `key ‖ commitment = HKDF-SHA256(data key)`. The commitment makes the key unique to the bytes
//! (XChaCha20-Poly1305 alone does not); the padding hides all but the value's size class.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::OpenError;
use super::keys::{Key, context};
use crate::ids::{Digest, LedgerId, SecretId, Version};
use crate::limits;
use crate::names::WorkspaceName;
use crate::rejection::{Code, Rejection};

const FORM: u8 = 1;
const HEAD: usize = 1 + 32 + 24;
const TAG: usize = 16;
/// Padded sizes: 256 B, 1, 4, 16 and 64 KiB.
const BUCKETS: [usize; 5] = [256, 1_024, 4_096, 16_384, 65_536];

/// The context of a sealed value.
#[derive(Debug, Clone, Copy)]
pub struct SealContext<'a> {
    /// The ledger.
    pub ledger: &'a LedgerId,
    /// The workspace.
    pub workspace: &'a WorkspaceName,
    /// The secret.
    pub secret: SecretId,
    /// The version.
    pub version: Version,
}

impl SealContext<'_> {
    fn aad(&self) -> Vec<u8> {
        context(
            "keyroll/value/v1",
            &(self.ledger, self.workspace, self.secret, self.version),
        )
    }
}

/// Bytes of the sealed form of a value of `length` bytes; `None` when it is too long.
pub fn sealed_size(length: usize) -> Option<usize> {
    let bucket = BUCKETS.into_iter().find(|bucket| length < *bucket)?;
    Some(HEAD + bucket + TAG)
}

/// Whether a sealed value can have this many bytes.
pub fn is_sealed_size(size: u32) -> bool {
    BUCKETS
        .into_iter()
        .any(|bucket| usize::try_from(size) == Ok(HEAD + bucket + TAG))
}

struct Derived {
    key: Key,
    commitment: [u8; 32],
}

fn derive(data_key: &Key) -> Derived {
    let mut out = Zeroizing::new([0_u8; 64]);
    // HKDF's only error is a length above 8,160 bytes, and this is 64.
    let expanded =
        Hkdf::<Sha256>::new(None, data_key.bytes()).expand(b"keyroll/value/v1", out.as_mut());
    debug_assert!(expanded.is_ok());
    let (mut key, mut commitment) = ([0_u8; 32], [0_u8; 32]);
    key.copy_from_slice(&out[..32]);
    commitment.copy_from_slice(&out[32..]);
    let derived = Derived {
        key: Key::new(key),
        commitment,
    };
    key.zeroize();
    derived
}

/// Seals a value under a fresh data key and nonce.
///
/// # Errors
/// [`Code::InvalidValue`] when it is empty or longer than 65,535 bytes.
pub fn seal_value(
    value: &[u8],
    data_key: &Key,
    nonce: [u8; 24],
    context: &SealContext<'_>,
) -> Result<Vec<u8>, Rejection> {
    let bucket = BUCKETS.into_iter().find(|bucket| value.len() < *bucket);
    let (true, Some(bucket)) = (limits::VALUE_BYTES.contains(&value.len()), bucket) else {
        let message = format!("a value has 1 to {} bytes", limits::VALUE_BYTES.end());
        return Err(Rejection::new(Code::InvalidValue, message));
    };
    let mut padded = Zeroizing::new(vec![0_u8; bucket]);
    padded[..value.len()].copy_from_slice(value);
    padded[value.len()] = 0x80;
    let derived = derive(data_key);
    let sealed = derived.key.encrypt(nonce, &padded, &context.aad());
    Ok([&[FORM], derived.commitment.as_slice(), sealed.as_slice()].concat())
}

/// Checks that sealed bytes are those that an entry names, and were sealed under this data key.
///
/// # Errors
/// [`OpenError`].
pub fn check_sealed(sealed: &[u8], digest: &Digest, data_key: &Key) -> Result<(), OpenError> {
    let commitment = sealed.get(1..33);
    let fits = Digest::of(sealed) == *digest
        && sealed.first() == Some(&FORM)
        && commitment == Some(derive(data_key).commitment.as_slice());
    if fits {
        Ok(())
    } else {
        Err(OpenError("the sealed value"))
    }
}

/// Opens a sealed value, after the check of its digest and commitment.
///
/// # Errors
/// [`OpenError`].
pub fn open_value(
    sealed: &[u8],
    digest: &Digest,
    data_key: &Key,
    context: &SealContext<'_>,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    check_sealed(sealed, digest, data_key)?;
    let fail = || OpenError("the sealed value");
    let nonce: [u8; 24] = sealed
        .get(33..HEAD)
        .and_then(|n| n.try_into().ok())
        .ok_or_else(fail)?;
    let derived = derive(data_key);
    let cipher = XChaCha20Poly1305::new(derived.key.bytes().into());
    let payload = Payload {
        msg: &sealed[HEAD..],
        aad: &context.aad(),
    };
    let opened = cipher
        .decrypt(&XNonce::from(nonce), payload)
        .map_err(|_| fail())?;
    let mut padded = Zeroizing::new(opened);
    let end = padded
        .iter()
        .rposition(|byte| *byte != 0)
        .ok_or_else(fail)?;
    if padded[end] != 0x80 {
        return Err(fail());
    }
    padded.truncate(end);
    Ok(padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_context<T>(version: u32, run: impl FnOnce(&SealContext<'_>) -> T) -> T {
        let workspace: WorkspaceName = "demo".parse().expect("name");
        run(&SealContext {
            ledger: &LedgerId([1; 32]),
            workspace: &workspace,
            secret: SecretId([2; 16]),
            version: Version(version),
        })
    }

    #[test]
    fn sizes_show_only_the_bucket() {
        for (length, bucket) in [
            (1, 256),
            (255, 256),
            (256, 1_024),
            (1_023, 1_024),
            (65_535, 65_536),
        ] {
            let value = vec![0x41; length];
            let sealed = with_context(1, |c| seal_value(&value, &Key::new([1; 32]), [2; 24], c));
            assert_eq!(sealed.expect("seals").len(), HEAD + bucket + TAG);
            assert_eq!(sealed_size(length), Some(HEAD + bucket + TAG));
        }
        for length in [0, 65_536] {
            let sealed = with_context(1, |c| {
                seal_value(&vec![1; length], &Key::new([1; 32]), [2; 24], c)
            });
            assert_eq!(sealed.map_err(|r| r.code), Err(Code::InvalidValue));
        }
    }

    #[test]
    fn another_key_context_or_byte_does_not_open() {
        let key = Key::new([3; 32]);
        let sealed = with_context(1, |c| seal_value(b"value", &key, [2; 24], c)).expect("seals");
        let digest = Digest::of(&sealed);
        assert!(with_context(1, |c| open_value(&sealed, &digest, &key, c)).is_ok());
        assert!(with_context(2, |c| open_value(&sealed, &digest, &key, c)).is_err());
        assert!(with_context(1, |c| open_value(&sealed, &digest, &Key::new([4; 32]), c)).is_err());
        for at in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[at] ^= 1;
            assert!(with_context(1, |c| open_value(&broken, &digest, &key, c)).is_err());
            // With a digest made to fit, the checks of commitment and tag still fail.
            let fitted = Digest::of(&broken);
            assert!(
                with_context(1, |c| open_value(&broken, &fitted, &key, c)).is_err(),
                "byte {at}"
            );
        }
    }

    proptest! {
        #[test]
        fn values_come_back_byte_for_byte(value in proptest::collection::vec(any::<u8>(), 1..3_000)) {
            let key = Key::new([3; 32]);
            let opened = with_context(1, |c| {
                let sealed = seal_value(&value, &key, [2; 24], c).expect("seals");
                open_value(&sealed, &Digest::of(&sealed), &key, c).map(|opened| opened.to_vec())
            });
            prop_assert_eq!(opened, Ok(value));
        }
    }
}
