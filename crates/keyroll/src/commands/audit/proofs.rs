//! `keyroll audit prove`, `checkpoint` and `key`.

use std::path::Path;

use keyroll_core::Index;
use keyroll_merkle::{Hash, TlogProof};
use serde_json::json;

use super::write;
use crate::context::Context;
use crate::error::Failure;

pub(crate) async fn prove(
    context: &Context,
    index: u64,
    out: Option<&Path>,
) -> Result<(), Failure> {
    let session = context.session().await?;
    let proved = session.client.prove(&session.workspace, Index(index));
    let receipt = proved.await?.receipt;
    let proof = TlogProof {
        extra: Vec::new(),
        index,
        proof: receipt.path.iter().map(|hash| Hash(hash.0)).collect(),
        checkpoint: receipt.checkpoint,
    };
    let text = if context.out.json {
        format!(
            "{}\n",
            json!({"entry": receipt.entry, "proof": proof.format()})
        )
    } else {
        proof.format()
    };
    let Some(out) = out else {
        return context.out.bytes(text.as_bytes());
    };
    write(out, text.as_bytes())?;
    context.out.note(&format!(
        "wrote the proof of entry {index} to {}",
        out.display()
    ));
    Ok(())
}

pub(crate) async fn checkpoint(context: &Context) -> Result<(), Failure> {
    let session = context.session().await?;
    let (note, checkpoint) = session.client.checkpoint(&session.workspace).await?;
    if !context.out.json {
        return context.out.bytes(note.as_bytes());
    }
    context.out.document(&json!({
        "checkpoint": note,
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.to_string(),
    }))
}

pub(crate) async fn key(context: &Context) -> Result<(), Failure> {
    let session = context.session().await?;
    let key = session.client.verifier(&session.workspace)?.to_string();
    if context.out.json {
        return context.out.document(&json!({"key": key}));
    }
    context.out.line(&key)
}
