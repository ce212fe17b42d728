//! Signers of commands and queries.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use keyroll_core::{Code, Identity, MemberId, Rejection};

use crate::sign_in::SignInConsent;

/// A member's own key, or the key of a sign-in.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
    consent: Option<Arc<SignInConsent>>,
}

impl From<SigningKey> for Signer {
    fn from(key: SigningKey) -> Self {
        Self { key, consent: None }
    }
}

impl Signer {
    /// A fresh key, and the member's consent to it. The client has the ledger open the sign-in in
    /// each workspace at first use.
    ///
    /// # Errors
    /// As [`SignInConsent::check`]; [`Code::BadSignature`] when it is for another key.
    pub fn signed_in(key: SigningKey, consent: SignInConsent) -> Result<Self, Rejection> {
        consent.check()?;
        if consent.key != public(&key) {
            let message = "the sign-in is for another key";
            return Err(Rejection::new(Code::BadSignature, message));
        }
        let consent = Some(Arc::new(consent));
        Ok(Self { key, consent })
    }

    /// The member's consent, when the key is a sign-in's.
    pub fn consent(&self) -> Option<&SignInConsent> {
        self.consent.as_deref()
    }

    /// The member that commands and queries name, when the key is a sign-in's.
    pub fn claim(&self) -> Option<MemberId> {
        self.consent().map(|consent| consent.member)
    }

    /// The member that acts, whichever key signs for it.
    pub fn member(&self) -> MemberId {
        self.claim().unwrap_or_else(|| public(&self.key).into())
    }

    /// The key that signs.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }
}

/// The public half of a key.
pub fn public(key: &SigningKey) -> Identity {
    Identity(key.verifying_key().to_bytes())
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
    fn what_holds_secrets_is_neither_shown_nor_written() {
        use crate::{Client, Reveal, RevealedValue, RevealedValues, Settings};
        never!(Signer: std::fmt::Debug, std::fmt::Display, serde::Serialize);
        never!(Settings: std::fmt::Debug, std::fmt::Display, serde::Serialize);
        never!(Client: std::fmt::Debug, std::fmt::Display, serde::Serialize);
        never!(RevealedValue: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
        never!(RevealedValues: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
        never!(Reveal: std::fmt::Debug, std::fmt::Display, serde::Serialize, Clone);
    }
}
