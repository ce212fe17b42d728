//! An earlier run of a block, as the audit log records it.

use std::collections::BTreeMap;

use keyroll_core::command::Purpose;
use keyroll_core::{Code, Index, SecretId, SecretName, Version};
use keyroll_wire::query::AuditOutcome;
use keyroll_wire::reply::AuditRow;

use crate::commands::audit;
use crate::error::Failure;
use crate::session::Session;

/// A run that a replay repeats.
#[derive(Debug)]
pub(super) struct PastRun {
    pub(super) run: String,
    pub(super) workflow: String,
    pub(super) block: String,
    /// By the name at that time: names move from one secret to another.
    secrets: BTreeMap<SecretName, (SecretId, Version)>,
}

impl PastRun {
    /// Reads a run from the log. It requests the entries themselves, with proofs: they name secrets by id, and
    /// the actor has signed that they belong to this run.
    pub(super) async fn of(session: &Session, run: &str) -> Result<Self, Failure> {
        let rows = audit::of_run(session, run).await?;
        let (workflow, block) = label(&rows, run)?;
        let mut secrets = BTreeMap::new();
        let labels = (workflow.as_str(), block.as_str(), run);
        for row in &rows {
            for (name, secret) in revealed(session, row.index, labels).await? {
                let before = secrets.insert(name.clone(), secret);
                if before.is_some_and(|before| before != secret) {
                    let message = format!("run {run} used two versions of {name}");
                    return Err(Failure::coded(Code::Conflict, message));
                }
            }
        }
        Ok(Self {
            run: run.to_owned(),
            workflow,
            block,
            secrets,
        })
    }

    /// The secret that the run had under a name, and its version.
    pub(super) fn under(&self, name: &SecretName) -> Option<(SecretId, Version)> {
        self.secrets.get(name).copied()
    }

    /// The version that the run had of a secret.
    pub(super) fn version(&self, id: SecretId) -> Option<Version> {
        let mut secrets = self.secrets.values();
        secrets.find(|(known, _)| *known == id).map(|one| one.1)
    }
}

/// The workflow and block that every entry of a run belongs to.
fn label(rows: &[AuditRow], run: &str) -> Result<(String, String), Failure> {
    let missing = || {
        let message =
            format!("the audit log has no run {run}. A run that reveals nothing makes no entry");
        Failure::coded(Code::NotFound, message)
    };
    let granted = |row: &&AuditRow| row.outcome == AuditOutcome::Granted;
    let mut runs = rows.iter().filter(granted).map(|row| row.run.as_ref());
    let first = runs.next().flatten().ok_or_else(missing)?;
    if runs.any(|other| other != Some(first)) {
        let message = format!("the entries of run {run} belong to several blocks");
        return Err(Failure::coded(Code::Conflict, message));
    }
    Ok((first.workflow.clone(), first.block.clone()))
}

/// The secrets that an entry of a run revealed.
async fn revealed(
    session: &Session,
    index: Index,
    (workflow, block, run): (&str, &str, &str),
) -> Result<Vec<(SecretName, (SecretId, Version))>, Failure> {
    let past = session.client.past_reveal(&session.workspace, index);
    let (asked, revealed) = past.await?;
    let is_of_run = matches!(&asked.purpose, Purpose::Block(of)
        if (of.workflow.as_str(), of.block.as_str(), of.run.as_str()) == (workflow, block, run));
    if !is_of_run {
        let message = format!("entry {index} does not belong to block {block} in run {run}");
        return Err(Failure::coded(Code::Corrupt, message));
    }
    let secrets = revealed.secrets.into_iter();
    Ok(secrets
        .map(|one| (one.name, (one.id, one.version)))
        .collect())
}
