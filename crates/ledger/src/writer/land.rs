//! Landing a commit: append, wait for the acknowledgement, answer. Nothing is answered before.

use std::sync::Arc;

use keyroll_core::origin::origin;
use keyroll_core::{Blob, Digest, Event, Index, Rejection, TreeSize};
use keyroll_merkle::{Checkpoint, Hash, consistency_proof, inclusion_proof};
use tokio::sync::oneshot;

use super::plan::{Plan, Planned, Verdict};
use super::settle::Unsettled;
use super::{
    CommandOutcome, Job, Landed, Position, Submission, Task, Whereabouts, unavailable, unknown,
};
use keyroll_store::log::AppendError;

impl Task {
    /// Appends a plan's commit and answers. Gives the commands back when another replica came first.
    pub(super) async fn land(&mut self, plan: Plan) -> Result<(), Vec<Job>> {
        let Plan { planned, commit } = plan;
        let Some(commit) = commit else {
            return self.confirm(planned).await;
        };
        keyroll_store::failpoint!("writer.decided");
        self.read_ahead(&planned);
        let appended = self
            .shared
            .log
            .append(&self.workspace, commit.clone().into(), self.head)
            .await;
        match appended {
            Ok(sequence) => {
                keyroll_store::failpoint!("writer.appended");
                self.head = sequence;
                self.reached = sequence;
                self.shared.progress.acknowledged(sequence);
                for one in &planned {
                    if let Verdict::Entry { index, .. } = &one.verdict {
                        let command = &one.submission.command;
                        let name = (command.actor(), command.command().id);
                        let digest = Digest::of(command.bytes());
                        self.recent.add(name, *index, digest);
                    }
                }
                self.answer(planned);
                keyroll_store::failpoint!("writer.answered");
                Ok(())
            }
            Err(AppendError::Conflict) => {
                keyroll_store::failpoint!("writer.conflicted");
                self.state = None;
                let unsettled = Unsettled::new(commit, self.head, &planned, true);
                self.unsettled = Some(unsettled);
                Err(planned
                    .into_iter()
                    .map(|one| Job::Submit(one.submission, one.answer))
                    .collect())
            }
            Err(AppendError::NotAppended(why)) => {
                self.state = None;
                refuse(planned, &unavailable(why));
                Ok(())
            }
            Err(AppendError::Unknown(why)) => {
                tracing::warn!(workspace = %self.workspace, %why, "the fate of a commit is not known");
                self.state = None;
                let unsettled = Unsettled::new(commit, self.head, &planned, false);
                self.unsettled = Some(unsettled);
                refuse(planned, &unknown());
                Ok(())
            }
        }
    }

    /// Refusals and repeated receipts alone: the leader confirms that the state they were decided
    /// on is the present one.
    async fn confirm(&mut self, planned: Vec<Planned>) -> Result<(), Vec<Job>> {
        match self.shared.log.head(&self.workspace).await {
            Ok(head) if head == self.head => {
                self.answer(planned);
                Ok(())
            }
            Ok(_) => {
                self.state = None;
                Err(planned
                    .into_iter()
                    .map(|one| Job::Submit(one.submission, one.answer))
                    .collect())
            }
            Err(error) => {
                refuse(planned, &unavailable(error.0));
                Ok(())
            }
        }
    }

    /// Has the vault read what reveals are to release, while their commit is on its way. It stays
    /// sealed, and here, until the commit is acknowledged.
    fn read_ahead(&self, planned: &[Planned]) {
        let of = |one: &Planned| match &one.verdict {
            Verdict::Entry { places, .. } => places.clone(),
            _ => Vec::new(),
        };
        let places = planned.iter().flat_map(of).map(|at| (at.place, at.epoch));
        self.shared.vault.read_ahead(&self.workspace, places);
    }

    fn answer(&mut self, planned: Vec<Planned>) {
        self.count_suppressed(&planned);
        let this = &*self;
        let proofs = this.state.as_ref().map(|state| Proofs::new(this, state));
        for Planned {
            submission,
            answer,
            verdict,
        } in planned
        {
            let outcome = match verdict {
                Verdict::Known(index) => CommandOutcome::Known(index),
                Verdict::Store(epoch) => CommandOutcome::Store(epoch),
                Verdict::Decided(events) => CommandOutcome::Decided(events, this.told(&submission)),
                Verdict::Refused(rejection) => {
                    CommandOutcome::Refused(rejection, this.told(&submission))
                }
                Verdict::Entry {
                    index,
                    entry,
                    events,
                    places,
                } => match &proofs {
                    Some(Ok(proofs)) => proofs.landed(&submission, index, entry, (events, places)),
                    // It is in the log, whatever cannot be shown of it.
                    Some(Err(_)) | None => CommandOutcome::Refused(unknown(), None),
                },
            };
            reply(answer, outcome);
        }
    }

    /// Where the workspace was when a command was decided. Strangers are not even told how large it
    /// is.
    fn told(&self, submission: &Submission) -> Option<Position> {
        let command = &submission.command;
        let state = self.state.as_ref()?;
        let told = self.shared.operators.contains(&command.signer())
            || state.any_member(&command.actor()).is_some();
        told.then(|| position(state, submission.seen)).flatten()
    }
}

/// What all receipts of one commit share.
struct Proofs<'a> {
    state: &'a keyroll_core::State,
    checkpoint: Arc<str>,
}

impl<'a> Proofs<'a> {
    fn new(task: &Task, state: &'a keyroll_core::State) -> Result<Self, Rejection> {
        let origin = origin(&task.shared.ledger, &task.workspace);
        let checkpoint = sign_checkpoint(&task.shared.key, &origin, state.size(), state.root())?;
        Ok(Self { state, checkpoint })
    }

    fn landed(
        &self,
        submission: &Submission,
        index: Index,
        entry: Blob,
        (events, places): (Vec<Event>, Vec<Whereabouts>),
    ) -> CommandOutcome {
        let (tree, size) = (self.state.tree(), self.state.size());
        // The window holds more than one commit's entries, so this cannot fail.
        let Ok(path) = inclusion_proof(tree, index.0, size.0) else {
            return CommandOutcome::Refused(unknown(), None);
        };
        let consistency = consistency_proof(tree, submission.seen.0, size.0).ok();
        let checkpoint = Arc::clone(&self.checkpoint);
        CommandOutcome::Recorded(Box::new(Landed {
            index,
            entry,
            events,
            path,
            checkpoint,
            consistency,
            size,
            places,
        }))
    }
}

/// Nothing extends what is larger: that is said in words, as a rollback.
fn position(state: &keyroll_core::State, seen: TreeSize) -> Option<Position> {
    let (size, root) = (state.size(), state.root());
    if seen > size {
        return None;
    }
    let consistency = consistency_proof(state.tree(), seen.0, size.0).ok();
    Some(Position {
        size,
        root,
        consistency,
    })
}

/// Signs a checkpoint: only ever called for a size that is acknowledged.
pub(crate) fn sign_checkpoint(
    key: &ed25519_dalek::SigningKey,
    origin: &str,
    size: TreeSize,
    root: Hash,
) -> Result<Arc<str>, Rejection> {
    let checkpoint = Checkpoint {
        origin: origin.to_owned(),
        size: size.0,
        root,
        extensions: Vec::new(),
    };
    let signed = checkpoint.sign(key, origin);
    signed
        .map(Arc::from)
        .map_err(|error| Rejection::new(keyroll_core::Code::Internal, error.to_string()))
}

/// Nothing of a plan happened. What is in the log from before is not told so: whoever asked may have
/// been told nothing else yet.
fn refuse(planned: Vec<Planned>, rejection: &Rejection) {
    for one in planned {
        let why = match one.verdict {
            Verdict::Known(_) => unknown(),
            // Nothing of it could have been written.
            _ if one.submission.dry_run => unavailable("it was not reached"),
            Verdict::Store(_)
            | Verdict::Decided(_)
            | Verdict::Refused(_)
            | Verdict::Entry { .. } => rejection.clone(),
        };
        reply(one.answer, CommandOutcome::Refused(why, None));
    }
}

/// The caller may have gone; its command is carried out all the same.
fn reply(answer: oneshot::Sender<CommandOutcome>, outcome: CommandOutcome) {
    drop(answer.send(outcome));
}
