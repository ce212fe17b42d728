//! Signers of commands and queries.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use keyroll_core::cose;
use keyroll_core::limits::DELEGATION_MS;
use keyroll_core::names::Label;
use keyroll_core::statement::Delegation;
use keyroll_core::{Blob, Code, Identity, LedgerId, MemberId, Millis, Rejection, WorkspaceName};

use crate::sign_in::SignInConsent;

/// A member's own key, a key that a member signed in with, or one to which it delegated.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
    delegated: Option<Delegated>,
    consent: Option<Arc<SignInConsent>>,
}

#[derive(Clone)]
struct Delegated {
    statement: Blob,
    delegation: Delegation,
}

impl From<SigningKey> for Signer {
    fn from(key: SigningKey) -> Self {
        Self {
            key,
            delegated: None,
            consent: None,
        }
    }
}

impl Signer {
    /// A key and the signed [`Delegation`] to it. The ledger decides whether that is still in
    /// force.
    ///
    /// # Errors
    /// As [`cose::open`]; [`keyroll_core::Code::BadSignature`] when the statement is for another
    /// key or not signed by the identity it names.
    pub fn delegated(key: SigningKey, statement: Vec<u8>) -> Result<Self, Rejection> {
        let opened = cose::open::<Delegation>(&statement)?;
        opened.verify_for(&public(&key))?;
        Ok(Self {
            key,
            delegated: Some(Delegated {
                statement: Blob(statement),
                delegation: opened.payload,
            }),
            consent: None,
        })
    }

    /// A fresh key, and the member's consent to it. The client has the ledger open the sign-in in
    /// each workspace at first use.
    ///
    /// # Errors
    /// As [`SignInConsent::check`]; [`keyroll_core::Code::BadSignature`] when it is for another key.
    pub fn signed_in(key: SigningKey, consent: SignInConsent) -> Result<Self, Rejection> {
        consent.check()?;
        if consent.key != public(&key) {
            let message = "the sign-in is for another key";
            return Err(Rejection::new(Code::BadSignature, message));
        }
        Ok(Self {
            key,
            delegated: None,
            consent: Some(Arc::new(consent)),
        })
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
        if let Some(member) = self.claim() {
            return member;
        }
        self.delegation()
            .map_or_else(|| public(&self.key), |delegation| delegation.identity)
            .into()
    }

    /// The delegation, when the key is not the identity's own.
    pub fn delegation(&self) -> Option<&Delegation> {
        self.delegated
            .as_ref()
            .map(|delegated| &delegated.delegation)
    }

    /// The key that signs.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The signed delegation that is sent with each command and query.
    pub fn statement(&self) -> Option<Blob> {
        let delegated = self.delegated.as_ref();
        delegated.map(|delegated| delegated.statement.clone())
    }
}

/// The public half of a key.
pub fn public(key: &SigningKey) -> Identity {
    Identity(key.verifying_key().to_bytes())
}

/// "`to` speaks for me in `workspace` until `not_after`", signed by the identity's own key. A life
/// longer than the 12 h that a ledger accepts is shortened to 12 h.
pub fn delegate(
    identity: &SigningKey,
    to: Identity,
    (ledger, workspace): (LedgerId, &WorkspaceName),
    (not_before, not_after): (Millis, Millis),
    place: Label,
) -> Vec<u8> {
    let most = not_before.0.saturating_add(DELEGATION_MS);
    let delegation = Delegation {
        v: 1,
        key: to,
        place,
        ledger,
        identity: public(identity),
        not_after: Millis(not_after.0.min(most)),
        workspace: workspace.clone(),
        not_before,
    };
    cose::sign(&delegation, identity)
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

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_bytes(&[byte; 32])
    }

    fn statement(from: u8, to: u8, until: u64) -> Vec<u8> {
        let workspace = "demo".parse().expect("a name");
        let place = "console".parse().expect("a label");
        let times = (Millis(1_000), Millis(until));
        let ledger = LedgerId([9; 32]);
        delegate(
            &key(from),
            public(&key(to)),
            (ledger, &workspace),
            times,
            place,
        )
    }

    #[test]
    fn a_delegated_key_acts_as_its_identity() {
        let signer = Signer::delegated(key(2), statement(1, 2, 2_000)).expect("fits");
        assert_eq!(signer.member(), public(&key(1)).into());
        assert_eq!(public(signer.key()), public(&key(2)));
        assert_eq!(Signer::from(key(1)).member(), public(&key(1)).into());
        assert!(Signer::from(key(1)).delegation().is_none());
    }

    #[test]
    fn a_statement_for_another_key_is_refused() {
        let refused = |key, statement: Vec<u8>| {
            let signer = Signer::delegated(key, statement);
            signer.map(|_| ()).map_err(|error| error.code)
        };
        assert_eq!(
            refused(key(3), statement(1, 2, 2_000)),
            Err(Code::BadSignature)
        );
        let mut forged = statement(1, 2, 2_000);
        *forged.last_mut().expect("bytes") ^= 1;
        assert_eq!(refused(key(2), forged), Err(Code::BadSignature));
        assert_eq!(refused(key(2), Vec::new()), Err(Code::Malformed));
    }

    #[test]
    fn no_delegation_outlasts_what_a_ledger_accepts() {
        let signer = Signer::delegated(key(2), statement(1, 2, u64::MAX)).expect("fits");
        let said = signer.delegation().expect("delegated");
        assert_eq!(said.not_after.0 - said.not_before.0, DELEGATION_MS);
    }
}
