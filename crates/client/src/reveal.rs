//! Reveals: the only way to a value. A released value is checked against the entry that records it
//! and against the facts this client has verified before, and only then returned.

use keyroll_core::command::{Purpose, RevealItem, SecretReveal};
use keyroll_core::crypto::{ClientSession, Direction, OpenError, SealContext, open_value};
use keyroll_core::event::Revealed;
use keyroll_core::names::{HostPattern, Text};
use keyroll_core::{
    Action, Code, CommandId, Event, Index, SecretId, SecretName, Version, WorkspaceName,
};
use zeroize::Zeroizing;

use crate::checkpoints::{Observation, SetByCaller};
use crate::command::Executed;
use crate::{Client, ClientError};
use keyroll_wire::reply::{Receipt, ReleasedValue};

/// A value to request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedValue {
    /// The secret's name.
    pub name: SecretName,
    /// The version; the current one when absent.
    pub version: Option<Version>,
}

/// A released value, checked and decrypted.
pub struct RevealedValue {
    /// The secret.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
    /// The version.
    pub version: Version,
    /// Hosts it may be sent to.
    pub hosts: Vec<HostPattern>,
    /// The value, wiped when dropped.
    pub value: Zeroizing<Vec<u8>>,
}

/// The values of one reveal.
pub struct RevealedValues {
    /// The entry's index.
    pub index: Index,
    /// The proof.
    pub receipt: Receipt,
    /// The values, in the order requested.
    pub values: Vec<RevealedValue>,
}

/// The result of a reveal, before its warnings were given.
#[must_use = "`warn` returns the values"]
pub struct Reveal {
    warnings: Vec<String>,
    revealed: RevealedValues,
}

impl Reveal {
    /// Passes on the warnings and returns the values. A warning reports that a name refers to
    /// another secret than before, or that a secret may be sent to more hosts. Each is given once.
    pub fn warn(self, warn: impl FnMut(String)) -> RevealedValues {
        self.warnings.into_iter().for_each(warn);
        self.revealed
    }
}

fn reveal_action(
    requested: &[RequestedValue],
    purpose: &Purpose,
    reason: Option<&Text>,
    session: &ClientSession,
) -> Action {
    let item = |one: &RequestedValue| RevealItem {
        id: None,
        name: one.name.clone(),
        version: one.version,
    };
    Action::SecretReveal(SecretReveal {
        names: requested.iter().map(item).collect(),
        reason: reason.cloned(),
        purpose: purpose.clone(),
        session: session.reference,
    })
}

impl Client {
    /// Reveals values. Each reveal is recorded before its key leaves the ledger.
    ///
    /// # Errors
    /// As [`Client::execute`]; [`Code::Corrupt`] when a value is not the one that the entry names;
    /// [`Code::Rollback`] when the current version of a secret is older than it was.
    pub async fn reveal(
        &self,
        workspace: &WorkspaceName,
        requested: &[RequestedValue],
        purpose: &Purpose,
        reason: Option<&Text>,
    ) -> Result<Reveal, ClientError> {
        let prepare = |session: &ClientSession, _| {
            let action = reveal_action(requested, purpose, reason, session);
            Ok((action, Vec::new()))
        };
        let (mut executed, mut session, mut id) =
            self.execute_in_session(workspace, prepare).await?;
        if executed.released.is_empty() {
            // The first answer was lost, and the retry returned the receipt without values.
            (executed, session, id) = self.execute_in_session(workspace, prepare).await?;
        }
        if executed.released.is_empty() {
            return Err(crate::command::outcome_unknown());
        }
        let values = self.open_released(workspace, &executed, (&session, &id))?;
        let warnings = self.verify_released(workspace, &executed, requested)?;
        let revealed = RevealedValues {
            index: executed.index,
            receipt: executed.receipt,
            values,
        };
        Ok(Reveal { warnings, revealed })
    }

    /// Whether [`Client::reveal`] would release values now. It releases none.
    ///
    /// # Errors
    /// The ledger's refusals, as for [`Client::reveal`].
    pub async fn dry_run_reveal(
        &self,
        workspace: &WorkspaceName,
        requested: &[RequestedValue],
        purpose: &Purpose,
        reason: Option<&Text>,
    ) -> Result<Vec<Event>, ClientError> {
        let prepare = |session: &ClientSession, _| {
            let action = reveal_action(requested, purpose, reason, session);
            Ok((action, Vec::new()))
        };
        self.dry_run_in_session(workspace, prepare).await
    }

    /// Checks the facts in the entry against those verified before.
    fn verify_released(
        &self,
        workspace: &WorkspaceName,
        executed: &Executed,
        requested: &[RequestedValue],
    ) -> Result<Vec<String>, ClientError> {
        let pairs = revealed(executed)?.iter().zip(requested);
        let observations = pairs.map(|(one, requested)| Observation {
            index: executed.index,
            id: one.id,
            name: &one.name,
            version: Some((one.version, one.digest)),
            current: requested.version.is_none(),
            hosts: Some(&one.hosts),
            set_by_caller: SetByCaller::Nothing,
        });
        let observations: Vec<Observation<'_>> = observations.collect();
        self.connection
            .checkpoints
            .secrets()
            .verify(workspace, &observations)
    }

    fn open_released(
        &self,
        workspace: &WorkspaceName,
        executed: &Executed,
        transport: (&ClientSession, &CommandId),
    ) -> Result<Vec<RevealedValue>, ClientError> {
        let corrupt = |why: String| ClientError::failed(Code::Corrupt, why);
        let revealed = revealed(executed)?;
        if revealed.len() != executed.released.len() {
            return Err(corrupt(
                "the ledger released another number of values than its entry names".to_owned(),
            ));
        }
        let mut values = Vec::with_capacity(revealed.len());
        for (item, (named, got)) in (0_u32..).zip(revealed.iter().zip(&executed.released)) {
            if (&got.name, got.version) != (&named.name, named.version) {
                return Err(corrupt(format!(
                    "the ledger released version {} of {} where its entry names version {} of {}",
                    got.version, got.name, named.version, named.name
                )));
            }
            let value = self
                .open_one(workspace, named, got, (transport.0, transport.1, item))
                .map_err(|error| corrupt(format!("{}: {error}", named.name)))?;
            values.push(RevealedValue {
                id: named.id,
                name: named.name.clone(),
                version: named.version,
                hosts: named.hosts.clone(),
                value,
            });
        }
        Ok(values)
    }

    fn open_one(
        &self,
        workspace: &WorkspaceName,
        named: &Revealed,
        got: &ReleasedValue,
        (session, id, item): (&ClientSession, &CommandId, u32),
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let data_key = session
            .keys
            .open(Direction::ToClient, id, item, &got.key.0)?;
        let context = SealContext {
            ledger: &self.connection.ledger,
            workspace,
            secret: named.id,
            version: named.version,
        };
        open_value(&got.sealed.0, &named.digest, &data_key, &context)
    }
}

/// The released values in an entry whose events were checked against its command.
fn revealed(executed: &Executed) -> Result<&[Revealed], ClientError> {
    match executed.entry.events.as_slice() {
        [Event::SecretRevealed(revealed)] => Ok(&revealed.secrets),
        _ => Err(crate::query::unexpected()),
    }
}
