//! `keyroll audit prove`, `checkpoint` and `key`.

use std::path::Path;

use keyroll_api::Ask;
use keyroll_api::query::AuditProve;
use keyroll_api::reply::Answer;
use keyroll_core::{Code, Index};
use keyroll_merkle::{Hash, TlogProof};
use serde_json::json;

use super::write;
use crate::context::Context;
use crate::error::Failure;
use crate::session::answer;

pub(crate) async fn prove(
    context: &Context,
    index: u64,
    out: Option<&Path>,
) -> Result<(), Failure> {
    let session = context.session().await?;
    let answered = session
        .ask(Ask::AuditProve(AuditProve {
            index: Index(index),
        }))
        .await?;
    let receipt = answer!(answered, Answer::AuditProve)?;
    session.client.check_receipt(&session.workspace, &receipt)?;
    if receipt.index != Index(index) {
        let message = format!(
            "the ledger proved entry {} instead of {index}",
            receipt.index
        );
        return Err(Failure::coded(Code::Corrupt, message));
    }
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
