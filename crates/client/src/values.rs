//! New values, which are sealed before they leave the client.

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
use crate::{Client, ClientError, new_command_id, new_secret_id, random};
use keyroll_wire::reply::SealedValue;

/// A secret to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSecretSpec {
    /// Its name.
    pub name: SecretName,
    /// A description for people.
    pub description: Text,
    /// Hosts it may be sent to; none means any.
    pub hosts: Vec<HostPattern>,
    /// Whether only runners may use it.
    pub restricted: bool,
    /// The rotation period, in seconds.
    pub rotate_every: Option<u64>,
}

/// An action, and the values that its request carries.
type Prepared = Result<(Action, Vec<SealedValue>), ClientError>;

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
        transport: (&ClientSession, &CommandId, u32),
    ) -> Result<Sealed, ClientError> {
        let data_key = Key::new(random()?);
        let context = SealContext {
            ledger: &self.connection.ledger,
            workspace,
            secret,
            version,
        };
        let sealed = seal_value(value, &data_key, random()?, &context)?;
        let (session, command, item) = transport;
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

    /// Executes the action that `prepare` makes. When the session has expired, it does so once more
    /// with a new session.
    pub(crate) async fn execute_in_session(
        &self,
        workspace: &WorkspaceName,
        prepare: impl Fn(&ClientSession, CommandId) -> Prepared,
    ) -> Result<(Executed, ClientSession, CommandId), ClientError> {
        let mut renewed = false;
        loop {
            let (session, id) = (self.session(workspace)?, new_command_id());
            let (action, values) = prepare(&session, id)?;
            let result = self.execute_with(workspace, id, action, values).await;
            if !self.renew_if_expired(&result, &mut renewed).await? {
                return result.map(|executed| (executed, session, id));
            }
        }
    }

    /// Has the ledger decide the action that `prepare` makes, as [`Client::execute_in_session`]
    /// would send it. Nothing is written.
    pub(crate) async fn dry_run_in_session(
        &self,
        workspace: &WorkspaceName,
        prepare: impl Fn(&ClientSession, CommandId) -> Prepared,
    ) -> Result<Vec<Event>, ClientError> {
        let mut renewed = false;
        loop {
            let (session, id) = (self.session(workspace)?, new_command_id());
            let (action, values) = prepare(&session, id)?;
            let result = self.dry_run_with(workspace, id, action, values).await;
            if !self.renew_if_expired(&result, &mut renewed).await? {
                return result;
            }
        }
    }

    /// Renews the sessions when a result shows that they have expired, at most once per call.
    /// Returns whether it did.
    async fn renew_if_expired<T>(
        &self,
        result: &Result<T, ClientError>,
        renewed: &mut bool,
    ) -> Result<bool, ClientError> {
        let expired = matches!(result, Err(error) if error.code() == Code::SessionExpired);
        if !expired || *renewed {
            return Ok(false);
        }
        *renewed = true;
        self.renew_sessions().await?;
        Ok(true)
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
        let prepare =
            |session: &ClientSession, id| self.prepare_create(workspace, secrets, session, id);
        let (executed, ..) = self.execute_in_session(workspace, prepare).await?;
        Ok(executed)
    }

    /// A dry run of [`Client::create`]. No value is sent.
    ///
    /// # Errors
    /// As [`Client::create`].
    pub async fn dry_run_create(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(NewSecretSpec, &[u8])],
    ) -> Result<Vec<Event>, ClientError> {
        let prepare =
            |session: &ClientSession, id| self.prepare_create(workspace, secrets, session, id);
        self.dry_run_in_session(workspace, prepare).await
    }

    fn prepare_create(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(NewSecretSpec, &[u8])],
        session: &ClientSession,
        id: CommandId,
    ) -> Prepared {
        let (mut new, mut values) = (Vec::new(), Vec::new());
        for (item, (spec, value)) in (0_u32..).zip(secrets) {
            let secret = new_secret_id()?;
            let version = (secret, Version::FIRST);
            let sealed = self.seal(workspace, version, value, (session, &id, item))?;
            new.push(new_secret(spec, secret, &sealed));
            values.push(sealed.value);
        }
        Ok((create_action(new, session.reference), values))
    }

    /// Creates secrets under given ids in one `secret.import`: one entry, all or none. A caller
    /// that keeps the ids can find out after a lost answer whether the secrets were created.
    ///
    /// # Errors
    /// As [`Client::create`].
    pub async fn import(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(SecretId, NewSecretSpec, &[u8])],
    ) -> Result<Executed, ClientError> {
        let prepare =
            |session: &ClientSession, id| self.prepare_import(workspace, secrets, session, id);
        let (executed, ..) = self.execute_in_session(workspace, prepare).await?;
        Ok(executed)
    }

    /// A dry run of [`Client::import`]. No value is sent.
    ///
    /// # Errors
    /// As [`Client::import`].
    pub async fn dry_run_import(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(SecretId, NewSecretSpec, &[u8])],
    ) -> Result<Vec<Event>, ClientError> {
        let prepare =
            |session: &ClientSession, id| self.prepare_import(workspace, secrets, session, id);
        self.dry_run_in_session(workspace, prepare).await
    }

    fn prepare_import(
        &self,
        workspace: &WorkspaceName,
        secrets: &[(SecretId, NewSecretSpec, &[u8])],
        session: &ClientSession,
        id: CommandId,
    ) -> Prepared {
        let (mut new, mut values) = (Vec::new(), Vec::new());
        for (item, (secret, spec, value)) in (0_u32..).zip(secrets) {
            let version = (*secret, Version::FIRST);
            let sealed = self.seal(workspace, version, value, (session, &id, item))?;
            new.push(new_secret(spec, *secret, &sealed));
            values.push(sealed.value);
        }
        let import = SecretImport {
            secrets: new,
            session: session.reference,
        };
        Ok((Action::SecretImport(import), values))
    }

    /// A keyed digest of some parts that only the holder of the identity's key can compute. Others
    /// learn nothing about the parts from it, not even whether a guess is right.
    pub fn mark(&self, purpose: &str, of: &[&[u8]]) -> Digest {
        // No other signed form starts like this: those are CBOR arrays.
        let mut message = format!("keyroll/mark/v1 {purpose} {}", self.ledger()).into_bytes();
        for part in of {
            message.extend_from_slice(&Digest::of(part).0);
        }
        Digest::of(&self.signer().key().sign(&message).to_bytes())
    }

    /// Gives a secret a new value. `version` is the version that this creates; `from` makes it a
    /// rollback.
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
        let prepare = |session: &ClientSession, id| {
            self.prepare_edit(workspace, (secret, version, value), &note, (session, id))
        };
        let (executed, ..) = self.execute_in_session(workspace, prepare).await?;
        Ok(executed)
    }

    /// A dry run of [`Client::edit`]. No value is sent.
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
        let prepare = |session: &ClientSession, id| {
            self.prepare_edit(workspace, (secret, version, value), &note, (session, id))
        };
        self.dry_run_in_session(workspace, prepare).await
    }

    fn prepare_edit(
        &self,
        workspace: &WorkspaceName,
        ((secret, name), version, value): ((SecretId, &SecretName), Version, &[u8]),
        (reason, from): &(Option<Text>, Option<Version>),
        (session, id): (&ClientSession, CommandId),
    ) -> Prepared {
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
