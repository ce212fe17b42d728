//! `keyroll audit accept`: trust a ledger anew that holds less than, or something else than, what
//! was seen of it. The one place where that happens, and never by itself.

use keyroll_client::checkpoints::TrustedCheckpoint;
use keyroll_client::{Client, Settings as ClientSettings};
use keyroll_core::{Code, TreeSize};
use serde_json::json;

use crate::context::Context;
use crate::error::Failure;
use crate::options::DryRun;
use crate::secret_rows;
use crate::session::Session;

pub(crate) async fn run(context: &Context, dry: DryRun) -> Result<(), Failure> {
    let session = context.session().await?;
    let (workspace, store) = (&session.workspace, session.client.seen());
    let seen = store.get(workspace).map_err(|error| unusable(&error))?;
    let secrets = store.secrets().count(workspace);
    let secrets = secrets.map_err(|error| unusable(&error))?;
    if seen.is_none() && secrets == 0 {
        return Err(Failure::coded(
            Code::NotFound,
            format!("nothing of {workspace} was seen before"),
        ));
    }
    if stands(&session, secrets).await? {
        let json = json!({"workspace": workspace, "accepted": false});
        let words = format!("{workspace} extends what was seen of it: there is nothing to accept");
        return context.out.done(&json, &words);
    }
    let now = anew(context, &session).await?;
    let entries = now.as_ref().map_or(TreeSize(0), |now| now.size);
    let size = seen.map_or(TreeSize(0), |seen| seen.size);
    let json = json!({
        "workspace": workspace, "accepted": !dry.dry_run, "seen": size, "entries": entries,
        "forgotten": secrets,
    });
    let words = format!("{entries} entries of {workspace}, where {size} were seen");
    let forgotten = format!("what was remembered of {secrets} secrets");
    if dry.dry_run {
        let words = format!("would have accepted {words}, and forgotten {forgotten}");
        return context.out.done(&json, &words);
    }
    let kept = store.accept(workspace, now);
    let kept = kept.map_err(|error| unusable(&error))?.unwrap_or_default();
    let words = format!(
        "accepted {words}; the checkpoint seen before is kept in {}, with {forgotten}, which is \
         forgotten",
        kept.display()
    );
    context.out.done(&json, &words)
}

fn unusable(error: &std::io::Error) -> Failure {
    Failure::local(format!("what this client remembers of the ledger: {error}"))
}

/// Whether the ledger stands to all that was seen: to the checkpoint, and, as far as it lists them,
/// to the versions of secrets.
async fn stands(session: &Session, secrets: usize) -> Result<bool, Failure> {
    let looked = async {
        session.client.checkpoint(&session.workspace).await?;
        if secrets > 0 {
            for deleted in [false, true] {
                secret_rows::all(session, deleted, None).await?;
            }
        }
        Ok(())
    };
    match looked.await {
        Ok(()) => Ok(true),
        Err(failure) if Failure::is_unverified(&failure) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// What a client believes that has seen nothing; nothing, where the ledger has no such workspace any
/// more. The ledger is still the one that is pinned.
async fn anew(context: &Context, session: &Session) -> Result<Option<TrustedCheckpoint>, Failure> {
    let settings = context.settings()?;
    let client = Client::connect(ClientSettings {
        nats_url: settings.nats_url.value,
        identity: session.client.signer().clone(),
        ledger: Some(session.client.ledger()),
        home: None,
    })
    .await?;
    // Who has seen entries that the ledger has lost was a member then, and is a stranger now.
    match client.checkpoint(&session.workspace).await {
        Err(error) if error.code() == Code::Denied => Ok(None),
        Err(error) => Err(error.into()),
        Ok((note, checkpoint)) => Ok(Some(TrustedCheckpoint {
            size: TreeSize(checkpoint.size),
            root: checkpoint.root,
            note: Some(note),
        })),
    }
}
