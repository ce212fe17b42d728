//! Commands, which actors sign. The entry of a command keeps it verbatim.
//!
//! Fields are declared in canonical order: shorter names first, then by bytes.

mod action;
mod fields;

use serde::{Deserialize, Serialize};

use crate::cose::{self, Form, Unverified};
use crate::ids::{Blob, CommandId, Identity, LedgerId, MemberId, Millis};
use crate::invitation::{self, AcceptanceProof, AcceptanceStatement};
use crate::names::WorkspaceName;
use crate::rejection::{Code, Rejection};
use crate::sign_in::{self, Approval, SignInProof, SignInStatement};
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
    /// The member that acts, when a sign-in key signs. The member's own key signs without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// The approval of a sensitive act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
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
    /// The proof of a `signin.open`.
    proof: Option<Unverified<SignInStatement>>,
    /// The proof of a `member.accept`.
    acceptance: Option<Unverified<AcceptanceStatement>>,
}

/// How a form is opened: strictly, or as bytes that a verified signature of the ledger covers.
#[derive(Clone, Copy)]
enum Opening {
    Strict,
    Trusted,
}

impl Opening {
    fn open<F: Form>(self, bytes: &[u8]) -> Result<Unverified<F>, Rejection> {
        match self {
            Self::Strict => cose::open(bytes),
            Self::Trusted => cose::open_trusted(bytes),
        }
    }
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
        Self::open(bytes, Opening::Strict)
    }

    /// Decodes bytes that a verified signature of the ledger covers.
    ///
    /// # Errors
    /// As [`SignedCommand::decode`].
    pub fn decode_trusted(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::open(bytes, Opening::Trusted)
    }

    fn open(bytes: &[u8], opening: Opening) -> Result<Self, Rejection> {
        let inner: Unverified<Command> = opening.open(bytes)?;
        let Command {
            member,
            action,
            delegation,
            ..
        } = &inner.payload;
        sign_in::check_claim(inner.signer, *member, delegation.is_some())?;
        let delegation = delegation.as_ref().map(|bytes| opening.open(&bytes.0));
        let delegation = delegation.transpose()?;
        let proof = if let Action::SignInOpen(open) = action {
            let SignInProof::Key(statement) = &open.proof;
            Some(opening.open(&statement.0)?)
        } else {
            None
        };
        let acceptance = if let Action::MemberAccept(accept) = action {
            if member.is_some() || delegation.is_some() {
                let message = "the code's key signs an acceptance, for nobody else";
                return Err(Rejection::new(Code::Malformed, message));
            }
            if accept.principal.is_key(&inner.signer) {
                // Whoever sent the code has this key too.
                let message = "a new member needs a key of its own, not the code's";
                return Err(Rejection::new(Code::Malformed, message));
            }
            let AcceptanceProof::Key(statement) = &accept.proof;
            Some(opening.open(&statement.0)?)
        } else {
            None
        };
        Ok(Self {
            inner,
            delegation,
            proof,
            acceptance,
        })
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

    /// The member that acts, by the command's own claim: whoever signs with a sign-in key may name
    /// any member. Only the state can tell whether the key acts for it. Whoever accepts an invitation
    /// acts in person, by the proof, although the code's key signs.
    pub fn actor(&self) -> MemberId {
        if let Some(member) = self.inner.payload.member {
            return member;
        }
        if let Action::MemberAccept(accept) = &self.inner.payload.action {
            return accept.member();
        }
        self.delegation
            .as_ref()
            .map_or(self.inner.signer, |opened| opened.payload.identity)
            .into()
    }

    /// Whether the signer acts for itself, neither through a sign-in nor through a delegation.
    pub const fn acts_for_itself(&self) -> bool {
        self.inner.payload.member.is_none() && self.delegation.is_none()
    }

    /// The key that signed the proof of a `signin.open`.
    pub fn proof_signer(&self) -> Option<Identity> {
        self.proof.as_ref().map(|proof| proof.signer)
    }

    /// The delegation to the signing key, if that is not the actor's own.
    pub fn delegation(&self) -> Option<&Delegation> {
        self.delegation.as_ref().map(|opened| &opened.payload)
    }

    /// Verifies the signature, and that of the delegation or the proof when there is one.
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
        if let Some(delegation) = &self.delegation {
            delegation.verify_for(&self.inner.signer)?;
        }
        self.check_proof()?;
        self.check_acceptance()
    }

    fn check_acceptance(&self) -> Result<(), Rejection> {
        let command = &self.inner.payload;
        let (Some(proof), Action::MemberAccept(accept)) = (&self.acceptance, &command.action)
        else {
            return Ok(());
        };
        proof.verify()?;
        let binding = invitation::binding(
            &command.ledger,
            &command.workspace,
            &self.inner.signer,
            &accept.principal,
        );
        if proof.payload.binding == binding && accept.principal.is_key(&proof.signer) {
            return Ok(());
        }
        let message =
            "the proof is for another acceptance, or another key than the new member's signed it";
        Err(Rejection::new(Code::BadSignature, message))
    }

    fn check_proof(&self) -> Result<(), Rejection> {
        let (Some(proof), Action::SignInOpen(open)) = (&self.proof, &self.inner.payload.action)
        else {
            return Ok(());
        };
        proof.verify()?;
        let binding = open.terms().binding(&self.inner.payload.ledger);
        if proof.payload.binding == binding && open.key == self.inner.signer {
            return Ok(());
        }
        let message = "the proof is for another sign-in, or another key than the sign-in's signed the command";
        Err(Rejection::new(Code::BadSignature, message))
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
