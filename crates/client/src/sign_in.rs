//! Sign-ins: a fresh key for which a member consented.

use ed25519_dalek::SigningKey;
use keyroll_core::command::SignInOpen;
use keyroll_core::names::ClaimedOrigin;
use keyroll_core::sign_in::{SignInProof, SignInStatement, SignInTerms};
use keyroll_core::{Action, Blob, Code, Identity, LedgerId, MemberId, Millis, Rejection, cose};
use serde::{Deserialize, Serialize};

use crate::signer::public;

/// A member's consent that a key signs for it for a while, in every workspace of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInConsent {
    /// The key that may sign.
    pub key: Identity,
    /// When the member consented.
    pub from: Millis,
    /// What shows that.
    pub proof: SignInProof,
    /// When it ends.
    pub until: Millis,
    /// Where the key is used, as its user claims.
    #[serde(rename = "where")]
    pub origin: ClaimedOrigin,
    /// The ledger.
    pub ledger: LedgerId,
    /// The member.
    pub member: MemberId,
}

impl SignInConsent {
    /// The consent of a member with this key of its own.
    pub fn by_key(own: &SigningKey, ledger: LedgerId, terms: SignInTerms) -> Self {
        let binding = terms.binding(&ledger);
        let statement = cose::sign(&SignInStatement { v: 1, binding }, own);
        Self {
            key: terms.key,
            from: terms.from,
            proof: SignInProof::Key(Blob(statement)),
            until: terms.until,
            origin: terms.origin,
            ledger,
            member: public(own).into(),
        }
    }

    /// Checks that the member itself consented to exactly this.
    ///
    /// # Errors
    /// As [`cose::open`]; [`Code::BadSignature`].
    pub fn check(&self) -> Result<(), Rejection> {
        let SignInProof::Key(Blob(statement)) = &self.proof;
        let opened = cose::open::<SignInStatement>(statement)?;
        opened.verify()?;
        let terms = SignInTerms {
            key: self.key,
            from: self.from,
            until: self.until,
            origin: self.origin.clone(),
        };
        let binding = terms.binding(&self.ledger);
        if opened.payload.binding == binding && MemberId::from(opened.signer) == self.member {
            return Ok(());
        }
        let message = "the proof is for another sign-in, or not by its member";
        Err(Rejection::new(Code::BadSignature, message))
    }

    pub(crate) fn open(&self) -> Action {
        Action::SignInOpen(SignInOpen {
            key: self.key,
            from: self.from,
            proof: self.proof.clone(),
            until: self.until,
            origin: self.origin.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Signer;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_bytes(&[byte; 32])
    }

    fn consent() -> SignInConsent {
        let terms = SignInTerms {
            key: public(&key(2)),
            from: Millis(1_000),
            until: Millis(2_000),
            origin: "a laptop".parse().expect("an origin"),
        };
        SignInConsent::by_key(&key(1), LedgerId([9; 32]), terms)
    }

    #[test]
    fn a_sign_in_acts_as_its_member() {
        let signer = Signer::signed_in(key(2), consent()).expect("fits");
        assert_eq!(signer.member(), public(&key(1)).into());
        assert_eq!(signer.claim(), Some(signer.member()));
        assert_eq!(public(signer.key()), public(&key(2)));
        assert_eq!(Signer::from(key(1)).claim(), None);
    }

    #[test]
    fn a_consent_to_something_else_is_refused() {
        let refused = |key: SigningKey, change: &dyn Fn(&mut SignInConsent)| {
            let mut consent = consent();
            change(&mut consent);
            let signer = Signer::signed_in(key, consent);
            signer.map(|_| ()).map_err(|error| error.code)
        };
        let wrong = Err(Code::BadSignature);
        assert_eq!(refused(key(2), &|_| {}), Ok(()));
        assert_eq!(refused(key(3), &|_| {}), wrong);
        assert_eq!(refused(key(2), &|it| it.until = Millis(3_000)), wrong);
        assert_eq!(refused(key(2), &|it| it.from = Millis(0)), wrong);
        assert_eq!(refused(key(2), &|it| it.ledger = LedgerId([8; 32])), wrong);
        assert_eq!(refused(key(2), &|it| it.member = MemberId([8; 32])), wrong);
        let elsewhere = |it: &mut SignInConsent| it.origin = "x".parse().expect("an origin");
        assert_eq!(refused(key(2), &elsewhere), wrong);
        let flipped = |it: &mut SignInConsent| {
            let SignInProof::Key(Blob(bytes)) = &mut it.proof;
            *bytes.last_mut().expect("bytes") ^= 1;
        };
        assert_eq!(refused(key(2), &flipped), wrong);
    }
}
