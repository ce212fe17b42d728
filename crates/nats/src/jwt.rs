//! The JWTs of NATS, version 2: who signed what for whom, with nkeys (Ed25519).
//!
//! An operator signs accounts. An account signs users and activations. A signature covers
//! `header.claims` as they were sent, so nothing is encoded again to be verified.

mod account;
mod user;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::{KeyPair, KeyPairType};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512_256};

pub use account::{Account, Activation, Export, Import, Limits, Operator, ScopedKey, SigningKey};
pub use user::{Subjects, Template, TimeRange, User};

/// Every JWT of version 2 has this header.
const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
/// The version of the claims.
const VERSION: u8 = 2;
/// A user's JWT with 256 workspaces of 63 characters has some 24 KiB, an account's with all its exports less.
const JWT_MAX: usize = 64 * 1024;

/// Why a JWT cannot be made or is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// The text is not a JWT of NATS.
    #[error("it is not a JWT of NATS: {0}")]
    Form(&'static str),
    /// It is for something else, such as an account instead of a user.
    #[error("it is a JWT for {found}, not for {wanted}")]
    Kind {
        /// The kind that was asked for.
        wanted: &'static str,
        /// The kind in the JWT.
        found: String,
    },
    /// The signature is not the issuer's.
    #[error("its signature is not its issuer's")]
    Signature,
    /// A key cannot be used for this.
    #[error("the key cannot be used: {0}")]
    Key(String),
}

/// The claims of one kind of JWT.
pub trait Kind: Serialize + DeserializeOwned {
    /// The kind's name in the claims.
    const NAME: &'static str;
    /// The kind of key that signs it.
    const SIGNER: KeyPairType;
}

/// A JWT's content: who (`sub`), by whom (`iss`), since when, until when, and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims<T> {
    /// Seconds since 1970 at which it ends; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// Seconds since 1970 at which it was made.
    pub iat: u64,
    /// The public key of the signer.
    pub iss: String,
    /// A digest of the claims.
    #[serde(default)]
    pub jti: String,
    /// A name for people; a template's `{{name()}}`.
    #[serde(default)]
    pub name: String,
    /// What it grants.
    pub nats: T,
    /// The public key that it is about.
    pub sub: String,
}

/// Signs claims about `subject`.
///
/// # Errors
/// When the signer has no seed or is of another kind than this JWT needs.
pub fn sign<T: Kind>(
    signer: &KeyPair,
    (subject, name): (&str, &str),
    (iat, exp): (u64, Option<u64>),
    grants: T,
) -> Result<String, JwtError> {
    if signer.key_pair_type() != T::SIGNER {
        let words = format!("{:?} does not sign {}", signer.key_pair_type(), T::NAME);
        return Err(JwtError::Key(words));
    }
    let mut claims = Claims {
        exp,
        iat,
        iss: signer.public_key(),
        jti: String::new(),
        name: name.to_owned(),
        nats: grants,
        sub: subject.to_owned(),
    };
    claims.jti = BASE32_NOPAD.encode(&Sha512_256::digest(json(&claims)?));
    let signed = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(HEADER.as_bytes()),
        BASE64URL_NOPAD.encode(&json(&claims)?)
    );
    let signature = signer
        .sign(signed.as_bytes())
        .map_err(|error| JwtError::Key(error.to_string()))?;
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// The claims as JSON, with their kind and version, which every JWT has among the fields of its kind.
fn json<T: Kind>(claims: &Claims<T>) -> Result<Vec<u8>, JwtError> {
    let written = || {
        let mut fields = serde_json::to_value(claims)?;
        fields["nats"]["type"] = T::NAME.into();
        fields["nats"]["version"] = VERSION.into();
        serde_json::to_vec(&fields)
    };
    written().map_err(|_error| JwtError::Form("the claims are not JSON"))
}

/// Reads a JWT and verifies its signature. Whether its issuer may sign this, and whether it is in force, is for
/// the caller to say.
///
/// # Errors
/// [`JwtError`].
pub fn open<T: Kind>(jwt: &str) -> Result<Claims<T>, JwtError> {
    if jwt.len() > JWT_MAX {
        return Err(JwtError::Form("it is too long"));
    }
    let (signed, signature) = jwt.rsplit_once('.').ok_or(JwtError::Form("no signature"))?;
    let (header, claims) = signed.split_once('.').ok_or(JwtError::Form("no claims"))?;
    let part = |text: &str| {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
        bytes.map_err(|_error| JwtError::Form("a part is not base64url"))
    };
    let header: serde_json::Value = serde_json::from_slice(&part(header)?)
        .map_err(|_error| JwtError::Form("the header is not JSON"))?;
    if header["alg"] != "ed25519-nkey" {
        return Err(JwtError::Form("the algorithm is not ed25519-nkey"));
    }
    let claims = part(claims)?;
    let fields: serde_json::Value = serde_json::from_slice(&claims)
        .map_err(|_error| JwtError::Form("the claims are not JSON"))?;
    let found = fields["nats"]["type"].as_str().unwrap_or("nothing");
    if found != T::NAME {
        return Err(JwtError::Kind {
            wanted: T::NAME,
            found: found.to_owned(),
        });
    }
    let claims: Claims<T> = serde_json::from_value(fields)
        .map_err(|_error| JwtError::Form("the claims lack a field"))?;
    let issuer = public_key(&claims.iss, &T::SIGNER)?;
    let verified = issuer.verify(signed.as_bytes(), &part(signature)?);
    verified.map_err(|_error| JwtError::Signature)?;
    Ok(claims)
}

/// A public key of one kind.
///
/// # Errors
/// When it is none, or of another kind.
pub fn public_key(text: &str, kind: &KeyPairType) -> Result<KeyPair, JwtError> {
    let key = KeyPair::from_public_key(text).map_err(|error| JwtError::Key(error.to_string()))?;
    if key.key_pair_type() == *kind {
        return Ok(key);
    }
    Err(JwtError::Key(format!("{text} is no key of {kind:?}")))
}

/// The key of a seed, of one kind. Errors never repeat the seed.
///
/// # Errors
/// When it is none, or of another kind.
pub fn key_of_seed(seed: &str, kind: &KeyPairType) -> Result<KeyPair, JwtError> {
    let key = KeyPair::from_seed(seed.trim())
        .map_err(|_error| JwtError::Key("it is not a seed of an nkey".to_owned()))?;
    if key.key_pair_type() == *kind {
        return Ok(key);
    }
    let found = key.key_pair_type();
    Err(JwtError::Key(format!(
        "it is a seed of {found:?}, not of {kind:?}"
    )))
}

#[cfg(test)]
mod tests;
