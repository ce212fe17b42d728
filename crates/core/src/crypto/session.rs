//! Sessions: one HPKE exchange (RFC 9180, base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305)
//! between an actor and the ledger's sealing key of the period, from which both sides export a
//! secret per direction. Data keys then travel under symmetric keys derived from those: one HPKE
//! exchange per reveal would halve the throughput.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::CryptoRng;
use hpke::{
    Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _, setup_receiver,
    setup_sender_with_rng,
};
use zeroize::Zeroizing;

use super::OpenError;
use super::keys::{Key, context};
use crate::command::SessionRef;
use crate::ids::{CommandId, Digest, Encapsulated, LedgerId, MemberId};
use crate::names::WorkspaceName;

type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// The context of a session.
#[derive(Debug, Clone, Copy)]
pub struct SessionContext<'a> {
    /// The ledger.
    pub ledger: &'a LedgerId,
    /// The workspace.
    pub workspace: &'a WorkspaceName,
    /// The actor at the other end.
    pub actor: MemberId,
}

impl SessionContext<'_> {
    fn info(&self) -> Vec<u8> {
        context(
            "keyroll/session/v1",
            &(self.ledger, self.workspace, self.actor),
        )
    }
}

/// The direction in which a data key travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the actor, with a new value.
    ToLedger,
    /// To the actor, with a reveal.
    ToClient,
}

impl Direction {
    const fn label(self) -> &'static str {
        match self {
            Self::ToLedger => "keyroll/to-ledger/v1",
            Self::ToClient => "keyroll/to-client/v1",
        }
    }
}

/// The secrets that both ends share, one per direction.
#[derive(Clone)]
pub struct SessionKeys {
    to_ledger: Key,
    to_client: Key,
}

impl SessionKeys {
    fn export(
        export: impl Fn(&[u8], &mut [u8]) -> Result<(), hpke::HpkeError>,
    ) -> Result<Self, OpenError> {
        let one = |direction: Direction| {
            let mut secret = Zeroizing::new([0_u8; 32]);
            export(direction.label().as_bytes(), secret.as_mut())
                .map_err(|_| OpenError("the session"))?;
            Ok(Key::new(*secret))
        };
        Ok(Self {
            to_ledger: one(Direction::ToLedger)?,
            to_client: one(Direction::ToClient)?,
        })
    }

    fn item_key(&self, direction: Direction, command: &CommandId, item: u32) -> (Key, Vec<u8>) {
        let info = context(direction.label(), &(command, item));
        let secret = match direction {
            Direction::ToLedger => &self.to_ledger,
            Direction::ToClient => &self.to_client,
        };
        (secret.derive(&info), info)
    }

    /// Seals the data key of one item of a command for transport: 72 bytes.
    pub fn seal(
        &self,
        direction: Direction,
        command: &CommandId,
        item: u32,
        data_key: &Key,
        nonce: [u8; 24],
    ) -> Vec<u8> {
        let (key, aad) = self.item_key(direction, command, item);
        key.encrypt(nonce, data_key.bytes(), &aad)
    }

    /// Opens the data key of one item of a command.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        &self,
        direction: Direction,
        command: &CommandId,
        item: u32,
        sealed: &[u8],
    ) -> Result<Key, OpenError> {
        let (key, aad) = self.item_key(direction, command, item);
        key.decrypt_key(sealed, &aad)
            .ok_or(OpenError("the data key"))
    }
}

/// The actor's end of a session.
#[derive(Clone)]
pub struct ClientSession {
    /// The reference by which commands name it.
    pub reference: SessionRef,
    /// Its secrets.
    pub keys: SessionKeys,
}

impl ClientSession {
    /// Begins a session with the ledger's sealing key of `period`.
    ///
    /// # Errors
    /// [`OpenError`] when the sealing key is not a usable X25519 key.
    pub fn begin(
        sealing_key: &Digest,
        period: u32,
        context: &SessionContext<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, OpenError> {
        let fail = |_| OpenError("the ledger's sealing key");
        let public = Public::from_bytes(&sealing_key.0).map_err(fail)?;
        let (enc, sender) =
            setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
                &OpModeS::Base,
                &public,
                &context.info(),
                rng,
            )
            .map_err(fail)?;
        let keys = SessionKeys::export(|label, out| sender.export(label, out))?;
        let enc = Encapsulated(enc.to_bytes().into());
        Ok(Self {
            reference: SessionRef { enc, period },
            keys,
        })
    }
}

/// The ledger's private sealing key of one period.
pub struct SealingSecret(Private);

impl SealingSecret {
    /// Takes an X25519 private key.
    ///
    /// # Errors
    /// [`OpenError`] when the bytes are not one.
    pub fn new(key: &Key) -> Result<Self, OpenError> {
        Private::from_bytes(key.bytes())
            .map(Self)
            .map_err(|_| OpenError("the sealing key"))
    }

    /// The public key.
    pub fn public(&self) -> Digest {
        Digest(X25519HkdfSha256::sk_to_pk(&self.0).to_bytes().into())
    }
}

/// The ledger's end of a session.
#[derive(Debug, Clone, Copy)]
pub struct LedgerSession;

impl LedgerSession {
    /// The secrets of the session that a command names.
    ///
    /// # Errors
    /// [`OpenError`] when `enc` is not a usable X25519 key.
    pub fn accept(
        secret: &SealingSecret,
        enc: &Encapsulated,
        context: &SessionContext<'_>,
    ) -> Result<SessionKeys, OpenError> {
        let fail = |_| OpenError("the session");
        let enc = EncappedKey::from_bytes(&enc.0).map_err(fail)?;
        let receiver = setup_receiver::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &secret.0,
            &enc,
            &context.info(),
        )
        .map_err(fail)?;
        SessionKeys::export(|label, out| receiver.export(label, out))
    }
}
