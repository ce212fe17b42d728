//! Commands and their dry runs.

use keyroll_client::Executed;
use keyroll_core::{Action, Event};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
use crate::options::DryRun;
use crate::session::Session;

/// The outcome of a command: an entry, or the decision of a dry run.
pub(crate) enum Performed {
    /// The command is an entry.
    Recorded(Box<Executed>),
    /// A dry run: the events that the entry would have had.
    Decided(Vec<Event>),
}

impl From<Executed> for Performed {
    fn from(acted: Executed) -> Self {
        Self::Recorded(Box::new(acted))
    }
}

impl Session {
    /// Signs an action and sends it to the workspace, or only has it decided.
    pub(crate) async fn perform(&self, action: Action, dry: DryRun) -> Result<Performed, Failure> {
        if dry.dry_run {
            return self.decide(action).await.map(Performed::Decided);
        }
        self.act(action).await.map(Performed::from)
    }

    /// Asks the ledger to decide an action. Nothing is written.
    pub(crate) async fn decide(&self, action: Action) -> Result<Vec<Event>, Failure> {
        Ok(self.client.dry_run(&self.workspace, action).await?)
    }
}

impl Performed {
    /// The events of the entry, or those that it would have.
    pub(crate) fn events(&self) -> &[Event] {
        match self {
            Self::Recorded(acted) => &acted.entry.events,
            Self::Decided(events) => events,
        }
    }

    /// Reports what the command did or would do. `verb` is a past participle.
    pub(crate) fn report(
        &self,
        context: &Context,
        (verb, words, mut json): (&str, &str, Value),
    ) -> Result<(), Failure> {
        let words = match self {
            Self::Recorded(acted) => {
                add_receipt(context, &mut json, acted);
                format!("{verb} {words} (entry {})", acted.index)
            }
            Self::Decided(_) => {
                json["dry_run"] = true.into();
                format!("would have {verb} {words}")
            }
        };
        context.out.done(&json, &words)
    }
}

/// Adds the receipt of a command to its JSON, and prints its warnings.
pub(crate) fn add_receipt(context: &Context, json: &mut Value, acted: &Executed) {
    json["index"] = json!(acted.index);
    json["receipt"] = json!(acted.receipt);
    if !acted.warnings.is_empty() {
        json["warnings"] = json!(acted.warnings);
    }
    for warning in &acted.warnings {
        context.out.warn(warning);
    }
}
