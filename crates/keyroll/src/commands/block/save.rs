//! `keyroll block save` and `remove`: records which blocks use which secrets.

use std::collections::BTreeMap;
use std::path::Path;

use keyroll_core::Action;
use keyroll_core::SecretName;
use keyroll_core::command::{BlockUse, WorkflowRemove, WorkflowSave};
use keyroll_core::names::Label;
use keyroll_resolver::BlockFile;
use serde_json::{Value, json};

use super::check::{OUT_OF_REACH, look_up, verdict};
use super::options::RunPython;
use super::source::Source;
use super::uses::{Use, uses};
use crate::context::Context;
use crate::dry_run::Performed;
use crate::error::Failure;
use crate::options::DryRun;

pub(super) async fn save(
    context: &Context,
    path: &Path,
    how: &RunPython,
    dry: DryRun,
) -> Result<(), Failure> {
    let source = Source::read(path)?;
    let mut uses = uses(&source, how).await?;
    let action = Action::WorkflowSave(WorkflowSave {
        blocks: blocks(&source.file, &uses)?,
        workflow: source.file.workflow.parse()?,
    });
    let session = context.session().await?;
    look_up(&session, &mut uses).await?;
    // The ledger itself refuses a name that the caller may not access, and records the refusal.
    let checked = uses.iter().filter(|one| one.state != OUT_OF_REACH);
    verdict(checked, &source.hard_coded(None))?;
    for one in uses.iter().filter(|one| one.dynamic) {
        context.out.note(&format!(
            "warning: {} at {}: the code computes this name when it runs, so it is not recorded",
            one.block, one.places
        ));
    }
    let outcome = session.perform(action, dry).await?;
    let (file, secrets) = (&source.file, uses.iter().filter(|one| !one.dynamic).count());
    let json = json!({"workflow": file.workflow, "blocks": file.blocks.len()});
    let words = format!(
        "{}: {} blocks, {secrets} uses of secrets",
        file.workflow,
        file.blocks.len()
    );
    report(context, &outcome, ("saved", &words, json))
}

/// As [`Performed::report`], on stdout and without a receipt.
fn report(
    context: &Context,
    outcome: &Performed,
    (verb, words, mut json): (&str, &str, Value),
) -> Result<(), Failure> {
    let words = match outcome {
        Performed::Recorded(acted) => {
            json["index"] = json!(acted.index);
            format!("{verb} {words} (entry {})", acted.index)
        }
        Performed::Decided(_) => {
            json["dry_run"] = true.into();
            format!("would have {verb} {words}")
        }
    };
    if context.out.json {
        return context.out.document(&json);
    }
    context.out.line(&words)
}

fn blocks(file: &BlockFile, uses: &[Use]) -> Result<Vec<BlockUse>, Failure> {
    let mut by_block: BTreeMap<&str, Vec<SecretName>> = BTreeMap::new();
    for one in uses.iter().filter(|one| !one.dynamic) {
        by_block
            .entry(&one.block)
            .or_default()
            .push(one.secret.parse()?);
    }
    file.blocks
        .iter()
        .map(|block| {
            Ok(BlockUse {
                name: block.name().parse()?,
                secrets: by_block.remove(block.name()).unwrap_or_default(),
            })
        })
        .collect()
}

pub(super) async fn remove(context: &Context, workflow: &str, dry: DryRun) -> Result<(), Failure> {
    let name: Label = workflow.parse()?;
    let session = context.session().await?;
    let action = Action::WorkflowRemove(WorkflowRemove { workflow: name });
    let outcome = session.perform(action, dry).await?;
    let json = json!({"workflow": workflow});
    report(context, &outcome, ("removed", workflow, json))
}
