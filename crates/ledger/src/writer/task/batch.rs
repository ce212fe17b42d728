//! One round of commands: each is decided on the state that the ones before it leave.

use std::collections::VecDeque;

use keyroll_core::decide::{denied, no_such_invitation, not_a_member};
use keyroll_core::{Action, Authority, MemberId, Rules, commit};
use keyroll_core::{
    Blob, Code, Commit, Digest, Entry, Epoch, Event, Index, Millis, Recorded, Rejection, State,
    TreeSize, Verified, cbor, cose, decide, limits,
};
use keyroll_merkle::leaf_hash;
use tokio::sync::oneshot;

use super::Task;
use crate::follower::actor_ordinal;
use crate::writer::{CommandOutcome, Queued, Submission, ValueLocation};

/// Bytes that a commit's own fields and signature take.
const COMMIT_OVERHEAD: usize = 1_024;

/// A decided command.
pub(super) struct Decided {
    pub(super) submission: Submission,
    pub(super) answer: oneshot::Sender<CommandOutcome>,
    pub(super) decision: Decision,
}

pub(super) enum Decision {
    Entry {
        index: Index,
        entry: Blob,
        events: Vec<Event>,
        locations: Vec<ValueLocation>,
    },
    Duplicate(Index),
    StoreFirst(Epoch),
    /// The events of a dry run.
    DryRun(Vec<Event>),
    Refused(Rejection),
}

/// The appends and answers of one round.
pub(super) struct Batch {
    pub(super) decided: Vec<Decided>,
    /// The signed commit, when there is an entry.
    pub(super) commit: Option<Vec<u8>>,
}

impl Task {
    /// Decides the waiting commands that fit one commit. None when there is nothing to append or
    /// answer.
    pub(super) fn decide_batch(&mut self, queue: &mut VecDeque<Queued>) -> Option<Batch> {
        let mut state = self.state.take()?;
        // This state was loaded since: it shows the outcome of the commands in doubt.
        self.in_doubt.clear();
        let at = state.recorded_time((self.context.clock)());
        let (first, root) = (state.size(), state.root());
        let mut entries: Vec<Blob> = Vec::new();
        let mut bytes = COMMIT_OVERHEAD;
        let mut decided: Vec<Decided> = Vec::new();
        while let Some(job) = queue.pop_front() {
            let (submission, answer) = match job {
                Queued::Precheck(command, answer) => {
                    let decided = self
                        .decide(&state, &command, at)
                        .and_then(|events| stores(&state, &events));
                    drop(answer.send(decided));
                    continue;
                }
                Queued::Submit(submission, answer) => (submission, answer),
            };
            let decision = self.decision(&state, &submission, at, &decided);
            let decision = if submission.dry_run {
                as_dry_run(&submission, decision)
            } else {
                decision
            };
            if let Decision::Entry {
                entry,
                index,
                events,
                ..
            } = &decision
            {
                let size = entry.0.len() + 5;
                if bytes + size > limits::COMMIT_BYTES && !entries.is_empty() {
                    queue.push_front(Queued::Submit(submission, answer));
                    break;
                }
                bytes += size;
                entries.push(entry.clone());
                let recorded = recorded(&submission, *index, at, events, entry);
                state.apply(Rules::CURRENT, &recorded);
            }
            decided.push(Decided {
                submission,
                answer,
                decision,
            });
            if entries.len() >= limits::COMMIT_ENTRIES {
                break;
            }
        }
        self.state = Some(state);
        if decided.is_empty() {
            return None;
        }
        let commit = (!entries.is_empty()).then(|| self.sign(at, first, Digest(root.0), entries));
        Some(Batch { decided, commit })
    }

    fn sign(&self, at: Millis, first: TreeSize, root: Digest, entries: Vec<Blob>) -> Vec<u8> {
        let commit = Commit {
            v: commit::COMMIT_V,
            at,
            root,
            first,
            rules: Rules::CURRENT.number(),
            ledger: self.context.ledger,
            entries,
            workspace: self.workspace.clone(),
        };
        cose::sign(&commit, &self.context.key)
    }

    fn decide(
        &self,
        state: &State,
        command: &Verified,
        at: Millis,
    ) -> Result<Vec<Event>, Rejection> {
        let operator = self.context.operators.contains(&command.signer());
        decide(
            Rules::CURRENT,
            state,
            command,
            at,
            &Authority {
                operator,
                key: self.context.created.clone(),
            },
        )
    }

    fn decision(
        &self,
        state: &State,
        submission: &Submission,
        at: Millis,
        decided: &[Decided],
    ) -> Decision {
        let command = &submission.command;
        // Strangers learn nothing of a workspace, not even its size.
        let speaks = state.speaks_for_member(command, at);
        if speaks && submission.trusted_size > state.size() {
            let message = format!(
                "the caller has seen {} entries, the log has {}: it was rolled back",
                submission.trusted_size,
                state.size()
            );
            return Decision::Refused(Rejection::new(Code::Rollback, message));
        }
        match self.earlier(state, submission, decided) {
            // Whoever has the bytes may learn their outcome, also after the key that signed them has
            // been forgotten.
            Some(earlier @ Decision::Duplicate(_)) => return earlier,
            // Whoever claims to act for a member learns nothing else of that member's commands.
            Some(earlier) if speaks || command.acts_for_itself() => return earlier,
            Some(_) | None => {}
        }
        // A stranger cannot tell whether a workspace exists, whatever is wrong with the command.
        // Operators may know of all workspaces.
        let is_own = command.signer().0 == self.context.key.verifying_key().to_bytes();
        let is_operator = self.context.operators.contains(&command.signer());
        let known = state.is_of_member(command, at);
        // Whoever accepts an invitation is a stranger so far. Without a code that is known, nothing else
        // that is wrong with the command changes the refusal.
        let accepts = matches!(command.command().action, Action::MemberAccept(_));
        if accepts && !known && state.invitation(&command.signer()).is_none() {
            return Decision::Refused(no_such_invitation());
        }
        if !(known || accepts || command.acts_for_itself() && (is_own || is_operator)) {
            return Decision::Refused(not_a_member(state.workspace()));
        }
        if let Some(rejection) = &submission.inadmissible {
            return Decision::Refused(rejection.clone());
        }
        if let Some(old) = submission.while_retiring
            && state.row().retiring != Some(old)
        {
            let message = format!("epoch {old} is no longer being retired");
            return Decision::Refused(Rejection::new(Code::Conflict, message));
        }
        let events = match self.decide(state, command, at) {
            Ok(events) => events,
            Err(rejection) => return Decision::Refused(rejection),
        };
        if let Ok(epoch) = stores(state, &events)
            && submission.stored != Some(epoch)
            && !submission.dry_run
        {
            return Decision::StoreFirst(epoch);
        }
        let entry = Entry {
            at,
            events,
            command: Blob(command.bytes().to_vec()),
        };
        let bytes = cbor::encode(&entry);
        if bytes.len() > limits::ENTRY_BYTES {
            let message = format!(
                "the entry would have {} bytes, at most {} are kept",
                bytes.len(),
                limits::ENTRY_BYTES
            );
            return Decision::Refused(Rejection::new(Code::TooLarge, message));
        }
        let locations = released_locations(state, &entry.events);
        Decision::Entry {
            index: state.size().next_index(),
            entry: Blob(bytes),
            events: entry.events,
            locations,
        }
    }

    /// An earlier command of the same actor and id: the same bytes get its receipt, others are a
    /// conflict.
    fn earlier(
        &self,
        state: &State,
        submission: &Submission,
        decided: &[Decided],
    ) -> Option<Decision> {
        let command = &submission.command;
        let name = (command.actor(), command.command().id);
        let digest = Digest::of(command.bytes());
        let in_batch = decided.iter().find_map(|one| match &one.decision {
            Decision::Entry { index, .. }
                if (
                    one.submission.command.actor(),
                    one.submission.command.command().id,
                ) == name =>
            {
                Some((*index, Digest::of(one.submission.command.bytes())))
            }
            Decision::Entry { .. }
            | Decision::Duplicate(_)
            | Decision::StoreFirst(_)
            | Decision::DryRun(_)
            | Decision::Refused(_) => None,
        });
        let known = in_batch.or_else(|| self.recent.get(&name));
        let known = match known {
            Some(known) => Ok(Some(known)),
            None => self.projected_receipt(state, submission),
        };
        match known {
            Ok(None) => None,
            Ok(Some((index, known))) if known == digest => Some(Decision::Duplicate(index)),
            Ok(Some(_)) => {
                let message =
                    "another command was carried out under this id: use a fresh id for each";
                Some(Decision::Refused(Rejection::new(Code::Conflict, message)))
            }
            Err(rejection) => Some(Decision::Refused(rejection)),
        }
    }

    fn projected_receipt(
        &self,
        state: &State,
        submission: &Submission,
    ) -> Result<Option<(Index, Digest)>, Rejection> {
        let command = &submission.command;
        let actor = command.actor();
        if state.any_member(&actor).is_none()
            && state.signing_key().map(MemberId::from) != Some(actor)
        {
            return Ok(None);
        }
        let view = self
            .view
            .as_ref()
            .map_or_else(|| Err(Rejection::new(Code::Internal, "no view")), Ok)?;
        let Some(number) = self.number else {
            return Ok(None);
        };
        let ordinal = actor_ordinal(state, &actor);
        let Some(index) = view.receipt(number, ordinal, &command.command().id)? else {
            return Ok(None);
        };
        let Some(workspace) = view.workspace(&self.workspace)? else {
            return Ok(None);
        };
        let entry = workspace.entry(index)?;
        Ok(entry.map(|entry| (index, Digest::of(entry.recorded.command.bytes()))))
    }
}

/// A dry run makes no entry, not even for a refusal that would be recorded.
fn as_dry_run(submission: &Submission, decision: Decision) -> Decision {
    match decision {
        Decision::Entry { events, .. } => {
            match denied(&submission.command.command().action, &events) {
                Some(rejection) => Decision::Refused(rejection),
                None => Decision::DryRun(events),
            }
        }
        // The same bytes were carried out before: they have no further effect.
        Decision::Duplicate(_) => Decision::DryRun(Vec::new()),
        Decision::StoreFirst(_) | Decision::DryRun(_) | Decision::Refused(_) => decision,
    }
}

fn recorded(
    submission: &Submission,
    index: Index,
    at: Millis,
    events: &[Event],
    entry: &Blob,
) -> Recorded {
    Recorded {
        index,
        at,
        events: events.to_vec(),
        command: (**submission.command).clone(),
        leaf: leaf_hash(&entry.0),
    }
}

/// The epoch to store a command's values under, if its events store any: a recorded refusal must
/// not fill the vault.
fn stores(state: &State, events: &[Event]) -> Result<Epoch, Rejection> {
    for event in events {
        if matches!(event, Event::SecretCreated(_) | Event::SecretEdited(_)) {
            return Ok(state.epoch());
        }
        if let Event::WorkspaceCreated(_) = event {
            return Ok(Epoch(1));
        }
        // The key must exist before anybody can learn that it is in force.
        if let Event::KeyRotated(rotated) = event {
            return Ok(rotated.epoch);
        }
    }
    Err(Rejection::new(Code::Denied, "the command stores no value"))
}

fn released_locations(state: &State, events: &[Event]) -> Vec<ValueLocation> {
    let mut locations = Vec::new();
    for event in events {
        if let Event::SecretRevealed(revealed) = event {
            let location = |one: &keyroll_core::event::Revealed| {
                let info = state.version(&one.id, one.version)?;
                let (epoch, next_epoch) = state.row().epochs_of(info);
                Some(ValueLocation {
                    place: info.place,
                    epoch,
                    next_epoch,
                })
            };
            locations.extend(revealed.secrets.iter().filter_map(location));
        }
    }
    locations
}
