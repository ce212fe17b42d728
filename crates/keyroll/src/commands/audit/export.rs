//! `keyroll audit export`: a bundle that verifies without the ledger.

use std::path::Path;

use keyroll_audit::bundle::{self, Header};
use keyroll_core::{Blob, TreeSize};
use serde_json::json;

use super::commits;
use crate::context::Context;
use crate::error::Failure;
use crate::part_file::{PartFile, until_stopped};

pub(crate) async fn run(context: &Context, out: &Path) -> Result<(), Failure> {
    until_stopped(export(context, out)).await
}

async fn export(context: &Context, out: &Path) -> Result<(), Failure> {
    let session = context.session().await?;
    let (note, checkpoint) = session.client.checkpoint(&session.workspace).await?;
    let header = Header {
        checkpoint: note,
        ledger_key: Blob(session.client.ledger_statement().to_vec()),
        ledger: session.client.ledger(),
        workspace: session.workspace.clone(),
    };
    let mut file = PartFile::create(out)?;
    file.write(|file| bundle::write_header(file, &header))?;
    let problems = commits::each(&session, TreeSize(checkpoint.size), |commit| {
        file.write(|file| bundle::write_commit(file, commit))
    })
    .await?;
    for problem in problems {
        let (kind, detail, at) = (problem.kind, problem.detail, problem.sequence);
        let words = format!("message {at} of the log is not in the bundle: {kind}: {detail}");
        context.out.note(&words);
    }
    file.finish()?;
    let json = json!({
        "workspace": session.workspace,
        "entries": checkpoint.size,
        "root": checkpoint.root.to_string(),
        "file": out.display().to_string(),
    });
    let words = format!(
        "wrote {} entries of {} to {}",
        checkpoint.size,
        session.workspace,
        out.display()
    );
    context.out.done(&json, &words)
}
