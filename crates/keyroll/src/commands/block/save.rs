//! `keyroll block save` and `remove`: what uses which secret, on record.

use std::collections::BTreeMap;
use std::path::Path;

use keyroll_core::Action;
use keyroll_core::SecretName;
use keyroll_core::command::{BlockUse, WorkflowRemove, WorkflowSave};
use keyroll_core::names::Label;
use keyroll_resolver::BlockFile;
use serde_json::json;

use super::uses::{Use, uses};
use super::{RunPython, Source};
use crate::context::Context;
use crate::error::Failure;

pub(super) async fn save(context: &Context, path: &Path, how: &RunPython) -> Result<(), Failure> {
    let source = Source::read(path)?;
    let uses = uses(&source, how).await?;
    let file = source.file;
    let action = Action::WorkflowSave(WorkflowSave {
        blocks: blocks(&file, &uses)?,
        workflow: file.workflow.parse()?,
    });
    let session = context.session().await?;
    for one in uses.iter().filter(|one| one.dynamic) {
        context.out.note(&format!(
            "warning: {} at {}: a name that is only known when the code runs is not on record",
            one.block, one.places
        ));
    }
    let acted = session.act(action).await?;
    let secrets = uses.iter().filter(|one| !one.dynamic).count();
    if context.out.json {
        return context.out.document(&json!({
            "workflow": file.workflow, "blocks": file.blocks.len(), "index": acted.index,
        }));
    }
    context.out.line(&format!(
        "saved {}: {} blocks, {secrets} uses of secrets (entry {})",
        file.workflow,
        file.blocks.len(),
        acted.index
    ))
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

pub(super) async fn remove(context: &Context, workflow: &str) -> Result<(), Failure> {
    let name: Label = workflow.parse()?;
    let session = context.session().await?;
    let action = Action::WorkflowRemove(WorkflowRemove { workflow: name });
    let acted = session.act(action).await?;
    if context.out.json {
        return context
            .out
            .document(&json!({"workflow": workflow, "index": acted.index}));
    }
    context
        .out
        .line(&format!("removed {workflow} (entry {})", acted.index))
}
