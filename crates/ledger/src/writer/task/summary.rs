//! Refusals without an entry of their own, because their member had used up its share of the
//! minute: one entry records their number.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyroll_core::command::{COMMAND_V, Command, DenialCount, DenialsSummarize};
use keyroll_core::{Action, Code, CommandId, MemberId, SignedCommand, TreeSize, cose};
use tokio::sync::oneshot;

use super::Task;
use super::batch::{Decided, Decision};
use crate::writer::{Queued, Submission};
use keyroll_store::keyring::random;

/// Refusals of members, in one minute of the clock.
#[derive(Default)]
pub(super) struct Suppressed {
    minute: u64,
    counts: BTreeMap<MemberId, u32>,
}

impl Suppressed {
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

impl Task {
    pub(super) fn count_suppressed(&mut self, decided: &[Decided]) {
        let minute = (self.context.clock)().0 / 60_000;
        for one in decided {
            let Decision::Refused(rejection) = &one.decision else {
                continue;
            };
            if one.submission.dry_run {
                continue;
            }
            let actor = one.submission.command.actor();
            let member = self.state.as_ref().is_some_and(|state| {
                let command = &one.submission.command;
                let at = state.recorded_time((self.context.clock)());
                state.member(&actor).is_some() && state.speaks_for_member(command, at)
            });
            if rejection.code == Code::Denied && member {
                if self.suppressed.counts.is_empty() {
                    self.suppressed.minute = minute;
                }
                let count = self.suppressed.counts.entry(actor).or_default();
                *count = count.saturating_add(1);
            }
        }
    }

    /// The ledger's own command that records the counts of a past minute. If its append fails, the
    /// counts are lost: each refusal was answered, and none released anything.
    pub(super) fn summary(&mut self) -> Option<Queued> {
        let now = (self.context.clock)();
        if self.suppressed.is_empty() || now.0 / 60_000 <= self.suppressed.minute {
            return None;
        }
        let counts = std::mem::take(&mut self.suppressed.counts);
        let denials = counts
            .into_iter()
            .map(|(member, count)| DenialCount { count, member });
        let command = Command {
            v: COMMAND_V,
            at: now,
            id: CommandId(random().ok()?),
            action: Action::DenialsSummarize(DenialsSummarize {
                denials: denials.collect(),
            }),
            ledger: self.context.ledger,
            workspace: self.workspace.clone(),
            member: None,
            approval: None,
            delegation: None,
        };
        let signed = SignedCommand::decode(&cose::sign(&command, &self.context.key));
        let command = Arc::new(signed.and_then(SignedCommand::verify).ok()?);
        let (answer, _) = oneshot::channel();
        Some(Queued::Submit(
            Submission {
                command,
                trusted_size: TreeSize(0),
                stored: None,
                inadmissible: None,
                while_retiring: None,
                dry_run: false,
            },
            answer,
        ))
    }
}
