//! `keyroll audit export`: a bundle that verifies without the ledger.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use keyroll_core::{Blob, TreeSize};
use keyroll_ledger::bundle::{self, Header};
use serde_json::json;

use super::commits;
use crate::context::Context;
use crate::error::Failure;

pub(crate) async fn run(context: &Context, out: &Path) -> Result<(), Failure> {
    let session = context.session().await?;
    let (note, checkpoint) = session.client.checkpoint(&session.workspace).await?;
    let header = Header {
        checkpoint: note,
        ledger_key: Blob(session.client.ledger_statement().to_vec()),
        ledger: session.client.ledger(),
        workspace: session.workspace.clone(),
    };
    let partial = partial(out);
    let failed = |error: std::io::Error| Failure::file(&partial, &error);
    let mut file = BufWriter::new(File::create(&partial).map_err(failed)?);
    bundle::write_header(&mut file, &header).map_err(failed)?;
    let problems = commits::each(&session, TreeSize(checkpoint.size), |commit| {
        bundle::write_commit(&mut file, commit).map_err(failed)
    })
    .await?;
    for problem in problems {
        let (kind, detail, at) = (problem.kind, problem.detail, problem.sequence);
        let words = format!("message {at} of the log is not in the bundle: {kind}: {detail}");
        context.out.note(&words);
    }
    file.flush().map_err(failed)?;
    file.get_ref().sync_all().map_err(failed)?;
    fs::rename(&partial, out).map_err(|error| Failure::file(out, &error))?;
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

/// Until it is whole the file has another name: half a bundle verifies as a cut one.
fn partial(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    out.with_file_name(name)
}
