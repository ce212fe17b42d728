//! Reveals: the one way to a value. What comes is held against the entry that records it, and
//! against what this client has verified before, and only then handed out.

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

/// A value to reveal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedValue {
    /// The secret's name.
    pub name: SecretName,
    /// The version; the current one when absent.
    pub version: Option<Version>,
}

/// A released value, checked and opened.
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

/// Values that were revealed.
pub struct RevealedValues {
    /// The entry's index.
    pub index: Index,
    /// The proof.
    pub receipt: Receipt,
    /// The values, in the order asked for.
    pub values: Vec<RevealedValue>,
}

/// What came of a reveal.
#[must_use = "the values come with `warn`"]
pub struct Reveal {
    warnings: Vec<String>,
    revealed: RevealedValues,
}

impl Reveal {
    /// The values, for who first hears what a person should know of them: that a name stands for
    /// another secret than before, or that a secret may be sent to more hosts. Each is said once.
    pub fn warn(self, warn: impl FnMut(String)) -> RevealedValues {
        self.warnings.into_iter().for_each(warn);
        self.revealed
    }
}

fn reveal_action(
    wanted: &[RequestedValue],
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
        names: wanted.iter().map(item).collect(),
        reason: reason.cloned(),
        purpose: purpose.clone(),
        session: session.reference,
    })
}

impl Client {
    /// Reveals values. Each is on record before its key leaves the ledger.
    ///
    /// # Errors
    /// As [`Client::execute`]; [`Code::Corrupt`] when what came is not what the entry names;
    /// [`Code::Rollback`] when the current version of a secret is older than it was.
    pub async fn reveal(
        &self,
        workspace: &WorkspaceName,
        wanted: &[RequestedValue],
        purpose: &Purpose,
        reason: Option<&Text>,
    ) -> Result<Reveal, ClientError> {
        let make = |session: &ClientSession, _| {
            let action = reveal_action(wanted, purpose, reason, session);
            Ok((action, Vec::new()))
        };
        let (mut acted, mut session, mut id) = self.execute_in_session(workspace, make).await?;
        if acted.released.is_empty() {
            // The first answer was lost and the repetition brought the receipt alone.
            (acted, session, id) = self.execute_in_session(workspace, make).await?;
        }
        if acted.released.is_empty() {
            return Err(crate::command::fate_unknown());
        }
        let values = self.open_released(workspace, &acted, (&session, &id))?;
        let warnings = self.verify_released(workspace, &acted, wanted)?;
        let revealed = RevealedValues {
            index: acted.index,
            receipt: acted.receipt,
            values,
        };
        Ok(Reveal { warnings, revealed })
    }

    /// Whether [`Client::reveal`] would release values now. It releases none.
    ///
    /// # Errors
    /// As [`Client::reveal`], as far as the ledger decides it.
    pub async fn dry_run_reveal(
        &self,
        workspace: &WorkspaceName,
        wanted: &[RequestedValue],
        purpose: &Purpose,
        reason: Option<&Text>,
    ) -> Result<Vec<Event>, ClientError> {
        let make = |session: &ClientSession, _| {
            let action = reveal_action(wanted, purpose, reason, session);
            Ok((action, Vec::new()))
        };
        self.dry_run_in_session(workspace, make).await
    }

    /// Holds what the entry names against what was verified before.
    fn verify_released(
        &self,
        workspace: &WorkspaceName,
        acted: &Executed,
        wanted: &[RequestedValue],
    ) -> Result<Vec<String>, ClientError> {
        let pairs = revealed(acted)?.iter().zip(wanted);
        let shown = pairs.map(|(one, wanted)| Observation {
            index: acted.index,
            id: one.id,
            name: &one.name,
            version: Some((one.version, one.digest)),
            current: wanted.version.is_none(),
            hosts: Some(&one.hosts),
            chosen: SetByCaller::Nothing,
        });
        let shown: Vec<Observation<'_>> = shown.collect();
        self.connection
            .checkpoints
            .secrets()
            .verify(workspace, &shown)
    }

    fn open_released(
        &self,
        workspace: &WorkspaceName,
        acted: &Executed,
        journey: (&ClientSession, &CommandId),
    ) -> Result<Vec<RevealedValue>, ClientError> {
        let corrupt = |why: String| ClientError::failed(Code::Corrupt, why);
        let revealed = revealed(acted)?;
        if revealed.len() != acted.released.len() {
            return Err(corrupt(
                "the ledger released another number of values than its entry names".to_owned(),
            ));
        }
        let mut values = Vec::with_capacity(revealed.len());
        for (item, (said, got)) in (0_u32..).zip(revealed.iter().zip(&acted.released)) {
            if (&got.name, got.version) != (&said.name, said.version) {
                return Err(corrupt(format!(
                    "the ledger released version {} of {} where its entry names version {} of {}",
                    got.version, got.name, said.version, said.name
                )));
            }
            let value = self
                .open_one(workspace, said, got, (journey.0, journey.1, item))
                .map_err(|error| corrupt(format!("{}: {error}", said.name)))?;
            values.push(RevealedValue {
                id: said.id,
                name: said.name.clone(),
                version: said.version,
                hosts: said.hosts.clone(),
                value,
            });
        }
        Ok(values)
    }

    fn open_one(
        &self,
        workspace: &WorkspaceName,
        said: &Revealed,
        got: &ReleasedValue,
        (session, id, item): (&ClientSession, &CommandId, u32),
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let data_key = session
            .keys
            .open(Direction::ToClient, id, item, &got.key.0)?;
        let context = SealContext {
            ledger: &self.connection.ledger,
            workspace,
            secret: said.id,
            version: said.version,
        };
        open_value(&got.sealed.0, &said.digest, &data_key, &context)
    }
}

/// What an entry, whose events fit its command, says was released.
fn revealed(acted: &Executed) -> Result<&[Revealed], ClientError> {
    match acted.entry.events.as_slice() {
        [Event::SecretRevealed(revealed)] => Ok(&revealed.secrets),
        _ => Err(crate::query::unexpected()),
    }
}
