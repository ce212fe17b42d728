//! Signed statements about keys: the ledger's online key, its sealing keys, and delegations.

use serde::{Deserialize, Serialize};

use crate::cose::{self, Form, Unverified};
use crate::ids::{Digest, Identity, LedgerId, Millis};
use crate::limits;
use crate::names::{Label, WorkspaceName};
use crate::rejection::{Code, Rejection};

/// "This key speaks for me in this workspace for a while": signed by an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// Version of the form, 1.
    pub v: u32,
    /// The key that may sign.
    pub key: Identity,
    /// The label of where it is used, such as a console's address.
    #[serde(rename = "where")]
    pub place: Label,
    /// The ledger.
    pub ledger: LedgerId,
    /// Who delegates.
    pub identity: Identity,
    /// When it ends, 12 h after `not_before` at most.
    pub not_after: Millis,
    /// The workspace.
    pub workspace: WorkspaceName,
    /// When it begins.
    pub not_before: Millis,
}

impl Form for Delegation {
    const NAME: &'static str = "keyroll/delegation/v1";
    const TYP: &'static str = "application/vnd.keyroll.delegation";
    const V: u32 = 1;
}

impl Unverified<Delegation> {
    /// Verifies that the identity itself delegated to `signer`.
    ///
    /// # Errors
    /// [`Code::BadSignature`].
    pub fn verify_for(&self, signer: &Identity) -> Result<(), Rejection> {
        self.verify()?;
        if self.signer != self.payload.identity || self.payload.key != *signer {
            let message = "the delegation is for another key or not signed by its identity";
            return Err(Rejection::new(Code::BadSignature, message));
        }
        Ok(())
    }
}

impl Delegation {
    /// Whether it covers `workspace` of `ledger` at `now`. This does not check for a revocation.
    pub fn covers(&self, ledger: &LedgerId, workspace: &WorkspaceName, now: Millis) -> bool {
        self.ledger == *ledger
            && self.workspace == *workspace
            && self.not_before <= now
            && now <= self.not_after
            && self.not_after.0.saturating_sub(self.not_before.0) <= limits::DELEGATION_MS
    }
}

/// "This key signs commits and checkpoints": signed by the ledger's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerKey {
    /// Version of the form, 1.
    pub v: u32,
    /// The online key.
    pub key: Identity,
    /// The ledger.
    pub ledger: LedgerId,
    /// Higher than that of every earlier online key.
    pub serial: u32,
    /// When it ends.
    pub not_after: Millis,
    /// When it begins.
    pub not_before: Millis,
}

impl Form for LedgerKey {
    const NAME: &'static str = "keyroll/ledger-key/v1";
    const TYP: &'static str = "application/vnd.keyroll.ledger-key";
    const V: u32 = 1;
}

impl LedgerKey {
    /// Opens a statement and checks that `ledger` signed it.
    ///
    /// # Errors
    /// As [`cose::open`]; [`Code::BadSignature`] and [`Code::WrongLedger`].
    pub fn open(bytes: &[u8], ledger: &LedgerId) -> Result<Self, Rejection> {
        let opened = cose::open::<Self>(bytes)?;
        opened.verify()?;
        if opened.signer.0 != ledger.0 || opened.payload.ledger != *ledger {
            let message = format!("the ledger's key has no valid statement by {ledger}");
            return Err(Rejection::new(Code::WrongLedger, message));
        }
        Ok(opened.payload)
    }
}

/// "Seal data keys of this period to this X25519 key": signed by the ledger's online key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealingKey {
    /// Version of the form, 1.
    pub v: u32,
    /// The X25519 public key.
    pub key: Digest,
    /// The ledger.
    pub ledger: LedgerId,
    /// Days since 1970-01-01.
    pub period: u32,
}

impl Form for SealingKey {
    const NAME: &'static str = "keyroll/sealing-key/v1";
    const TYP: &'static str = "application/vnd.keyroll.sealing-key";
    const V: u32 = 1;
}

impl SealingKey {
    /// Opens a statement and checks that the online key `signer` of `ledger` signed it.
    ///
    /// # Errors
    /// As [`cose::open`]; [`Code::BadSignature`] and [`Code::WrongLedger`].
    pub fn open(bytes: &[u8], ledger: &LedgerId, signer: &Identity) -> Result<Self, Rejection> {
        let opened = cose::open::<Self>(bytes)?;
        opened.verify()?;
        if opened.signer != *signer || opened.payload.ledger != *ledger {
            let message = "the sealing key has no valid statement by this ledger's key";
            return Err(Rejection::new(Code::WrongLedger, message));
        }
        Ok(opened.payload)
    }
}
