//! New versions of secrets that exist.

use super::file::listed;
use super::plan::{ImportPlan, Replacement};
use super::send::ImportResult;
use crate::context::Context;
use crate::error::Failure;
use crate::session::Session;

/// How many new versions come between two writes of the journal. If an import is killed and run again, as many
/// secrets may get the same value twice.
const REPLACED_AT_ONCE: usize = 100;

impl ImportPlan<'_> {
    /// Sends a command for each secret. The journal records those that are done, so that another run of the same
    /// import continues after them.
    pub(super) async fn send_replacements(
        &mut self,
        context: &Context,
        session: &Session,
        sent: &mut ImportResult,
    ) -> Result<(), Failure> {
        let all = self.replace.len();
        for (at, target) in std::mem::take(&mut self.replace) {
            let place = (target.id, &target.name);
            let value = &self.found[at].value;
            let edit =
                session
                    .client
                    .edit(&session.workspace, place, target.next, value, (None, None));
            let acted = match edit.await {
                Ok(acted) => acted,
                Err(error) => {
                    self.journal.save()?;
                    let (name, done) = (&target.name, sent.replaced);
                    return Err(Failure::from(error).within(&format!(
                        "{name} ({done} of {all} secrets have a new version; run the same import again to \
                         continue)"
                    )));
                }
            };
            for warning in &acted.warnings {
                context.out.warn(warning);
            }
            sent.entries.push(acted.index);
            sent.replaced += 1;
            self.journal.note_replaced(target.name);
            if sent.replaced.is_multiple_of(REPLACED_AT_ONCE) {
                self.journal.save()?;
                let done = sent.replaced;
                context.out.note(&format!("replaced {done} of {all}"));
            }
        }
        Ok(())
    }

    /// Has the ledger decide each command, as a dry run.
    pub(super) async fn decide_replacements(&self, session: &Session) -> Result<(), Failure> {
        for (at, target) in &self.replace {
            let place = (target.id, &target.name);
            let value = &self.found[*at].value;
            let (client, workspace) = (&session.client, &session.workspace);
            let edit = client.dry_run_edit(workspace, place, target.next, value, (None, None));
            if let Err(error) = edit.await {
                return Err(Failure::from(error).within(target.name.as_str()));
            }
        }
        Ok(())
    }

    /// Notes the secrets that the import changes.
    pub(super) fn note_replaced(&self, context: &Context) {
        if self.replace.is_empty() {
            return;
        }
        let names = self.replace.iter().map(|(_, target)| {
            let Replacement { name, next, .. } = target;
            format!("{name} (as version {next})")
        });
        let shown = listed(names).replace('\n', ", ");
        context
            .out
            .note(&format!("these secrets get a new version: {shown}"));
    }
}
