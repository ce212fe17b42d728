//! Commands, which actors sign. The entry of a command keeps it verbatim.
//!
//! Fields are declared in canonical order: shorter names first, then by bytes.

mod action;
mod fields;

use serde::{Deserialize, Serialize};

use crate::cose::{self, Form, Unverified};
use crate::ids::{Blob, CommandId, Identity, LedgerId, MemberId, Millis};
use crate::names::WorkspaceName;
use crate::rejection::{Code, Rejection};
use crate::statement::Delegation;

pub use action::{ACTIONS, Action};
pub use fields::*;

/// The version of the command form that this program writes.
pub const COMMAND_V: u32 = 1;

/// "I want this": one signed request to change or reveal something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Version of the form, 1.
    pub v: u32,
    /// When the actor signed.
    pub at: Millis,
    /// Unique for the actor. The same bytes sent again get the same receipt.
    pub id: CommandId,
    /// The action.
    pub action: Action,
    /// The ledger it is meant for.
    pub ledger: LedgerId,
    /// The workspace it is meant for.
    pub workspace: WorkspaceName,
    /// A signed [`Delegation`], when the signing key is not the identity itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Blob>,
}

impl Form for Command {
    const NAME: &'static str = "keyroll/command/v1";
    const TYP: &'static str = "application/vnd.keyroll.command";
    const V: u32 = COMMAND_V;
}

/// A decoded command whose signatures are not verified yet.
#[derive(Debug, Clone)]
pub struct SignedCommand {
    inner: Unverified<Command>,
    delegation: Option<Unverified<Delegation>>,
}

impl SignedCommand {
    /// Decodes untrusted bytes.
    ///
    /// # Errors
    /// As [`cose::open`]; [`Code::UpgradeNeeded`] for a later version of the form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() > crate::limits::COMMAND_BYTES {
            let limit = crate::limits::COMMAND_BYTES;
            return Err(Rejection::new(
                Code::TooLarge,
                format!("a command is at most {limit} bytes"),
            ));
        }
        Self::finish(cose::open(bytes)?, cose::open)
    }

    /// Decodes bytes that a verified signature of the ledger covers.
    ///
    /// # Errors
    /// As [`SignedCommand::decode`].
    pub fn decode_trusted(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::finish(cose::open_trusted(bytes)?, |bytes| {
            cose::open_trusted(bytes)
        })
    }

    fn finish(
        inner: Unverified<Command>,
        open: impl FnOnce(&[u8]) -> Result<Unverified<Delegation>, Rejection>,
    ) -> Result<Self, Rejection> {
        let delegation = inner
            .payload
            .delegation
            .as_ref()
            .map(|bytes| open(&bytes.0))
            .transpose()?;
        Ok(Self { inner, delegation })
    }

    /// The command.
    pub const fn command(&self) -> &Command {
        &self.inner.payload
    }

    /// The bytes as received.
    pub fn bytes(&self) -> &[u8] {
        &self.inner.bytes
    }

    /// The key that signed it.
    pub const fn signer(&self) -> Identity {
        self.inner.signer
    }

    /// The member that acts: the delegating one when the signer is a delegated key.
    pub fn actor(&self) -> MemberId {
        self.delegation
            .as_ref()
            .map_or(self.inner.signer, |opened| opened.payload.identity)
            .into()
    }

    /// The delegation to the signing key, if that is not the actor's own.
    pub fn delegation(&self) -> Option<&Delegation> {
        self.delegation.as_ref().map(|opened| &opened.payload)
    }

    /// Verifies the signature, and the delegation's when there is one.
    ///
    /// # Errors
    /// [`Code::BadSignature`].
    pub fn verify(self) -> Result<Verified, Rejection> {
        self.check_signatures()?;
        Ok(Verified(self))
    }

    /// As [`SignedCommand::verify`], without taking the command.
    ///
    /// # Errors
    /// [`Code::BadSignature`].
    pub fn check_signatures(&self) -> Result<(), Rejection> {
        self.inner.verify()?;
        self.delegation.as_ref().map_or(Ok(()), |delegation| {
            delegation.verify_for(&self.inner.signer)
        })
    }

    /// For full verification only, which checks the signatures on other threads and reports each
    /// bad one. Never use it for a command that may become an entry.
    pub fn assume_verified(self) -> Verified {
        Verified(self)
    }
}

/// A command with valid signatures.
#[derive(Debug, Clone)]
pub struct Verified(SignedCommand);

impl Verified {
    /// The command without the mark that its signatures are valid.
    pub fn into_signed(self) -> SignedCommand {
        self.0
    }
}

impl std::ops::Deref for Verified {
    type Target = SignedCommand;

    fn deref(&self) -> &SignedCommand {
        &self.0
    }
}
