//! New values: sealed before they leave the client.

use ed25519_dalek::Signer as _;
use keyroll_core::command::{
    NewSecret, SecretCreate, SecretEdit, SecretImport, SecretRollback, SessionRef,
};
use keyroll_core::crypto::{ClientSession, Direction, Key, SealContext, seal_value};
use keyroll_core::names::{HostPattern, Text};
use keyroll_core::{
    Action, Code, CommandId, Digest, Event, SecretId, SecretName, Version, WorkspaceName,
};

use crate::command::Executed;
use crate::{Client, ClientError, new_command_id, new_secret_id, random, unexpected};
use keyroll_wire::reply::SealedValue;

/// A secret to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSecretSpec {
    /// Its name.
    pub name: SecretName,
    /// Words for people.
    pub description: Text,
    /// Hosts it may be sent to; none means any.
    pub hosts: Vec<HostPattern>,
    /// Whether only runners may have it.
    pub restricted: bool,
    /// How often a new value is due, in seconds.
    pub rotate_every: Option<u64>,
}

/// An action and the values that go with it.
type Made = Result<(Action, Vec<SealedValue>), ClientError>;

/// What became of it.
enum Sent {
    Executed(Box<Executed>),
    Decided(Vec<Event>),
}

struct Sealed {
    value: SealedValue,
    digest: Digest,
    size: u32,
}

impl Client {
    fn seal(
        &self,
        workspace: &WorkspaceName,
        (secret, version): (SecretId, Version),
        value: &[u8],
        journey: (&ClientSession, &CommandId, u32),
    ) -> Result<Sealed, ClientError> {
        let data_key = Key::new(random()?);
        let context = SealContext {
            ledger: &self.connection.ledger,
            workspace,
            secret,
            version,
        };
        let sealed = seal_value(value, &data_key, random()?, &context)?;
        let (session, command, item) = journey;
        let key = session
            .keys
            .seal(Direction::ToLedger, command, item, &data_key, random()?);
        let size = u32::try_from(sealed.len())
            .map_err(|_| ClientError::failed(Code::InvalidValue, "the value is too long"))?;
        let digest = Digest::of(&sealed);
        Ok(Sealed {
            value: SealedValue {
                key: key.into(),
                sealed: sealed.into(),
            },
            digest,
            size,
        })
    }

    /// Runs `make` with the present session, and once more with a new one when that is gone.
    async fn with_session(
        &self,
        workspace: &WorkspaceName,
        make: impl Fn(&ClientSession, CommandId) -> Made,
        dry_run: bool,
    ) -> Result<(Sent, ClientSession, CommandId), ClientError> {
        let mut fresh = false;
        loop {
            let (session, id) = (self.session(workspace)?, new_command_id());
            let (action, values) = make(&session, id)?;
            let sent = if dry_run {
                let events = self.dry_run_with(workspace, id, action, values).await;
                events.map(Sent::Decided)
            } else {
                let acted = self.execute_with(workspace, id, action, values).await;
                acted.map(|acted| Sent::Executed(Box::new(acted)))
            };
            match sent {
                Err(error) if error.code() == Code::SessionExpired && !fresh => {
                    fresh = true;
                    self.renew_sessions().await?;
                }
                result => return result.map(|sent| (sent, session, id)),
            }
        }
    }

    /// Carries out what `make` makes.
    pub(super) async fn execute_in_session(
        &self,
        workspace: &WorkspaceName,
        make: impl Fn(&ClientSession, CommandId) -> Made,
    ) -> Result<(Executed, ClientSession, CommandId), ClientError> {
        match self.with_session(workspace, make, false).await? {
            (Sent::Executed(acted), session, id) => Ok((*acted, session, id)),
            (Sent::Decided(_), _, _) => Err(unexpected()),
        }
    }

    /// Asks the ledger to decide what `make` makes. Nothing is written.
    pub(super) async fn dry_run_in_session(
        &self,
        workspace: &WorkspaceName,
        make: impl Fn(&ClientSession, CommandId) -> Made,
    ) -> Result<Vec<Event>, ClientError> {
        match self.with_session(workspace, make, true).await? {
            (Sent::Decided(events), _, _) => Ok(events),
            (Sent::Executed(_), _, _) => Err(unexpected()),
        }
    }

    /// Creates secrets with their values: one command and one entry, all or none.
    ///
    /// # Errors
    /// As [`Client::execute`]; [`Code::InvalidValue`] for an empty or too long value.
    pub async fn create(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(NewSecretSpec, &[u8])],
    ) -> Result<Executed, ClientError> {
        let make = |session: &ClientSession, id| self.make_create(workspace, secrets, session, id);
        let (acted, _, _) = self.execute_in_session(workspace, make).await?;
        Ok(acted)
    }

    /// What [`Client::create`] would come to now. No value is sent.
    ///
    /// # Errors
    /// As [`Client::create`].
    pub async fn dry_run_create(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(NewSecretSpec, &[u8])],
    ) -> Result<Vec<Event>, ClientError> {
        let make = |session: &ClientSession, id| self.make_create(workspace, secrets, session, id);
        self.dry_run_in_session(workspace, make).await
    }

    fn make_create(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(NewSecretSpec, &[u8])],
        session: &ClientSession,
        id: CommandId,
    ) -> Made {
        let (mut new, mut values) = (Vec::new(), Vec::new());
        for (item, (spec, value)) in (0_u32..).zip(secrets) {
            let secret = new_secret_id()?;
            let place = (secret, Version::FIRST);
            let sealed = self.seal(workspace, place, value, (session, &id, item))?;
            new.push(new_secret(spec, secret, &sealed));
            values.push(sealed.value);
        }
        Ok((create_action(new, session.reference), values))
    }

    /// Creates secrets under given ids in one `secret.import`: one entry, all or none. Ids that are
    /// kept tell, after an answer that was lost, whether they were created.
    ///
    /// # Errors
    /// As [`Client::create`].
    pub async fn import(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(SecretId, NewSecretSpec, &[u8])],
    ) -> Result<Executed, ClientError> {
        let make = |session: &ClientSession, id| self.make_import(workspace, secrets, session, id);
        let (acted, _, _) = self.execute_in_session(workspace, make).await?;
        Ok(acted)
    }

    /// What [`Client::import`] would come to now. No value is sent.
    ///
    /// # Errors
    /// As [`Client::import`].
    pub async fn dry_run_import(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(SecretId, NewSecretSpec, &[u8])],
    ) -> Result<Vec<Event>, ClientError> {
        let make = |session: &ClientSession, id| self.make_import(workspace, secrets, session, id);
        self.dry_run_in_session(workspace, make).await
    }

    fn make_import(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(SecretId, NewSecretSpec, &[u8])],
        session: &ClientSession,
        id: CommandId,
    ) -> Made {
        let (mut new, mut values) = (Vec::new(), Vec::new());
        for (item, (secret, spec, value)) in (0_u32..).zip(secrets) {
            let place = (*secret, Version::FIRST);
            let sealed = self.seal(workspace, place, value, (session, &id, item))?;
            new.push(new_secret(spec, *secret, &sealed));
            values.push(sealed.value);
        }
        let import = SecretImport {
            secrets: new,
            session: session.reference,
        };
        Ok((Action::SecretImport(import), values))
    }

    /// A mark of something that only who holds the identity's key can make: it tells others nothing
    /// about it, not even whether a guess is right.
    pub fn mark(&self, purpose: &str, of: &[&[u8]]) -> Digest {
        // No form that is signed elsewhere begins like this: those are CBOR arrays.
        let mut message = format!("keyroll/mark/v1 {purpose} {}", self.ledger()).into_bytes();
        for part in of {
            message.extend_from_slice(&Digest::of(part).0);
        }
        Digest::of(&self.signer().key().sign(&message).to_bytes())
    }

    /// Gives a secret a new value. `version` is the one this makes; `from` makes it a rollback.
    ///
    /// # Errors
    /// As [`Client::create`].
    pub async fn edit(
        &self,
        workspace: &WorkspaceName,
        secret: (SecretId, &SecretName),
        version: Version,
        value: &[u8],
        note: (Option<Text>, Option<Version>),
    ) -> Result<Executed, ClientError> {
        let make = |session: &ClientSession, id| {
            self.make_edit(workspace, (secret, version, value), &note, (session, id))
        };
        let (acted, _, _) = self.execute_in_session(workspace, make).await?;
        Ok(acted)
    }

    /// What [`Client::edit`] would come to now. No value is sent.
    ///
    /// # Errors
    /// As [`Client::edit`].
    pub async fn dry_run_edit(
        &self,
        workspace: &WorkspaceName,
        secret: (SecretId, &SecretName),
        version: Version,
        value: &[u8],
        note: (Option<Text>, Option<Version>),
    ) -> Result<Vec<Event>, ClientError> {
        let make = |session: &ClientSession, id| {
            self.make_edit(workspace, (secret, version, value), &note, (session, id))
        };
        self.dry_run_in_session(workspace, make).await
    }

    fn make_edit(
        &self,
        workspace: &WorkspaceName,
        ((secret, name), version, value): ((SecretId, &SecretName), Version, &[u8]),
        (reason, from): &(Option<Text>, Option<Version>),
        (session, id): (&ClientSession, CommandId),
    ) -> Made {
        let sealed = self.seal(workspace, (secret, version), value, (session, &id, 0))?;
        let edit = SecretEdit {
            id: secret,
            name: name.clone(),
            size: sealed.size,
            digest: sealed.digest,
            reason: reason.clone(),
            session: session.reference,
            version,
        };
        let action = match from {
            Some(from) => Action::SecretRollback(SecretRollback { edit, from: *from }),
            None => Action::SecretEdit(edit),
        };
        Ok((action, vec![sealed.value]))
    }
}

fn new_secret(spec: &NewSecretSpec, id: SecretId, sealed: &Sealed) -> NewSecret {
    NewSecret {
        id,
        name: spec.name.clone(),
        size: sealed.size,
        hosts: spec.hosts.clone(),
        digest: sealed.digest,
        restricted: spec.restricted,
        description: spec.description.clone(),
        rotate_every: spec.rotate_every,
    }
}

fn create_action(mut new: Vec<NewSecret>, session: SessionRef) -> Action {
    match (new.len(), new.pop()) {
        (1, Some(secret)) => Action::SecretCreate(SecretCreate { secret, session }),
        (_, last) => {
            new.extend(last);
            Action::SecretImport(SecretImport {
                secrets: new,
                session,
            })
        }
    }
}
