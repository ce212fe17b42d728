//! The ledger as a block sees it: bindings, and reveals that name workflow, block and run.

use std::collections::BTreeMap;

use keyroll_api::ClientError;
use keyroll_api::client::{Opened, Reveal, Wanted};
use keyroll_api::reply::SecretRow;
use keyroll_core::command::{BlockRun, Purpose};
use keyroll_core::names::{Label, Text};
use keyroll_core::state::Lifecycle;
use keyroll_core::{Code, Index, SecretName, Version};
use keyroll_resolver::{Code as BlockCode, ResolveError, RevealSecrets, SecretValue};
use serde_json::{Value, json};

use crate::error::Failure;
use crate::exit_code::Exit;
use crate::session::Session;

/// One run of a block, as the audit log will show it.
pub(super) struct Run<'a> {
    pub(super) session: &'a Session,
    pub(super) workflow: &'a str,
    pub(super) block: &'a str,
    /// The run's id.
    pub(super) id: &'a str,
    /// For a replay: the run it repeats, and the version of each of its secrets.
    pub(super) replay: Option<&'a Replay>,
    /// What was revealed so far.
    pub(super) revealed: Vec<(SecretName, Version, Index)>,
    /// The ledger's own words for the last refusal, with its own exit status.
    pub(super) refused: Option<Failure>,
}

/// A run to be repeated.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) run: String,
    pub(super) versions: BTreeMap<SecretName, Version>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        session: &'a Session,
        (workflow, block): (&'a str, &'a str),
        id: &'a str,
        replay: Option<&'a Replay>,
    ) -> Self {
        Self {
            session,
            workflow,
            block,
            id,
            replay,
            revealed: Vec::new(),
            refused: None,
        }
    }

    /// A secret that is there, under exactly this name.
    pub(super) async fn secret(&self, text: &str) -> Result<SecretRow, Failure> {
        let missing = |code, detail| {
            ResolveError::new(code, detail)
                .about(text)
                .in_block(self.block)
        };
        let not_there = || missing(BlockCode::SecretNotFound, "there is no such secret");
        let name: SecretName = text.parse()?;
        let row = match self.session.secret(&name).await {
            Ok(row) => row,
            Err(failure) if failure.code() == Code::NotFound.as_str() => {
                return Err(not_there().into());
            }
            Err(failure) => return Err(failure.within(text)),
        };
        match row.state {
            Lifecycle::Active if row.name == name => Ok(row),
            Lifecycle::Deleted => {
                Err(missing(BlockCode::SecretDeleted, "the secret is deleted").into())
            }
            // References are in the very case of the name.
            Lifecycle::Active | Lifecycle::Destroyed => Err(not_there().into()),
        }
    }

    /// Reveals secrets in one entry.
    pub(super) async fn reveal(&mut self, names: &[&str]) -> Result<Vec<Opened>, Failure> {
        let wanted = names
            .iter()
            .map(|name| self.wanted(name))
            .collect::<Result<Vec<_>, Failure>>()?;
        let label = |text: &str| text.parse::<Label>().map_err(Failure::from);
        let purpose = Purpose::Block(BlockRun {
            run: label(self.id)?,
            block: label(self.block)?,
            workflow: label(self.workflow)?,
        });
        let reason = self
            .replay
            .map(|replay| format!("replay of run {}", replay.run));
        let reason = reason.map(|text| text.parse::<Text>()).transpose()?;
        let answer = self
            .session
            .client
            .reveal(&self.session.workspace, &wanted, &purpose, reason.as_ref())
            .await;
        let Reveal { index, values, .. } = answer.map_err(|error| self.worded(&error, names))?;
        let seen = values
            .iter()
            .map(|one| (one.name.clone(), one.version, index));
        self.revealed.extend(seen);
        Ok(values)
    }

    fn wanted(&self, text: &str) -> Result<Wanted, Failure> {
        let name: SecretName = text.parse()?;
        let version = match self.replay {
            None => None,
            Some(replay) => Some(*replay.versions.get(&name).ok_or_else(|| {
                let message = format!("run {} did not use the secret {name}", replay.run);
                Failure::coded(Code::NotFound, message)
            })?),
        };
        Ok(Wanted { name, version })
    }

    /// A refused reveal. Of a replay it says that the version is the matter.
    fn worded(&self, error: &ClientError, names: &[&str]) -> Failure {
        let failure = Failure::coded(error.code(), error.to_string());
        match self.replay {
            Some(replay) if matches!(error.code(), Code::Destroyed | Code::ValueLost) => failure
                .within(&format!(
                    "run {} cannot be replayed: a version that it used is gone",
                    replay.run
                )),
            _ => match names {
                [one] => failure.within(one),
                _ => failure,
            },
        }
    }

    /// The secrets of the run, for a report.
    pub(super) fn used(&self) -> Vec<Value> {
        self.revealed
            .iter()
            .map(|(name, version, _)| json!({"name": name, "version": version}))
            .collect()
    }

    /// The entry of the last reveal.
    pub(super) fn index(&self) -> Option<Index> {
        self.revealed.last().map(|(_, _, index)| *index)
    }

    /// An error that came when values may have been released already: it says where that is on
    /// record.
    pub(super) fn after_reveal(&self, error: &ResolveError) -> Failure {
        after_reveal(error, self.index(), self.id)
    }
}

pub(super) fn after_reveal(error: &ResolveError, index: Option<Index>, run: &str) -> Failure {
    let record = index
        .map(|index| format!("; the reveal is entry {index}"))
        .unwrap_or_default();
    Failure::Said {
        code: error.code(),
        exit: Exit::of_block(error.kind()),
        message: format!("{error} [run {run}{record}]"),
    }
}

/// A value for the resolver, with the hosts that came with it.
pub(super) fn value(one: Opened) -> SecretValue {
    SecretValue {
        bytes: one.value,
        allowed_hosts: one.hosts.iter().map(ToString::to_string).collect(),
        allow_query: false,
    }
}

impl Run<'_> {
    /// Keeps the failure for the end of the run and tells the block under a code it knows.
    fn tell(&mut self, failure: Failure, name: &str) -> ResolveError {
        let code = match failure.code() {
            "not_found" | "secret_not_found" | "destroyed" | "value_lost" | "invalid_name" => {
                BlockCode::SecretNotFound
            }
            "deleted" | "secret_deleted" => BlockCode::SecretDeleted,
            "denied" => BlockCode::Denied,
            _ => BlockCode::AuditUnavailable,
        };
        let error = ResolveError::new(code, failure.message()).about(name);
        self.refused = Some(failure);
        error
    }
}

impl RevealSecrets for Run<'_> {
    async fn allowed_hosts(&mut self, name: &str) -> Result<Vec<String>, ResolveError> {
        match self.secret(name).await {
            Ok(row) => Ok(row.hosts.iter().map(ToString::to_string).collect()),
            Err(failure) => Err(self.tell(failure, name)),
        }
    }

    async fn reveal(&mut self, name: &str) -> Result<SecretValue, ResolveError> {
        // The name is looked up first, so that what is missing is said in the same words as for
        // other blocks. A replay's secret may be another one by now.
        let asked = async {
            if self.replay.is_none() {
                self.secret(name).await?;
            }
            Self::reveal(self, &[name]).await
        };
        match asked.await {
            Ok(opened) => opened.into_iter().next().map(value).ok_or_else(|| {
                ResolveError::new(BlockCode::SecretNotFound, "no value was released").about(name)
            }),
            Err(failure) => Err(self.tell(failure, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_after_the_reveal_names_the_entry() {
        let error = ResolveError::new(BlockCode::Timeout, "the block took too long");
        let failure = after_reveal(&error, Some(Index(7)), "r");
        assert_eq!(failure.code(), "timeout");
        assert!(
            failure.message().contains("run r; the reveal is entry 7"),
            "{}",
            failure.message()
        );
    }
}
