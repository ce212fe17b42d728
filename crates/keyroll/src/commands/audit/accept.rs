//! `keyroll audit accept`: trust a ledger anew that holds less than, or something else than, what
//! was seen of it. The one place where that happens, and never by itself.

use std::fs;
use std::path::{Path, PathBuf};

use keyroll_api::seen::Seen;
use keyroll_api::{Client, Settings as ClientSettings};
use keyroll_core::{Code, TreeSize, WorkspaceName};
use serde_json::json;

use crate::cli::DryRun;
use crate::context::Context;
use crate::error::Failure;
use crate::session::Session;

pub(crate) async fn run(context: &Context, dry: DryRun) -> Result<(), Failure> {
    let session = context.session().await?;
    let workspace = &session.workspace;
    let Some(seen) = session
        .client
        .seen()
        .get(workspace)
        .map_err(|error| unreadable(&error))?
    else {
        return Err(Failure::coded(
            Code::NotFound,
            format!("nothing of {workspace} was seen before"),
        ));
    };
    match session
        .client
        .checkpoint(workspace)
        .await
        .map_err(Failure::from)
    {
        Ok(_) => {
            let json = json!({"workspace": workspace, "accepted": false});
            let words =
                format!("{workspace} extends what was seen of it: there is nothing to accept");
            return context.out.done(&json, &words);
        }
        Err(failure) if failure.is_unverified() => {}
        Err(failure) => return Err(failure),
    }
    let now = anew(context, &session).await?;
    let json = json!({
        "workspace": workspace, "accepted": !dry.dry_run, "seen": seen.size, "entries": now.size,
    });
    let words = format!(
        "{} entries of {workspace}, where {} were seen",
        now.size, seen.size
    );
    if dry.dry_run {
        return context
            .out
            .done(&json, &format!("would have accepted {words}"));
    }
    let evidence = keep(&context.settings()?.home.value, workspace, &seen)?;
    session
        .client
        .seen()
        .set(workspace, now)
        .map_err(|error| unreadable(&error))?;
    let kept = evidence.display();
    context.out.done(
        &json,
        &format!("accepted {words}; the checkpoint seen before is kept in {kept}"),
    )
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::local(format!("the record of checkpoints: {error}"))
}

/// What a client believes that has seen nothing. The ledger is still the one that is pinned.
async fn anew(context: &Context, session: &Session) -> Result<Seen, Failure> {
    let settings = context.settings()?;
    let client = Client::connect(ClientSettings {
        nats_url: settings.nats_url.value,
        identity: session.client.signer().clone(),
        ledger: Some(session.client.ledger()),
        home: None,
    })
    .await?;
    let (note, checkpoint) = client.checkpoint(&session.workspace).await?;
    Ok(Seen {
        size: TreeSize(checkpoint.size),
        root: checkpoint.root,
        note: Some(note),
    })
}

/// Keeps what the ledger once signed, beside the checkpoints that are believed.
fn keep(home: &Path, workspace: &WorkspaceName, seen: &Seen) -> Result<PathBuf, Failure> {
    let directory = home.join("evidence");
    fs::create_dir_all(&directory).map_err(|error| Failure::file(&directory, &error))?;
    let path = directory.join(format!("{workspace}-{}-{}", seen.size, seen.root));
    let text = format!(
        "{}\n{}\n{}",
        seen.size,
        seen.root,
        seen.note.as_deref().unwrap_or_default()
    );
    fs::write(&path, text).map_err(|error| Failure::file(&path, &error))?;
    Ok(path)
}
