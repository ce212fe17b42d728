//! Gives a block its secrets: looks them up, and reveals them under the names of workflow, block and run.

use std::collections::BTreeMap;

use keyroll_client::ClientError;
use keyroll_client::{RequestedValue, RevealedValue};
use keyroll_core::command::{BlockRun, Purpose};
use keyroll_core::names::{Label, Text};
use keyroll_core::state::Lifecycle;
use keyroll_core::{Code, Index, SecretId, SecretName, Version, limits};
use keyroll_resolver::{Code as BlockCode, ResolveError, RevealSecrets, SecretValue};
use keyroll_wire::reply::SecretRow;
use serde_json::{Value, json};

use super::past_run::PastRun;
use crate::error::Failure;
use crate::exit_code::Exit;
use crate::output::Output;
use crate::secret_rows;
use crate::session::{Revealed, Session};

/// One run of a block, as the audit log will show it.
pub(super) struct Run<'a> {
    out: Output,
    session: &'a Session,
    pub(super) workflow: &'a str,
    pub(super) block: &'a str,
    /// The run's id.
    pub(super) id: &'a str,
    /// For a replay: the run it repeats.
    pub(super) replay: Option<&'a PastRun>,
    /// The secrets that were looked up, by the name in the block.
    targets: BTreeMap<String, Target>,
    /// The secrets that were revealed so far.
    pub(super) revealed: Vec<(SecretName, Version, Index)>,
    /// The warnings on stderr, for programs.
    pub(super) warnings: Vec<String>,
    /// The ledger's last refusal, with its message and exit status.
    pub(super) refused: Option<Failure>,
}

/// The secret that a name in a block refers to.
#[derive(Debug, Clone)]
struct Target {
    id: SecretId,
    /// The present name.
    name: SecretName,
    /// The version to reveal; the current one when absent.
    version: Option<Version>,
    hosts: Vec<String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        (out, session): (Output, &'a Session),
        (workflow, block): (&'a str, &'a str),
        id: &'a str,
        replay: Option<&'a PastRun>,
    ) -> Self {
        Self {
            out,
            session,
            workflow,
            block,
            id,
            replay,
            targets: BTreeMap::new(),
            revealed: Vec::new(),
            warnings: Vec::new(),
            refused: None,
        }
    }

    /// The hosts that a secret is bound to.
    pub(super) async fn hosts(&mut self, text: &str) -> Result<Vec<String>, Failure> {
        Ok(self.target(text).await?.hosts)
    }

    async fn target(&mut self, text: &str) -> Result<Target, Failure> {
        if let Some(known) = self.targets.get(text) {
            return Ok(known.clone());
        }
        let name: SecretName = text.parse()?;
        let target = match self.replay {
            None => {
                let row = self.row(&name).await?;
                target(self.active(&name, row)?, None)
            }
            Some(replay) => self.past_target(&name, replay).await?,
        };
        self.targets.insert(text.to_owned(), target.clone());
        Ok(target)
    }

    /// The secret that the repeated run had. By now it may have another name, and another secret may have its
    /// old name.
    async fn past_target(&self, name: &SecretName, replay: &PastRun) -> Result<Target, Failure> {
        let row = match self.row(name).await {
            Err(failure) if failure.code() != BlockCode::SecretNotFound.as_str() => {
                return Err(failure);
            }
            found => found.ok(),
        };
        // A block that was changed after a rename uses the present name.
        let by_id = |row: &SecretRow| Some((row.id, replay.version(row.id)?));
        let then = replay.under(name).or_else(|| row.as_ref().and_then(by_id));
        let Some((id, version)) = then else {
            let message = format!("run {} did not use the secret {name}", replay.run);
            return Err(Failure::coded(Code::NotFound, message));
        };
        if let Some(row) = row.filter(|row| row.id == id) {
            return Ok(target(self.active(&row.name.clone(), row)?, Some(version)));
        }
        for deleted in [false, true] {
            let rows = secret_rows::all(self.session, deleted, None).await?;
            if let Some(row) = rows.into_iter().find(|row| row.id == id) {
                return Ok(target(self.active(&row.name.clone(), row)?, Some(version)));
            }
        }
        Err(self.missing(
            name,
            BlockCode::SecretNotFound,
            "you may not access this secret",
        ))
    }

    fn missing(&self, name: &SecretName, code: BlockCode, detail: &str) -> Failure {
        ResolveError::new(code, detail)
            .about_secret(name.as_str())
            .in_block(self.block)
            .into()
    }

    /// The secret that has or had a name.
    async fn row(&self, name: &SecretName) -> Result<SecretRow, Failure> {
        match self.session.secret(name).await {
            // References have the same case as the name.
            Ok(row) if row.name == *name => Ok(row),
            Err(failure) if failure.code() != Code::NotFound.as_str() => {
                Err(failure.within(name.as_str()))
            }
            _ => Err(self.missing(name, BlockCode::SecretNotFound, "there is no such secret")),
        }
    }

    /// A secret that can be revealed.
    fn active(&self, name: &SecretName, row: SecretRow) -> Result<SecretRow, Failure> {
        match row.state {
            Lifecycle::Active => Ok(row),
            Lifecycle::Deleted => {
                Err(self.missing(name, BlockCode::SecretDeleted, "the secret is deleted"))
            }
            Lifecycle::Destroyed => {
                let message = format!("{name}: the secret is destroyed");
                Err(self.gone(Failure::coded(Code::Destroyed, message)))
            }
        }
    }

    /// Explains for a replay that a version is missing.
    fn gone(&self, failure: Failure) -> Failure {
        match self.replay {
            None => failure,
            Some(replay) => failure.within(&format!(
                "run {} cannot be replayed because a version that it used is gone",
                replay.run
            )),
        }
    }

    /// Reveals secrets in one entry, and gives their values by the names in the block.
    pub(super) async fn reveal(
        &mut self,
        names: &[&str],
    ) -> Result<Vec<(String, SecretValue)>, Failure> {
        if names.len() > limits::REVEAL_SECRETS {
            let message = format!("a block has at most {} secrets", limits::REVEAL_SECRETS);
            return Err(ResolveError::new(BlockCode::BlockInvalid, message)
                .in_block(self.block)
                .into());
        }
        let mut targets = Vec::with_capacity(names.len());
        for name in names {
            targets.push(self.target(name).await?);
        }
        let wanted: Vec<RequestedValue> = targets
            .iter()
            .map(|target| RequestedValue {
                name: target.name.clone(),
                version: target.version,
            })
            .collect();
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
            .reveal(self.out, &wanted, &purpose, reason.as_ref())
            .await;
        let Revealed {
            index,
            values,
            warnings,
            ..
        } = answer.map_err(|error| self.failure(&error, names))?;
        self.warnings.extend(warnings);
        let seen = values
            .iter()
            .map(|one| (one.name.clone(), one.version, index));
        self.revealed.extend(seen);
        names
            .iter()
            .zip(targets)
            .zip(values)
            .map(|((name, target), one)| {
                if one.id == target.id {
                    return Ok(((*name).to_owned(), value(one)));
                }
                let message = format!(
                    "another secret took the name {} just now (entry {index}). Run the block again",
                    one.name
                );
                Err(Failure::coded(Code::Conflict, message))
            })
            .collect()
    }

    fn failure(&self, error: &ClientError, names: &[&str]) -> Failure {
        let failure = Failure::coded(error.code(), error.to_string());
        match (error.code(), names) {
            (Code::Destroyed | Code::ValueLost, _) => self.gone(failure),
            (_, [one]) => failure.within(one),
            _ => failure,
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

    /// Adds the run and the entry of the reveal to an error that came after values may have been released.
    pub(super) fn after_reveal(&self, error: &ResolveError) -> Failure {
        after_reveal(error, self.index(), self.id)
    }
}

pub(super) fn after_reveal(error: &ResolveError, index: Option<Index>, run: &str) -> Failure {
    let record = index
        .map(|index| format!("; the reveal is entry {index}"))
        .unwrap_or_default();
    Failure::Reported {
        code: error.code(),
        exit: Exit::of_block(error.kind()),
        message: format!("{error} [run {run}{record}]"),
    }
}

fn target(row: SecretRow, version: Option<Version>) -> Target {
    Target {
        id: row.id,
        name: row.name,
        version,
        hosts: row.hosts.iter().map(ToString::to_string).collect(),
    }
}

/// A value for the resolver, with the hosts that came with it.
fn value(one: RevealedValue) -> SecretValue {
    SecretValue {
        bytes: one.value,
        allowed_hosts: one.hosts.iter().map(ToString::to_string).collect(),
        allow_query: false,
    }
}

impl Run<'_> {
    /// Keeps the failure for the end of the run, and gives the block an error with a code that it knows.
    fn refuse(&mut self, failure: Failure, name: &str) -> ResolveError {
        let code = match failure.code() {
            "not_found" | "secret_not_found" | "destroyed" | "value_lost" | "invalid_name" => {
                BlockCode::SecretNotFound
            }
            "deleted" | "secret_deleted" => BlockCode::SecretDeleted,
            "denied" => BlockCode::Denied,
            _ => BlockCode::AuditUnavailable,
        };
        let error = ResolveError::new(code, failure.message()).about_secret(name);
        self.refused = Some(failure);
        error
    }
}

impl RevealSecrets for Run<'_> {
    async fn allowed_hosts(&mut self, name: &str) -> Result<Vec<String>, ResolveError> {
        match self.hosts(name).await {
            Ok(hosts) => Ok(hosts),
            Err(failure) => Err(self.refuse(failure, name)),
        }
    }

    async fn reveal(&mut self, name: &str) -> Result<SecretValue, ResolveError> {
        match Self::reveal(self, &[name]).await {
            Ok(values) => values.into_iter().next().map(|one| one.1).ok_or_else(|| {
                ResolveError::new(BlockCode::SecretNotFound, "no value was released")
                    .about_secret(name)
            }),
            Err(failure) => Err(self.refuse(failure, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_after_the_reveal_names_the_entry() {
        let error = ResolveError::new(
            BlockCode::Timeout,
            "the block did not end within the time limit",
        );
        let failure = after_reveal(&error, Some(Index(7)), "r");
        assert_eq!(failure.code(), "timeout");
        assert!(
            failure.message().contains("run r; the reveal is entry 7"),
            "{}",
            failure.message()
        );
    }
}
