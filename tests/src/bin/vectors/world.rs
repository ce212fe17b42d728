//! The actors and objects of the vectors: keys from fixed seeds, one session, one secret.

use ed25519_dalek::SigningKey;
use keyroll_core::command::{Command, NewSecret, SessionRef, SignInOpen};
use keyroll_core::cose::Form as _;
use keyroll_core::crypto::{
    ClientSession, Key, SealContext, SealingSecret, SessionContext, seal_value,
};
use keyroll_core::event::WorkspaceCreated;
use keyroll_core::sign_in::{SignInProof, SignInStatement, SignInTerms};
use keyroll_core::statement::{Delegation, LedgerKey, SealingKey};
use keyroll_core::{
    Action, CommandId, Digest, Identity, LedgerId, MemberId, Millis, SecretId, Version,
    WorkspaceName, cose,
};
use rand::rand_core::{TryCryptoRng, TryRng};
use serde_json::{Value, json};

use crate::forms;

/// The time of all vectors: 2026-06-01T00:00:00Z and the minutes after.
pub(crate) const START: u64 = 1_780_272_000_000;
/// The day of [`START`].
pub(crate) const PERIOD: u32 = 20_605;

/// Fixed bytes for a purpose: the first bytes of its SHA-256.
pub(crate) fn fixed<const N: usize>(purpose: &str) -> [u8; N] {
    let hash = Digest::of(format!("keyroll vectors: {purpose}").as_bytes());
    hash.0
        .first_chunk::<N>()
        .copied()
        .expect("at most 32 bytes are asked for")
}

/// "Random" bytes that are always the same.
#[derive(Clone, Copy)]
pub(crate) struct Fixed(pub(crate) [u8; 32]);

impl TryRng for Fixed {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_le_bytes([
            self.0[0], self.0[1], self.0[2], self.0[3],
        ]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.try_next_u32().map(u64::from)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes
            .iter_mut()
            .zip(self.0.iter().cycle())
            .for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

/// A value on its way, as the client seals it.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) id: SecretId,
    pub(crate) version: Version,
    pub(crate) data_key: [u8; 32],
    pub(crate) bytes: Vec<u8>,
}

impl Sealed {
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    pub(crate) fn size(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("a sealed value is short")
    }
}

pub(crate) struct World {
    pub(crate) ledger_key: SigningKey,
    pub(crate) online: SigningKey,
    pub(crate) alice: SigningKey,
    pub(crate) bob: SigningKey,
    pub(crate) nightly: SigningKey,
    pub(crate) console: SigningKey,
    pub(crate) ledger: LedgerId,
    pub(crate) workspace: WorkspaceName,
    pub(crate) sealing: [u8; 32],
    pub(crate) session: ClientSession,
}

pub(crate) fn member(key: &SigningKey) -> MemberId {
    public(key).into()
}

pub(crate) fn public(key: &SigningKey) -> Identity {
    Identity(key.verifying_key().to_bytes())
}

impl World {
    pub(crate) fn new() -> Self {
        let key = |name: &str| SigningKey::from_bytes(&fixed(name));
        let (ledger_key, alice) = (key("ledger id"), key("alice"));
        let ledger = LedgerId(member(&ledger_key).0);
        let workspace: WorkspaceName = "demo".parse().expect("a workspace's name");
        let sealing = fixed("sealing key");
        let public = SealingSecret::new(&Key::new(sealing))
            .expect("a key")
            .public();
        let context = SessionContext {
            ledger: &ledger,
            workspace: &workspace,
            actor: member(&alice),
        };
        let session = ClientSession::begin(&public, PERIOD, &context, &mut Fixed(fixed("session")));
        Self {
            online: key("ledger's online key"),
            bob: key("bob"),
            nightly: key("nightly"),
            console: key("console"),
            session: session.expect("a session"),
            ledger_key,
            alice,
            ledger,
            workspace,
            sealing,
        }
    }

    /// Names and seeds of all signers.
    pub(crate) fn keys(&self) -> Value {
        let key = |name: &str, key: &SigningKey| {
            json!({
                "name": name,
                "seed": hex::encode(key.to_bytes()),
                "public": hex::encode(key.verifying_key().to_bytes()),
                "text": member(key),
            })
        };
        json!({
            "about": "Ed25519 keys (RFC 8032) from their 32-byte seeds. The ledger's id is the first.",
            "keys": [
                key("ledger id", &self.ledger_key),
                key("ledger's online key", &self.online),
                key("alice, owner", &self.alice),
                key("bob, viewer", &self.bob),
                key("nightly, runner", &self.nightly),
                key("console, delegated to by alice", &self.console),
            ],
        })
    }

    pub(crate) fn ledger_statement(&self) -> Vec<u8> {
        let statement = LedgerKey {
            v: 1,
            key: public(&self.online),
            ledger: self.ledger,
            serial: 1,
            not_after: Millis(START + 31_536_000_000),
            not_before: Millis(START),
        };
        cose::sign(&statement, &self.ledger_key)
    }

    pub(crate) fn sealing_statement(&self) -> Vec<u8> {
        let public = SealingSecret::new(&Key::new(self.sealing))
            .expect("a key")
            .public();
        let statement = SealingKey {
            v: 1,
            key: public,
            ledger: self.ledger,
            period: PERIOD,
        };
        cose::sign(&statement, &self.online)
    }

    pub(crate) fn delegation(&self) -> Vec<u8> {
        self.delegation_of(&self.alice, &self.console)
    }

    /// A delegation that claims to be alice's, signed by `signer`, to `to`.
    pub(crate) fn delegation_of(&self, signer: &SigningKey, to: &SigningKey) -> Vec<u8> {
        let delegation = Delegation {
            v: 1,
            key: public(to),
            place: "console at 127.0.0.1:8300".parse().expect("a label"),
            ledger: self.ledger,
            identity: public(&self.alice),
            not_after: Millis(START + 28_800_000),
            workspace: self.workspace.clone(),
            not_before: Millis(START),
        };
        cose::sign(&delegation, signer)
    }

    /// What alice consents to for the console's key.
    pub(crate) fn sign_in_terms(&self) -> SignInTerms {
        SignInTerms {
            key: public(&self.console),
            from: Millis(START + 480_000),
            until: Millis(START + 480_000 + 28_800_000),
            origin: "https://console.example".parse().expect("an origin"),
        }
    }

    /// The statement of `signer` over the binding of `terms`.
    pub(crate) fn sign_in_statement(&self, signer: &SigningKey, terms: &SignInTerms) -> Vec<u8> {
        let binding = terms.binding(&self.ledger);
        cose::sign(&SignInStatement { v: 1, binding }, signer)
    }

    /// Opens a sign-in of alice with the console's key.
    pub(crate) fn sign_in(&self) -> SignInOpen {
        let terms = self.sign_in_terms();
        SignInOpen {
            key: terms.key,
            from: terms.from,
            proof: SignInProof::Key(self.sign_in_statement(&self.alice, &terms).into()),
            until: terms.until,
            origin: terms.origin,
        }
    }

    /// A command of alice, signed by the console's key through her sign-in.
    pub(crate) fn signed_in(&self, minute: u64, action: Action) -> Vec<u8> {
        let command = Command {
            member: Some(member(&self.alice)),
            ..self.command(minute, action)
        };
        cose::sign(&command, &self.console)
    }

    pub(crate) fn statements(&self) -> Value {
        let terms = self.sign_in_terms();
        let covered = (
            self.ledger,
            terms.key,
            terms.from,
            terms.until,
            &terms.origin,
        );
        json!({
            "about": "Signed statements about keys.",
            "forms": [
                forms::signed::<LedgerKey>("ledger key", "signed-ledger-key", &self.ledger_statement()),
                forms::signed::<SealingKey>("sealing key", "signed-sealing-key", &self.sealing_statement()),
                forms::signed::<Delegation>("delegation", "signed-delegation", &self.delegation()),
                forms::signed::<SignInStatement>(
                    "sign-in",
                    "signed-sign-in",
                    &self.sign_in_statement(&self.alice, &terms),
                ),
                forms::plain(
                    "what the binding of the sign-in is the SHA-256 of",
                    "sign-in-terms",
                    &(SignInStatement::NAME, covered),
                ),
                crate::invitations::form(self),
            ],
            "codes": crate::invitations::codes(self),
        })
    }

    /// The record of the ledger's key in the first entry.
    pub(crate) fn created(&self) -> WorkspaceCreated {
        WorkspaceCreated {
            key: public(&self.online),
            serial: 1,
            statement: self.ledger_statement().into(),
        }
    }

    /// The command with this action, `minute` minutes after the start, not yet signed.
    pub(crate) fn command(&self, minute: u64, action: Action) -> Command {
        let at = START + minute * 60_000;
        let mut id: [u8; 16] = fixed(&format!("command {minute} {}", action.name()));
        id[..6].copy_from_slice(&at.to_be_bytes()[2..]);
        id[6] = 0x70 | id[6] & 0x0f;
        id[8] = 0x80 | id[8] & 0x3f;
        Command {
            v: 1,
            at: Millis(at),
            id: CommandId(id),
            action,
            ledger: self.ledger,
            workspace: self.workspace.clone(),
            member: None,
            approval: None,
            delegation: None,
        }
    }

    /// A value sealed as this version of the secret called `name`.
    pub(crate) fn seal(&self, name: &str, version: u32, value: &[u8]) -> Sealed {
        let (id, version) = (SecretId(fixed(&format!("secret {name}"))), Version(version));
        let data_key = fixed(&format!("data key {name} {version}"));
        let context = SealContext {
            ledger: &self.ledger,
            workspace: &self.workspace,
            secret: id,
            version,
        };
        let nonce = fixed(&format!("value nonce {name} {version}"));
        let bytes = seal_value(value, &Key::new(data_key), nonce, &context)
            .expect("a value of good length");
        Sealed {
            id,
            version,
            data_key,
            bytes,
        }
    }

    pub(crate) const fn session_ref(&self) -> SessionRef {
        self.session.reference
    }

    /// A secret to create, with or without hosts and a period.
    pub(crate) fn new_secret(&self, name: &str, value: &[u8], full: bool) -> NewSecret {
        let sealed = self.seal(name, 1, value);
        let hosts =
            ["api.example.com", "*.example.org:8443"].map(|host| host.parse().expect("a host"));
        NewSecret {
            id: sealed.id,
            name: name.parse().expect("a name"),
            size: sealed.size(),
            hosts: if full { hosts.to_vec() } else { Vec::new() },
            digest: sealed.digest(),
            restricted: false,
            description: if full { "Payments, live" } else { "" }
                .parse()
                .expect("text"),
            rotate_every: full.then_some(7_776_000),
        }
    }
}
