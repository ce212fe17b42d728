//! Sends an import: new secrets in as few commands as fit, then replacements one by one.

use std::collections::HashMap;

use keyroll_client::split_import;
use keyroll_core::{Code, Index, SecretId, SecretName};

use super::plan::{ImportPlan, New};
use crate::context::Context;
use crate::error::Failure;
use crate::secret_rows;
use crate::session::Session;

/// The result of the commands.
#[derive(Default)]
pub(super) struct ImportResult {
    pub(super) entries: Vec<Index>,
    /// Secrets that existed already.
    pub(super) before: usize,
    /// Secrets that got a new version.
    pub(super) replaced: usize,
}

/// Whether secrets exist under exactly these ids and names.
async fn are_appended(session: &Session, secrets: &[New<'_>]) -> Result<bool, Failure> {
    let rows = secret_rows::all(session, false, None).await?;
    let known: HashMap<SecretId, SecretName> =
        rows.into_iter().map(|row| (row.id, row.name)).collect();
    Ok(secrets
        .iter()
        .all(|(id, spec, _)| known.get(id) == Some(&spec.name)))
}

impl ImportPlan<'_> {
    /// Has the ledger decide each command, as a dry run.
    pub(super) async fn decide(&self, session: &Session) -> Result<(), Failure> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let new = self.new_secrets()?;
        for part in split_import(&new) {
            let (client, workspace) = (&session.client, &session.workspace);
            client.dry_run_import(workspace, &new[part]).await?;
        }
        self.decide_replacements(session).await
    }

    pub(super) async fn send(
        &self,
        context: &Context,
        session: &Session,
        new: &[New<'_>],
    ) -> Result<ImportResult, Failure> {
        let parts = split_import(new);
        let mut done = ImportResult::default();
        for (number, part) in (1..).zip(&parts) {
            let secrets = &new[part.clone()];
            match session.client.import(&session.workspace, secrets).await {
                Ok(acted) => {
                    for warning in &acted.warnings {
                        context.out.warn(warning);
                    }
                    done.entries.push(acted.index);
                }
                // A command of an interrupted run may have been appended only now.
                Err(error)
                    if error.code() == Code::Conflict && are_appended(session, secrets).await? =>
                {
                    done.before += secrets.len();
                }
                Err(error) => {
                    let imported = self.preview.done.len() + part.start;
                    return Err(Failure::from(error).within(&format!(
                        "command {number} of {} ({imported} secrets are imported; run the same import again to \
                         continue)",
                        parts.len()
                    )));
                }
            }
            if parts.len() > 1 {
                let (end, all) = (part.end, new.len());
                context.out.note(&format!("imported {end} of {all}"));
            }
        }
        Ok(done)
    }
}
