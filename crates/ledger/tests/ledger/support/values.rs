//! Values: sealed and sent, revealed and opened.

use ed25519_dalek::SigningKey;
use keyroll_core::command::{
    NewSecret, Nothing, Purpose, RevealItem, SecretCreate, SecretEdit, SecretReveal,
};
use keyroll_core::crypto::{
    ClientSession, Direction, Key, SealContext, SessionContext, open_value, seal_value,
};
use keyroll_core::statement::SealingKey;
use keyroll_core::{Action, CommandId, Digest, Entry, Event, Rejection, SecretId, Version, cbor};
use keyroll_wire::reply::{CommittedCommand, SealedValue, ServiceInfo};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::{World, demo, denied, fresh, identity, name, now};

impl World {
    pub(crate) async fn session(&self, actor: &SigningKey) -> ClientSession {
        let info: ServiceInfo = cbor::decode(&self.ledger.info().await.bytes).expect("info");
        let sealing = SealingKey::open(&info.sealing_key.0, &self.id(), &identity(&self.online))
            .expect("vouched for");
        let workspace = demo();
        let context = SessionContext {
            ledger: &self.id(),
            workspace: &workspace,
            actor: identity(actor).into(),
        };
        ClientSession::begin(
            &sealing.key,
            sealing.period,
            &context,
            &mut UnwrapErr(SysRng),
        )
        .expect("a session")
    }

    fn sealed(
        &self,
        session: &ClientSession,
        id: CommandId,
        secret: SecretId,
        version: Version,
        value: &[u8],
    ) -> (SealedValue, Digest, u32) {
        let data_key = Key::new(secret_bytes(secret, version));
        let workspace = demo();
        let context = SealContext {
            ledger: &self.id(),
            workspace: &workspace,
            secret,
            version,
        };
        let sealed = seal_value(value, &data_key, [9; 24], &context).expect("seals");
        let key = session
            .keys
            .seal(Direction::ToLedger, &id, 0, &data_key, [8; 24]);
        let (digest, size) = (
            Digest::of(&sealed),
            u32::try_from(sealed.len()).expect("size"),
        );
        (
            SealedValue {
                key: key.into(),
                sealed: sealed.into(),
            },
            digest,
            size,
        )
    }

    /// The bytes and values of a `secret.create`.
    pub(crate) async fn create_command(
        &self,
        actor: &SigningKey,
        secret: SecretId,
        called: &str,
        value: &[u8],
    ) -> (Vec<u8>, Vec<SealedValue>) {
        let (session, id) = (self.session(actor).await, fresh());
        let (sealed, digest, size) = self.sealed(&session, id, secret, Version(1), value);
        let new = NewSecret {
            id: secret,
            name: name(called),
            size,
            hosts: vec![],
            digest,
            restricted: false,
            description: "".parse().expect("text"),
            rotate_every: None,
        };
        let action = Action::SecretCreate(SecretCreate {
            secret: new,
            session: session.reference,
        });
        (self.command_bytes(actor, id, now(), action), vec![sealed])
    }

    pub(crate) async fn create(
        &self,
        actor: &SigningKey,
        called: &str,
        value: &[u8],
    ) -> Result<SecretId, Rejection> {
        let secret = SecretId(fresh().0);
        let (command, values) = self.create_command(actor, secret, called, value).await;
        self.send(command, values).await.map(|_| secret)
    }

    pub(crate) async fn edit(
        &self,
        actor: &SigningKey,
        (secret, called): (SecretId, &str),
        version: u32,
        value: &[u8],
    ) -> Result<CommittedCommand, Rejection> {
        self.edit_because(actor, (secret, called), version, value, None)
            .await
    }

    pub(crate) async fn edit_because(
        &self,
        actor: &SigningKey,
        (secret, called): (SecretId, &str),
        version: u32,
        value: &[u8],
        reason: Option<&str>,
    ) -> Result<CommittedCommand, Rejection> {
        let (session, id) = (self.session(actor).await, fresh());
        let (sealed, digest, size) = self.sealed(&session, id, secret, Version(version), value);
        let action = Action::SecretEdit(SecretEdit {
            id: secret,
            name: name(called),
            size,
            digest,
            reason: reason.map(|words| words.parse().expect("text")),
            session: session.reference,
            version: Version(version),
        });
        self.send(self.command_bytes(actor, id, now(), action), vec![sealed])
            .await
    }

    pub(crate) fn reveal_action(session: &ClientSession, called: &str) -> Action {
        Action::SecretReveal(SecretReveal {
            names: vec![RevealItem {
                id: None,
                name: name(called),
                version: None,
            }],
            reason: None,
            purpose: Purpose::View(Nothing {}),
            session: session.reference,
        })
    }

    pub(crate) async fn reveal(
        &self,
        actor: &SigningKey,
        called: &str,
    ) -> Result<Vec<u8>, Rejection> {
        let (session, id) = (self.session(actor).await, fresh());
        let action = Self::reveal_action(&session, called);
        let done = self
            .send(self.command_bytes(actor, id, now(), action), vec![])
            .await?;
        if let Some(denied) = denied(&done) {
            return Err(denied);
        }
        Ok(self.open_released(&session, id, &done))
    }

    pub(crate) fn open_released(
        &self,
        session: &ClientSession,
        id: CommandId,
        done: &CommittedCommand,
    ) -> Vec<u8> {
        let entry: Entry = cbor::decode(&done.receipt.entry.0).expect("an entry");
        let Some(Event::SecretRevealed(revealed)) = entry.events.first() else {
            panic!("no reveal: {:?}", entry.events)
        };
        let (said, got) = (&revealed.secrets[0], &done.released[0]);
        let data_key = session
            .keys
            .open(Direction::ToClient, &id, 0, &got.key.0)
            .expect("the data key");
        let workspace = demo();
        let context = SealContext {
            ledger: &self.id(),
            workspace: &workspace,
            secret: said.id,
            version: said.version,
        };
        open_value(&got.sealed.0, &said.digest, &data_key, &context)
            .expect("the value")
            .to_vec()
    }
}

fn secret_bytes(secret: SecretId, version: Version) -> [u8; 32] {
    let mut key = [3; 32];
    key[..16].copy_from_slice(&secret.0);
    key[16..20].copy_from_slice(&version.0.to_be_bytes());
    key
}
