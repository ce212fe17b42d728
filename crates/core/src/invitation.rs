//! Invitations: an owner hands somebody a code, and whoever has the code joins with a key of their
//! own. The log has only the public half of a key that the code makes.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::cbor;
use crate::cose::Form;
use crate::ids::{Blob, Digest, Identity, LedgerId, MemberId};
use crate::names::WorkspaceName;
use crate::sign_in::Principal;
use crate::union::union;

/// The first element of what a code's key is made of.
const CODE: &str = "keyroll/invitation/v1";
/// The first element of what an acceptance covers, and the name of the statement over it.
const ACCEPTANCE: &str = "keyroll/acceptance/v1";
/// The first element of what a fingerprint is made of.
const FINGERPRINT: &str = "keyroll/fingerprint/v1";

/// Characters of a fingerprint: 80 bits. Whoever wants a key with the fingerprint of another key
/// tries 2^80 keys.
const FINGERPRINT_CHARS: usize = 16;
/// Bits of one character.
const CHAR_BITS: u8 = 5;
/// Crockford's base32: no I, L, O or U, since people compare fingerprints aloud.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The secret of an invitation: 128 random bits. Whoever has it may accept.
#[derive(Clone, PartialEq, Eq)]
pub struct InvitationCode(Zeroizing<[u8; 16]>);

impl InvitationCode {
    /// A code of random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// The key that the code makes: its seed is SHA-256 over
    /// `["keyroll/invitation/v1", [ledger, workspace, code]]`. So a code makes another key in
    /// another workspace or ledger.
    pub fn key(&self, ledger: &LedgerId, workspace: &WorkspaceName) -> SigningKey {
        let code = serde_bytes::Bytes::new(self.0.as_slice());
        let bytes = Zeroizing::new(cbor::encode(&(CODE, (ledger, workspace, code))));
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(Sha256::digest(bytes.as_slice()).into());
        SigningKey::from_bytes(&seed)
    }

    /// 22 characters of base64url.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }
}

/// Debug output never shows the code.
impl fmt::Debug for InvitationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationCode(…)")
    }
}

/// A text that is no code. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an invitation's code is 22 characters of base64url")]
pub struct ParseCodeError;

impl FromStr for InvitationCode {
    type Err = ParseCodeError;

    fn from_str(text: &str) -> Result<Self, ParseCodeError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ParseCodeError)?;
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| ParseCodeError)?;
        Ok(Self::new(bytes))
    }
}

/// SHA-256 over `["keyroll/acceptance/v1", [ledger, workspace, code key, principal]]`: who accepts
/// which invitation.
pub fn binding(
    ledger: &LedgerId,
    workspace: &WorkspaceName,
    code_key: &Identity,
    principal: &Principal,
) -> Digest {
    let parts = (ledger, workspace, code_key, principal);
    Digest::of(&cbor::encode(&(ACCEPTANCE, parts)))
}

/// "I accept": signed by the new member's own key, so that nobody is made a member who does not
/// want it or does not have the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceStatement {
    /// Version of the form, 1.
    pub v: u32,
    /// The [`binding`].
    pub binding: Digest,
}

impl Form for AcceptanceStatement {
    const NAME: &'static str = ACCEPTANCE;
    const TYP: &'static str = "application/vnd.keyroll.acceptance";
    const V: u32 = 1;
}

union! {
    /// What shows that a principal accepts an invitation.
    AcceptanceProof, "proof of an acceptance" {
        /// A signed [`AcceptanceStatement`], by the principal's own key.
        Key(Blob) = "key",
    }
}

/// A short form of a member's key, which two people compare: four groups of four characters.
pub fn fingerprint(member: &MemberId) -> String {
    let digest = Sha256::digest(cbor::encode(&(FINGERPRINT, member)));
    let mut bits = digest
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut text = String::with_capacity(FINGERPRINT_CHARS + 3);
    for at in 0..FINGERPRINT_CHARS {
        if at > 0 && at % 4 == 0 {
            text.push('-');
        }
        let value = (0..CHAR_BITS).fold(0, |value, _| value << 1 | bits.next().unwrap_or_default());
        text.push(char::from(ALPHABET[usize::from(value)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(name: &str) -> WorkspaceName {
        name.parse().expect("a name")
    }

    #[test]
    fn a_code_is_22_characters_and_its_debug_output_hides_it() {
        let code = InvitationCode::new([7; 16]);
        let text = code.to_text();
        assert_eq!(text.len(), 22);
        assert_eq!(text.parse(), Ok(code.clone()));
        assert!(!format!("{code:?}").contains(text.as_str()));
        // The last character of 22 has four bits that must be zero, so each code has one spelling.
        for wrong in [
            "",
            "BwcHBwcHBwcHBwcHBwcHB",
            "BwcHBwcHBwcHBwcHBwcHBx",
            "BwcHBwcHBwcHBwcHBwcHBw==",
        ] {
            assert_eq!(
                wrong.parse::<InvitationCode>(),
                Err(ParseCodeError),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_code_makes_another_key_in_another_workspace_or_ledger() {
        let (code, ledger) = (InvitationCode::new([7; 16]), LedgerId([1; 32]));
        let key = |code: &InvitationCode, ledger, name| {
            code.key(&ledger, &workspace(name))
                .verifying_key()
                .to_bytes()
        };
        let whole = key(&code, ledger, "demo");
        assert_eq!(whole, key(&code, ledger, "demo"));
        assert_ne!(whole, key(&code, ledger, "other"));
        assert_ne!(whole, key(&code, LedgerId([2; 32]), "demo"));
        assert_ne!(whole, key(&InvitationCode::new([8; 16]), ledger, "demo"));
    }

    #[test]
    fn a_binding_covers_each_part() {
        let (ledger, demo) = (LedgerId([1; 32]), workspace("demo"));
        let (code, who) = (Identity([2; 32]), Principal::Key(Identity([3; 32])));
        let whole = binding(&ledger, &demo, &code, &who);
        assert_ne!(whole, binding(&LedgerId([9; 32]), &demo, &code, &who));
        assert_ne!(whole, binding(&ledger, &workspace("other"), &code, &who));
        assert_ne!(whole, binding(&ledger, &demo, &Identity([9; 32]), &who));
        let other = Principal::Key(Identity([9; 32]));
        assert_ne!(whole, binding(&ledger, &demo, &code, &other));
    }

    #[test]
    fn a_fingerprint_is_short_and_each_keys_own() {
        let one = fingerprint(&MemberId([1; 32]));
        assert_eq!(one.len(), 19);
        let groups: Vec<&str> = one.split('-').collect();
        assert!(
            groups.len() == 4 && groups.iter().all(|group| group.len() == 4),
            "{one}"
        );
        assert_eq!(one, fingerprint(&MemberId([1; 32])));
        assert_ne!(one, fingerprint(&MemberId([2; 32])));
    }

    #[test]
    fn a_proof_of_an_unknown_kind_wants_an_upgrade() {
        let made_up = b"\xa1\x67made-up\x41\x00";
        let code = cbor::decode::<AcceptanceProof>(made_up).map_err(|refused| refused.code);
        assert_eq!(code, Err(crate::Code::UpgradeNeeded));
    }
}
