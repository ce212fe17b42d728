//! Answers sealed to a key that came with the request (RFC 9180, base mode, single shot): guests
//! share one NATS user, and may read each other's inboxes.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::CryptoRng;
use hpke::{
    Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _, single_shot_open,
    single_shot_seal_with_rng,
};

use super::OpenError;
use super::keys::context;
use crate::ids::{AnswerPublic, Digest, Encapsulated};

/// What a seal is bound to: the request, by the digest of its bytes.
fn info(request: &Digest) -> Vec<u8> {
    context("keyroll/answer/v1", &(request,))
}

/// A key for the answer to one request.
pub struct AnswerKey(<X25519HkdfSha256 as Kem>::PrivateKey);

impl AnswerKey {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(X25519HkdfSha256::gen_keypair_with_rng(rng).0)
    }

    /// The half that travels in the request.
    pub fn public(&self) -> AnswerPublic {
        AnswerPublic(X25519HkdfSha256::sk_to_pk(&self.0).to_bytes().into())
    }

    /// Opens the answer to the request with this digest.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        &self,
        enc: &Encapsulated,
        sealed: &[u8],
        request: &Digest,
    ) -> Result<Vec<u8>, OpenError> {
        let fail = |_| OpenError("the answer");
        let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&enc.0).map_err(fail)?;
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.0,
            &enc,
            &info(request),
            sealed,
            &[],
        )
        .map_err(fail)
    }
}

/// Seals the answer to a request: the encapsulated key, and the ciphertext with its tag.
///
/// # Errors
/// [`OpenError`] when the request's key is not a usable X25519 key.
pub fn seal_answer(
    to: &AnswerPublic,
    answer: &[u8],
    request: &Digest,
    rng: &mut impl CryptoRng,
) -> Result<(Encapsulated, Vec<u8>), OpenError> {
    let fail = |_| OpenError("the key of the request");
    let to = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.0).map_err(fail)?;
    let (enc, sealed) =
        single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &to,
            &info(request),
            answer,
            &[],
            rng,
        )
        .map_err(fail)?;
    Ok((Encapsulated(enc.to_bytes().into()), sealed))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hpke::rand_core::{TryCryptoRng, TryRng};

    use super::*;

    /// The bytes of a counter: different keys, the same on every run.
    struct Fixed(u8);

    impl TryRng for Fixed {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            self.0 = self.0.wrapping_add(1);
            Ok(u32::from(self.0))
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            self.try_next_u32().map(u64::from)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            self.0 = self.0.wrapping_add(1);
            bytes.fill(self.0);
            Ok(())
        }
    }

    impl TryCryptoRng for Fixed {}

    #[test]
    fn only_the_key_of_the_request_opens_its_answer() {
        let mut rng = Fixed(1);
        let [ours, others] = [(); 2].map(|()| AnswerKey::generate(&mut rng));
        let request = Digest::of(b"request");
        let (enc, sealed) =
            seal_answer(&ours.public(), b"answer", &request, &mut rng).expect("sealed");
        assert_eq!(
            ours.open(&enc, &sealed, &request).as_deref(),
            Ok(b"answer".as_slice())
        );
        assert!(
            others.open(&enc, &sealed, &request).is_err(),
            "another guest"
        );
        let other = Digest::of(b"another request");
        assert!(ours.open(&enc, &sealed, &other).is_err(), "another request");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(ours.open(&enc, &changed, &request).is_err(), "{bit}");
        }
    }

    #[test]
    fn a_key_of_small_order_gets_no_answer() {
        let zero = AnswerPublic([0; 32]);
        let sealed = seal_answer(&zero, b"answer", &Digest::of(b""), &mut Fixed(1));
        assert!(sealed.is_err());
    }
}
