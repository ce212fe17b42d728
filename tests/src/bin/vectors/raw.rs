//! CBOR and COSE_Sign1 built by hand, so that they can be built wrongly.

use ed25519_dalek::{Signer as _, SigningKey};

/// Initial byte and argument of a CBOR item, shortest form.
pub(crate) fn head(major: u8, value: u64) -> Vec<u8> {
    let major = major << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..=23 => vec![major | bytes[7]],
        24..=0xff => vec![major | 0x18, bytes[7]],
        0x100..=0xffff => [&[major | 0x19], &bytes[6..]].concat(),
        0x1_0000..=0xffff_ffff => [&[major | 0x1a], &bytes[4..]].concat(),
        _ => [&[major | 0x1b], &bytes[..]].concat(),
    }
}

pub(crate) fn bstr(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len() as u64), bytes.to_vec()].concat()
}

pub(crate) fn tstr(text: &str) -> Vec<u8> {
    [head(3, text.len() as u64), text.as_bytes().to_vec()].concat()
}

pub(crate) fn uint(value: u64) -> Vec<u8> {
    head(0, value)
}

pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) fn map(fields: &Fields) -> Vec<u8> {
    fields
        .iter()
        .fold(head(5, fields.len() as u64), |bytes, (key, value)| {
            [bytes, key.clone(), value.clone()].concat()
        })
}

/// Parts of a COSE_Sign1, to be assembled wrongly.
pub(crate) struct Parts<'a> {
    pub(crate) protected: Vec<u8>,
    pub(crate) unprotected: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) aad: &'a str,
    pub(crate) key: &'a SigningKey,
}

impl Parts<'_> {
    pub(crate) fn signature(&self) -> Vec<u8> {
        let signed = [
            head(4, 4),
            tstr("Signature1"),
            bstr(&self.protected),
            bstr(self.aad.as_bytes()),
            bstr(&self.payload),
        ];
        self.key.sign(&signed.concat()).to_bytes().to_vec()
    }

    pub(crate) fn with(&self, tag: &[u8], signature: &[u8]) -> Vec<u8> {
        let parts = [
            &bstr(&self.protected),
            &self.unprotected,
            &bstr(&self.payload),
            &bstr(signature),
        ];
        parts
            .into_iter()
            .fold([tag, &head(4, 4)].concat(), |bytes, part| {
                [bytes, part.clone()].concat()
            })
    }

    pub(crate) fn sign1(&self) -> Vec<u8> {
        self.with(&[0xd2], &self.signature())
    }
}

pub(crate) fn header(alg: &[u8], kid: &[u8], typ: &str) -> Fields {
    vec![
        (uint(1), alg.to_vec()),
        (uint(4), bstr(kid)),
        (uint(16), tstr(typ)),
    ]
}

/// Ed25519, -19.
pub(crate) const ALG: &[u8] = &[0x32];
/// EdDSA, -8.
pub(crate) const ALG_EDDSA: &[u8] = &[0x27];
