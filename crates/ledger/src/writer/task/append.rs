//! Appending a commit: append, wait for the acknowledgement, answer. Nothing is answered before.

use std::sync::Arc;

use keyroll_core::State;
use keyroll_core::origin::origin;
use keyroll_core::{Blob, Digest, Event, Index, Rejection, TreeSize};
use keyroll_merkle::{consistency_proof, inclusion_proof};
use tokio::sync::oneshot;

use super::Task;
use super::batch::{Batch, Decided, Decision};
use super::resolve::UnknownAppend;
use crate::writer::{
    CommandOutcome, Committed, Queued, Submission, TreeHead, ValueLocation, sign_checkpoint,
    unavailable, unknown,
};
use keyroll_store::log::AppendError;

impl Task {
    /// Appends a batch's commit and answers. Returns the commands when another replica wrote first.
    pub(super) async fn append(&mut self, batch: Batch) -> Result<(), Vec<Queued>> {
        let Batch { decided, commit } = batch;
        let Some(commit) = commit else {
            return self.confirm(decided).await;
        };
        keyroll_store::failpoint!("writer.decided");
        self.read_ahead(&decided);
        let appended = self
            .context
            .log
            .append(&self.workspace, commit.clone().into(), self.head)
            .await;
        match appended {
            Ok(sequence) => {
                keyroll_store::failpoint!("writer.appended");
                self.head = sequence;
                self.min_head = sequence;
                self.context.progress.acknowledged(sequence);
                for one in &decided {
                    if let Decision::Entry { index, .. } = &one.decision {
                        let command = &one.submission.command;
                        let name = (command.actor(), command.command().id);
                        let digest = Digest::of(command.bytes());
                        self.recent.add(name, *index, digest);
                    }
                }
                self.answer(decided);
                keyroll_store::failpoint!("writer.answered");
                Ok(())
            }
            Err(AppendError::Conflict) => {
                keyroll_store::failpoint!("writer.conflicted");
                self.state = None;
                let unknown_append = UnknownAppend::new(commit, self.head, &decided, true);
                self.unknown_append = Some(unknown_append);
                Err(decided
                    .into_iter()
                    .map(|one| Queued::Submit(one.submission, one.answer))
                    .collect())
            }
            Err(AppendError::NotAppended(why)) => {
                self.state = None;
                refuse(decided, &unavailable(why));
                Ok(())
            }
            Err(AppendError::Unknown(why)) => {
                tracing::warn!(workspace = %self.workspace, %why, "the log did not answer whether it took a commit");
                self.state = None;
                let unknown_append = UnknownAppend::new(commit, self.head, &decided, false);
                self.unknown_append = Some(unknown_append);
                refuse(decided, &unknown());
                Ok(())
            }
        }
    }

    /// A batch without an entry: before refusals and repeated receipts are answered, the leader
    /// confirms that they were decided on the present state.
    async fn confirm(&mut self, decided: Vec<Decided>) -> Result<(), Vec<Queued>> {
        match self.context.log.head(&self.workspace).await {
            Ok(head) if head == self.head => {
                self.answer(decided);
                Ok(())
            }
            Ok(_) => {
                self.state = None;
                Err(decided
                    .into_iter()
                    .map(|one| Queued::Submit(one.submission, one.answer))
                    .collect())
            }
            Err(error) => {
                refuse(decided, &unavailable(error.0));
                Ok(())
            }
        }
    }

    /// Makes the vault read the values of reveals while their commit is on its way. They stay
    /// sealed, and here, until the commit is acknowledged.
    fn read_ahead(&self, decided: &[Decided]) {
        let of = |one: &Decided| match &one.decision {
            Decision::Entry { locations, .. } => locations.clone(),
            Decision::Duplicate(_)
            | Decision::StoreFirst(_)
            | Decision::DryRun(_)
            | Decision::Refused(_) => Vec::new(),
        };
        let locations = decided.iter().flat_map(of).map(|at| (at.place, at.epoch));
        self.context.vault.read_ahead(&self.workspace, locations);
    }

    fn answer(&mut self, decided: Vec<Decided>) {
        self.count_suppressed(&decided);
        let this = &*self;
        let proofs = this.state.as_ref().map(|state| Proofs::new(this, state));
        for Decided {
            submission,
            answer,
            decision,
        } in decided
        {
            let outcome = match decision {
                Decision::Duplicate(index) => CommandOutcome::Duplicate(index),
                Decision::StoreFirst(epoch) => CommandOutcome::StoreFirst(epoch),
                Decision::DryRun(events) => {
                    CommandOutcome::DryRun(events, this.head_for(&submission))
                }
                Decision::Refused(rejection) => {
                    CommandOutcome::Refused(rejection, this.head_for(&submission))
                }
                Decision::Entry {
                    index,
                    entry,
                    events,
                    locations,
                } => match &proofs {
                    Some(Ok(proofs)) => {
                        proofs.committed(&submission, index, entry, (events, locations))
                    }
                    // The entry is in the log, but cannot be proven now.
                    Some(Err(_)) | None => CommandOutcome::Refused(unknown(), None),
                },
            };
            reply(answer, outcome);
        }
    }

    /// The tree head that a command was decided on. Strangers do not learn even the size.
    fn head_for(&self, submission: &Submission) -> Option<TreeHead> {
        let command = &submission.command;
        let state = self.state.as_ref()?;
        let operator = self.context.operators.contains(&command.signer());
        let at = state.recorded_time((self.context.clock)());
        let allowed = operator && command.acts_for_itself()
            || state.speaks_for_member(command, at)
            // Whoever has accepted an invitation has seen the entry of that.
            || state.has_accepted(command);
        allowed
            .then(|| tree_head(state, submission.trusted_size))
            .flatten()
    }
}

/// The common parts of the receipts of one commit.
struct Proofs<'a> {
    state: &'a State,
    checkpoint: Arc<str>,
}

impl<'a> Proofs<'a> {
    fn new(task: &Task, state: &'a State) -> Result<Self, Rejection> {
        let origin = origin(&task.context.ledger, &task.workspace);
        let checkpoint = sign_checkpoint(&task.context.key, &origin, state.size(), state.root())?;
        Ok(Self { state, checkpoint })
    }

    fn committed(
        &self,
        submission: &Submission,
        index: Index,
        entry: Blob,
        (events, locations): (Vec<Event>, Vec<ValueLocation>),
    ) -> CommandOutcome {
        let (tree, size) = (self.state.tree(), self.state.size());
        // The window holds more than one commit's entries, so this cannot fail.
        let Ok(path) = inclusion_proof(tree, index.0, size.0) else {
            return CommandOutcome::Refused(unknown(), None);
        };
        let consistency = consistency_proof(tree, submission.trusted_size.0, size.0).ok();
        let checkpoint = Arc::clone(&self.checkpoint);
        CommandOutcome::Committed(Box::new(Committed {
            index,
            entry,
            events,
            path,
            checkpoint,
            consistency,
            size,
            locations,
        }))
    }
}

/// No proof exists for a caller who has seen more: that is reported as a rollback.
fn tree_head(state: &State, seen: TreeSize) -> Option<TreeHead> {
    let (size, root) = (state.size(), state.root());
    if seen > size {
        return None;
    }
    let consistency = consistency_proof(state.tree(), seen.0, size.0).ok();
    Some(TreeHead {
        size,
        root,
        consistency,
    })
}

/// Refuses a batch that was not appended. A command that is in the log from before is
/// `audit_unknown` instead: its caller may have had no other answer yet.
fn refuse(decided: Vec<Decided>, rejection: &Rejection) {
    for one in decided {
        let why = match one.decision {
            Decision::Duplicate(_) => unknown(),
            // A dry run could not have been written.
            _ if one.submission.dry_run => unavailable("it cannot be reached"),
            Decision::StoreFirst(_)
            | Decision::DryRun(_)
            | Decision::Refused(_)
            | Decision::Entry { .. } => rejection.clone(),
        };
        reply(one.answer, CommandOutcome::Refused(why, None));
    }
}

/// The caller may have gone. Its command is carried out all the same.
fn reply(answer: oneshot::Sender<CommandOutcome>, outcome: CommandOutcome) {
    drop(answer.send(outcome));
}
