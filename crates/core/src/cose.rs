//! COSE_Sign1 (RFC 9052 §4.2) as keyroll uses it: tagged, Ed25519 (-19, RFC 9864), the signer's
//! public key as `kid`, the media type as `typ` (RFC 9596), an empty unprotected header, and the
//! form's name as external data, so that a signature over one form is not valid over another.
//!
//! A signed form has exactly one encoding, so it is parsed by comparing bytes: any difference in
//! the frame around signer, payload and signature is refused. The tests compare this with `coset`.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cbor::{self, push_head};
use crate::ids::Identity;
use crate::rejection::{Code, Rejection};

/// The tag of COSE_Sign1, and an array of four.
const FRAME: [u8; 2] = [0xd2, 0x84];
/// The protected header up to the signer: a map of three, `alg` -19, `kid` of 32 bytes.
const BEFORE_SIGNER: [u8; 7] = [0xa3, 0x01, 0x32, 0x04, 0x58, 0x20, 0x10];
/// Between protected header and payload: the empty unprotected header.
const UNPROTECTED: u8 = 0xa0;
/// The signature, as bytes: 64.
const SIGNATURE: [u8; 2] = [0x58, 0x40];
/// Length of the signature with its head, which follow the payload.
pub(crate) const SIGNATURE_BYTES: usize = SIGNATURE.len() + Signature::BYTE_SIZE;

/// A type that is signed. Its bytes are the canonical CBOR of the type.
pub trait Form: Serialize + DeserializeOwned {
    /// The external data of its signature, `keyroll/…/v1`.
    const NAME: &'static str;
    /// Its media type, in the protected header.
    const TYP: &'static str;
    /// The version that this program writes and reads, in the field `v`.
    const V: u32;
}

/// A decoded message whose signature is not verified yet.
#[derive(Debug, Clone)]
pub struct Unverified<F> {
    /// The bytes as received.
    pub bytes: Arc<[u8]>,
    /// The signer that the message names.
    pub signer: Identity,
    /// The payload.
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

/// As `VerifyingKey::verify_strict`, with the same result, but without decompressing R: a valid
/// signature has for R the one encoding of the computed point, so R needs no check that it is a
/// point, and whether it has small order is visible in its bytes.
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

/// Decompressed keys that a thread caches: decompressing is a tenth of a verification.
const CACHED_KEYS: usize = 64;

thread_local! {
    /// By the last bits of the key. Somebody with many keys can only evict others.
    static KEY_CACHE: RefCell<[Option<VerifyingKey>; CACHED_KEYS]> =
        const { RefCell::new([None; CACHED_KEYS]) };
}

/// The key as a point; `None` when it is not a point, or has small order.
fn verifying_key(signer: &Identity) -> Option<VerifyingKey> {
    KEY_CACHE.with_borrow_mut(|cache| {
        let slot = cache.get_mut(usize::from(signer.0[31]) % CACHED_KEYS)?;
        if slot.is_none_or(|key| key.as_bytes() != &signer.0) {
            let key = VerifyingKey::from_bytes(&signer.0).ok();
            *slot = Some(key.filter(|key| !key.is_weak())?);
        }
        *slot
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

/// Signs a form. Returns the tagged COSE_Sign1 bytes.
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

/// Decodes a signed form. Its signature is not verified yet.
///
/// # Errors
/// [`Code::Malformed`] when the bytes are not exactly what [`sign`] makes for some signer;
/// otherwise as [`cbor::decode`].
pub fn open<F: Form>(bytes: &[u8]) -> Result<Unverified<F>, Rejection> {
    open_with(bytes, cbor::decode)
}

/// As [`open`], for bytes that a verified signature of the ledger covers.
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

/// Checks `v` before anything else, so that a later version is not reported as malformed. In
/// canonical order `v` comes first, as every other field's name is longer.
fn known_version<F: Form>(payload: &[u8]) -> Result<(), Rejection> {
    let v = version(payload).ok_or_else(|| malformed("it does not start with its version"))?;
    if v == F::V {
        return Ok(());
    }
    let message = format!(
        "version {v} of {} is unknown: this program reads version {}",
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

/// The signer of bytes that claim a later version of a form, if the signature is valid under that
/// version's name. Without a valid signature not even the claimed version can be trusted.
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

/// The signature, and the position of each signed part in the bytes.
#[derive(Debug, Clone)]
struct Parts {
    /// With its CBOR head.
    protected: Range<usize>,
    /// With its CBOR head.
    payload: Range<usize>,
    signature: Signature,
}

fn malformed(why: &str) -> Rejection {
    Rejection::new(Code::Malformed, format!("not a signed message: {why}"))
}

/// Compares the frame and returns its contents; `None` when a byte of the frame differs.
fn parse<'a>(bytes: &'a [u8], typ: &str) -> Option<(Parts, Identity, &'a [u8])> {
    let begin = FRAME.len();
    // Every media type is so short that the header's length takes two bytes.
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

/// The content of a byte string in its shortest form that fills all of `framed`.
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

/// The rejection for bytes that are not a signed message of this type.
fn why_not(bytes: &[u8], typ: &str) -> Rejection {
    if !bytes.starts_with(&FRAME) {
        return malformed("it does not start with the COSE_Sign1 tag and an array of four");
    }
    match claimed_type(bytes) {
        None => malformed("its protected header has another algorithm, key id or layout"),
        Some(claimed) if claimed != typ => malformed(&format!("its type is not {typ}")),
        Some(_) => malformed("it is not in the one encoding of this type"),
    }
}

/// The media type that a signed message claims, for showing it to a person.
pub fn claimed_type(bytes: &[u8]) -> Option<String> {
    let (header, _) = cbor::split_bytes(bytes.strip_prefix(&FRAME)?)?;
    let (before, label) = BEFORE_SIGNER.split_at(BEFORE_SIGNER.len() - 1);
    let signer_and_rest = header.strip_prefix(before)?;
    let typ = signer_and_rest.get(32..)?.strip_prefix(label)?;
    cbor::decode(typ).ok()
}

#[cfg(test)]
mod tests;
