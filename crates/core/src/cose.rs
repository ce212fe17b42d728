//! COSE_Sign1 (RFC 9052 §4.2) as keyroll uses it: tagged, Ed25519 (-19, RFC 9864), the signer's
//! public key as `kid`, the form as `typ` (RFC 9596), an empty unprotected header, and the form's
//! name as external data, so that no signature can be taken for one over another form.
//!
//! One signed form has one encoding, so it is taken apart by comparing bytes: whatever differs in
//! the frame around signer, payload and signature is refused. The tests hold this to `coset`.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use coset::iana::{Algorithm, EnumI64 as _};
use coset::{CoseSign1, Label, RegisteredLabelWithPrivate, TaggedCborSerializable as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cbor::{self, push_head};
use crate::ids::Identity;
use crate::rejection::{Code, Rejection};

/// Header label `typ`, RFC 9596.
const TYP: i64 = 16;
/// The tag of COSE_Sign1, and an array of four.
const FRAME: [u8; 2] = [0xd2, 0x84];
/// The protected header up to the signer: a map of three, `alg` -19, `kid` of 32 bytes.
const BEFORE_SIGNER: [u8; 7] = [0xa3, 0x01, 0x32, 0x04, 0x58, 0x20, 0x10];
/// Between protected header and payload: the empty unprotected header.
const UNPROTECTED: u8 = 0xa0;
/// The signature, as bytes: 64.
const SIGNATURE: [u8; 2] = [0x58, 0x40];
/// What comes after the payload: the signature with its length.
pub(crate) const SIGNATURE_BYTES: usize = SIGNATURE.len() + Signature::BYTE_SIZE;

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
pub struct Unverified<F> {
    /// The bytes as they came.
    pub bytes: Arc<[u8]>,
    /// Who is said to have signed.
    pub signer: Identity,
    /// What it says.
    pub payload: F,
    parts: Parts,
}

impl<F: Form> Unverified<F> {
    /// Verifies the signature over the bytes as received (RFC 8032 §5.1.7, strict).
    ///
    /// # Errors
    /// [`Code::BadSignature`].
    pub fn verify(&self) -> Result<(), Rejection> {
        let part = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        let message = to_be_signed(
            part(&self.parts.protected),
            F::NAME,
            part(&self.parts.payload),
        );
        verify_strict(&self.signer, &message, &self.parts.signature)
    }
}

/// The canonical encodings of the eight points of small order.
const SMALL_ORDER: [[u8; 32]; 8] = small_order();

const fn small_order() -> [[u8; 32]; 8] {
    let mut all = [[0; 32]; 8];
    // (0, 1), and (±√-1, 0).
    all[0][0] = 1;
    all[2][31] = 0x80;
    // (0, -1): p - 1.
    all[3] = [0xff; 32];
    all[3][0] = 0xec;
    all[3][31] = 0x7f;
    // Those of order 8: y, -y, each with either sign of x.
    let y = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ];
    let minus_y = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ];
    (all[4], all[5], all[6], all[7]) = (y, y, minus_y, minus_y);
    all[5][31] |= 0x80;
    all[7][31] |= 0x80;
    all
}

/// As `VerifyingKey::verify_strict`, and with the same result, without taking a point apart twice:
/// a signature that holds has for R the one encoding of the point computed, so whether R is a point
/// needs no look, and whether it is one of small order shows in its bytes.
fn verify_strict(
    signer: &Identity,
    message: &[u8],
    signature: &Signature,
) -> Result<(), Rejection> {
    let holds = verifying_key(signer).is_some_and(|key| {
        !SMALL_ORDER.contains(signature.r_bytes()) && key.verify(message, signature).is_ok()
    });
    if holds {
        return Ok(());
    }
    Err(Rejection::new(
        Code::BadSignature,
        format!("the signature is not {signer}'s"),
    ))
}

/// Keys whose point a thread keeps: taking it apart is a tenth of a verification.
const KEYS: usize = 64;

thread_local! {
    /// By the last bits of the key. Somebody with many keys takes places, and no more than that.
    static KNOWN: RefCell<[Option<VerifyingKey>; KEYS]> = const { RefCell::new([None; KEYS]) };
}

/// The key as a point; none when it is no point, or one of small order.
fn verifying_key(signer: &Identity) -> Option<VerifyingKey> {
    KNOWN.with_borrow_mut(|known| {
        let place = known.get_mut(usize::from(signer.0[31]) % KEYS)?;
        if place.is_none_or(|key| key.as_bytes() != &signer.0) {
            let key = VerifyingKey::from_bytes(&signer.0).ok();
            *place = Some(key.filter(|key| !key.is_weak())?);
        }
        *place
    })
}

/// The `Sig_structure` of RFC 9052 §4.4. Protected header and payload come with their lengths.
fn to_be_signed(protected: &[u8], form: &str, payload: &[u8]) -> Vec<u8> {
    const CONTEXT: &str = "Signature1";
    let length = 16 + CONTEXT.len() + protected.len() + form.len() + payload.len();
    let mut message = Vec::with_capacity(length);
    push_head(&mut message, 4, 4);
    push_head(&mut message, 3, CONTEXT.len() as u64);
    message.extend_from_slice(CONTEXT.as_bytes());
    message.extend_from_slice(protected);
    push_head(&mut message, 2, form.len() as u64);
    message.extend_from_slice(form.as_bytes());
    message.extend_from_slice(payload);
    message
}

/// The protected header with its length.
fn protected(typ: &str, signer: &Identity) -> Vec<u8> {
    let mut header = Vec::with_capacity(BEFORE_SIGNER.len() + 34 + typ.len());
    let (before, label) = BEFORE_SIGNER.split_at(BEFORE_SIGNER.len() - 1);
    header.extend_from_slice(before);
    header.extend_from_slice(&signer.0);
    header.extend_from_slice(label);
    push_head(&mut header, 3, typ.len() as u64);
    header.extend_from_slice(typ.as_bytes());
    let mut bytes = Vec::with_capacity(header.len() + 2);
    push_head(&mut bytes, 2, header.len() as u64);
    bytes.extend_from_slice(&header);
    bytes
}

/// Signs a form: the tagged COSE_Sign1 bytes.
pub fn sign<F: Form>(payload: &F, key: &SigningKey) -> Vec<u8> {
    let signer = Identity(key.verifying_key().to_bytes());
    let protected = protected(F::TYP, &signer);
    let payload = cbor::encode(payload);
    let mut framed = Vec::with_capacity(payload.len() + 9);
    push_head(&mut framed, 2, payload.len() as u64);
    framed.extend_from_slice(&payload);
    let signature = key.sign(&to_be_signed(&protected, F::NAME, &framed));
    let unprotected = [UNPROTECTED];
    [
        FRAME.as_slice(),
        &protected,
        &unprotected,
        &framed,
        &SIGNATURE,
        &signature.to_bytes(),
    ]
    .concat()
}

/// Takes a signed form apart. The signature is still to be verified.
///
/// # Errors
/// [`Code::Malformed`] when the bytes are not exactly what [`sign`] makes for some signer;
/// otherwise as [`cbor::decode`].
pub fn open<F: Form>(bytes: &[u8]) -> Result<Unverified<F>, Rejection> {
    open_with(bytes, cbor::decode)
}

/// As [`open`], for bytes that a checked signature of the ledger covers already.
///
/// # Errors
/// As [`open`].
pub fn open_trusted<F: Form>(bytes: &[u8]) -> Result<Unverified<F>, Rejection> {
    open_with(bytes, cbor::decode_trusted)
}

fn open_with<F: Form>(
    bytes: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<F, Rejection>,
) -> Result<Unverified<F>, Rejection> {
    let (parts, signer, payload) = parse(bytes, F::TYP).ok_or_else(|| why_not(bytes, F::TYP))?;
    known_version::<F>(payload)?;
    let payload = decode(payload)?;
    Ok(Unverified {
        bytes: bytes.into(),
        signer,
        payload,
        parts,
    })
}

/// Looks at `v` before anything else: what a later form has besides is not for this program to
/// call malformed. In canonical order `v` comes first, as every other field's name is longer.
fn known_version<F: Form>(payload: &[u8]) -> Result<(), Rejection> {
    let v = version(payload).ok_or_else(|| malformed("it does not begin with its version"))?;
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

fn version(payload: &[u8]) -> Option<u32> {
    match payload {
        [map, 0x61, b'v', v @ 0..=23, ..] if map >> 5 == 5 => Some(u32::from(*v)),
        [map, 0x61, b'v', 0x18, v, ..] if map >> 5 == 5 => Some(u32::from(*v)),
        _ => None,
    }
}

/// Who signed bytes that say they are a later version of a form, under the name of that version.
/// Nothing else can be known of them; where nobody did, even that version is not to be believed.
pub fn later_signer<F: Form>(bytes: &[u8]) -> Option<Identity> {
    let (parts, signer, payload) = parse(bytes, F::TYP)?;
    let later = version(payload).filter(|v| *v > F::V)?;
    let name = F::NAME.strip_suffix(&F::V.to_string())?;
    let part = |range: Range<usize>| bytes.get(range).unwrap_or_default();
    let message = to_be_signed(
        part(parts.protected),
        &format!("{name}{later}"),
        part(parts.payload),
    );
    verify_strict(&signer, &message, &parts.signature).ok()?;
    Some(signer)
}

/// Where everything that is signed lies, and the signature.
#[derive(Debug, Clone)]
struct Parts {
    /// With its length.
    protected: Range<usize>,
    /// With its length.
    payload: Range<usize>,
    signature: Signature,
}

fn malformed(why: &str) -> Rejection {
    Rejection::new(Code::Malformed, format!("not a signed form: {why}"))
}

/// Compares the frame, and gives what lies within; none when a byte of it differs.
fn parse<'a>(bytes: &'a [u8], typ: &str) -> Option<(Parts, Identity, &'a [u8])> {
    let begin = FRAME.len();
    // No media type is so long that the header's length takes another number of bytes.
    let signer_at = begin + 2 + BEFORE_SIGNER.len() - 1;
    let signer = bytes.get(signer_at..)?.first_chunk::<32>()?;
    let signer = Identity(*signer);
    let header = protected(typ, &signer);
    let rest = bytes.strip_prefix(&FRAME)?;
    let rest = rest.strip_prefix(header.as_slice())?;
    let rest = rest.strip_prefix(&[UNPROTECTED])?;
    let (framed, signature) = rest.split_last_chunk::<64>()?;
    let framed = framed.strip_suffix(&SIGNATURE)?;
    let payload = whole_bytes(framed)?;
    let payload_at = begin + header.len() + 1;
    let parts = Parts {
        protected: begin..begin + header.len(),
        payload: payload_at..payload_at + framed.len(),
        signature: Signature::from_bytes(signature),
    };
    Some((parts, signer, payload))
}

/// The content of a byte string, in its shortest form, that fills all of `framed`.
fn whole_bytes(framed: &[u8]) -> Option<&[u8]> {
    let head = match framed.first()? & 0x1f {
        0..=23 => 1,
        24 => 2,
        25 => 3,
        26 => 5,
        _ => 9,
    };
    let payload = framed.get(head..)?;
    let mut canonical = Vec::with_capacity(9);
    push_head(&mut canonical, 2, payload.len() as u64);
    framed
        .starts_with(&canonical)
        .then_some(payload)
        .filter(|_| canonical.len() == head)
}

/// In words, what is wrong with bytes that are not the one encoding.
fn why_not(bytes: &[u8], typ: &str) -> Rejection {
    // The decoder underneath recurses and allocates by what it reads: these bytes come first.
    if bytes.first() != Some(&FRAME[0]) {
        return malformed("it does not start with the COSE_Sign1 tag");
    }
    let Ok(sign1) = CoseSign1::from_tagged_slice(bytes) else {
        return malformed("not a COSE_Sign1");
    };
    let header = &sign1.protected.header;
    if header.alg != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::Ed25519)) {
        return malformed(&format!(
            "the algorithm is not {}",
            Algorithm::Ed25519.to_i64()
        ));
    }
    if claimed(&sign1).as_deref() != Some(typ) {
        return malformed(&format!("its type is not {typ}"));
    }
    if header.key_id.len() != 32 {
        return malformed("the key id is not a public key");
    }
    if sign1.signature.len() != Signature::BYTE_SIZE {
        return malformed("the signature is not 64 bytes");
    }
    if sign1.payload.is_none() {
        return malformed("no payload");
    }
    malformed("not the one encoding of this form")
}

fn claimed(sign1: &CoseSign1) -> Option<String> {
    let rest = &sign1.protected.header.rest;
    let (_, value) = rest.iter().find(|(label, _)| *label == Label::Int(TYP))?;
    value.as_text().map(str::to_owned)
}

/// The form a signed message claims to be, for showing it to a person.
pub fn claimed_type(bytes: &[u8]) -> Option<String> {
    claimed(&CoseSign1::from_tagged_slice(bytes).ok()?)
}

#[cfg(test)]
mod tests;
