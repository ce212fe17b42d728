//! Sign-ins: a member has a fresh key act for it for a while. An entry opens the sign-in, so that
//! nothing but the member's id travels with the commands that the key signs.

use serde::{Deserialize, Deserializer, Serialize};

use crate::cbor;
use crate::cose::Form;
use crate::ids::{Blob, Digest, Identity, LedgerId, MemberId, Millis};
use crate::names::ClaimedOrigin;
use crate::rejection::{Code, Rejection};
use crate::union::{self, union};

/// The first element of what a binding covers, and the name of the statement over it.
const NAME: &str = "keyroll/sign-in/v1";

union!(
    /// Who a member is: how it proves itself.
    Principal, "principal" {
        /// A public key, which signs.
        Key(Identity) = "key",
    }
);

impl Principal {
    /// The principal of a member. Every member is its key.
    pub const fn of(member: &MemberId) -> Self {
        Self::Key(Identity(member.0))
    }

    /// Whether this is the key that signs for the principal itself.
    pub fn is_key(&self, key: &Identity) -> bool {
        let Self::Key(own) = self;
        own == key
    }
}

union!(
    /// What shows that a member wants a sign-in.
    SignInProof, "proof of a sign-in" {
        /// A signed [`SignInStatement`], by the member's own key.
        Key(Blob) = "key",
    }
);

/// Approves a sensitive act that a sign-in key signs. The place of the field is reserved: this
/// program knows no approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Approval {}

impl<'de> Deserialize<'de> for Approval {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(union::unknown("approval", "approval"))
    }
}

/// What a member consents to. It names no workspace: one proof serves every workspace of the
/// ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInTerms {
    /// The fresh key that is to sign.
    pub key: Identity,
    /// When the member consented.
    pub from: Millis,
    /// When the sign-in ends.
    pub until: Millis,
    /// Where it is used, as its user claims.
    pub origin: ClaimedOrigin,
}

impl SignInTerms {
    /// SHA-256 over `["keyroll/sign-in/v1", [ledger, key, from, until, where]]`.
    pub fn binding(&self, ledger: &LedgerId) -> Digest {
        let terms = (ledger, self.key, self.from, self.until, &self.origin);
        Digest::of(&cbor::encode(&(NAME, terms)))
    }
}

/// "The key of this binding may sign for me": signed by the member's own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInStatement {
    /// Version of the form, 1.
    pub v: u32,
    /// The binding of the terms.
    pub binding: Digest,
}

impl Form for SignInStatement {
    const NAME: &'static str = NAME;
    const TYP: &'static str = "application/vnd.keyroll.sign-in";
    const V: u32 = 1;
}

/// Checks that a command or query has one form: a member's own key signs without naming the
/// member, and a delegation names its member itself.
///
/// # Errors
/// [`Code::Malformed`].
pub fn check_claim(
    signer: Identity,
    member: Option<MemberId>,
    delegated: bool,
) -> Result<(), Rejection> {
    if member.is_none_or(|member| !delegated && member != signer.into()) {
        return Ok(());
    }
    let message = "`member` is only for what a sign-in key signs";
    Err(Rejection::new(Code::Malformed, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_covers_every_term_and_the_ledger() {
        let ledger = LedgerId([1; 32]);
        let terms = SignInTerms {
            key: Identity([2; 32]),
            from: Millis(3),
            until: Millis(4),
            origin: "laptop".parse().expect("an origin"),
        };
        let whole = terms.binding(&ledger);
        let other = |change: &dyn Fn(&mut SignInTerms)| {
            let mut terms = terms.clone();
            change(&mut terms);
            assert_ne!(terms.binding(&ledger), whole);
        };
        other(&|terms| terms.key = Identity([9; 32]));
        other(&|terms| terms.from = Millis(9));
        other(&|terms| terms.until = Millis(9));
        other(&|terms| terms.origin = "phone".parse().expect("an origin"));
        assert_ne!(terms.binding(&LedgerId([9; 32])), whole);
    }

    /// `{"made-up": h'00'}`.
    const MADE_UP: &[u8] = b"\xa1\x67made-up\x41\x00";

    #[test]
    fn variants_that_are_unknown_want_an_upgrade() {
        let code = |decoded: Result<(), Rejection>| decoded.map_err(|refused| refused.code);
        let wanted = Err(Code::UpgradeNeeded);
        assert_eq!(code(cbor::decode::<SignInProof>(MADE_UP).map(drop)), wanted);
        assert_eq!(code(cbor::decode::<Principal>(MADE_UP).map(drop)), wanted);
        assert_eq!(code(cbor::decode::<Approval>(MADE_UP).map(drop)), wanted);
        let known = SignInProof::Key(Blob(vec![1]));
        let bytes = cbor::encode(&known);
        assert_eq!(cbor::decode::<SignInProof>(&bytes), Ok(known.clone()));
        let text = serde_json::to_string(&known).expect("JSON");
        assert_eq!(text, r#"{"key":"AQ=="}"#);
        assert_eq!(serde_json::from_str::<SignInProof>(&text).ok(), Some(known));
    }
}
