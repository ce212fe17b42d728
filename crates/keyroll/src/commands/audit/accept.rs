//! `keyroll audit accept`: trusts a ledger again that has lost or changed entries which this client has
//! verified. Only this command does that.

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
    let (workspace, store) = (&session.workspace, session.client.checkpoints());
    let seen = store.get(workspace).map_err(|error| unusable(&error))?;
    let secrets = store.secrets().count(workspace);
    let secrets = secrets.map_err(|error| unusable(&error))?;
    if seen.is_none() && secrets == 0 {
        return Err(Failure::coded(
            Code::NotFound,
            format!("this client has no checkpoint of {workspace}, so there is nothing to accept"),
        ));
    }
    if extends_trusted(&session, secrets).await? {
        let json = json!({"workspace": workspace, "accepted": false});
        let words =
            format!("{workspace} extends the trusted checkpoint, so there is nothing to accept");
        return context.out.done(&json, &words);
    }
    let now = fresh_checkpoint(context, &session).await?;
    let entries = now.as_ref().map_or(TreeSize(0), |now| now.size);
    let size = seen.map_or(TreeSize(0), |seen| seen.size);
    let json = json!({
        "workspace": workspace, "accepted": !dry.dry_run, "seen": size, "entries": entries,
        "forgotten": secrets,
    });
    let words =
        format!("{entries} entries of {workspace}, where the trusted checkpoint had {size}");
    let forgotten = format!("the trusted versions of {secrets} secrets");
    if dry.dry_run {
        let words = format!("would have accepted {words}, and dropped {forgotten}");
        return context.out.done(&json, &words);
    }
    let kept = store.accept(workspace, now);
    let kept = kept.map_err(|error| unusable(&error))?.unwrap_or_default();
    let words = format!(
        "accepted {words}. This client no longer uses the old checkpoint and {forgotten}; both are kept in {} as \
         evidence",
        kept.display()
    );
    context.out.done(&json, &words)
}

fn unusable(error: &std::io::Error) -> Failure {
    Failure::local(format!(
        "cannot read or write the trusted checkpoints: {error}"
    ))
}

/// Whether the ledger extends the trusted checkpoint and, as far as it lists them, has the trusted versions
/// of secrets.
async fn extends_trusted(session: &Session, secrets: usize) -> Result<bool, Failure> {
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

/// The checkpoint that a new client of the pinned ledger gets; `None` where the ledger no longer has the
/// workspace.
async fn fresh_checkpoint(
    context: &Context,
    session: &Session,
) -> Result<Option<TrustedCheckpoint>, Failure> {
    let settings = context.settings()?;
    let client = Client::connect(ClientSettings {
        nats_url: settings.nats_url.value,
        nats_creds: settings.nats_creds.map(|setting| setting.value),
        nats_ca: settings.nats_ca.map(|setting| setting.value),
        identity: session.client.signer().clone(),
        ledger: Some(session.client.ledger()),
        home: None,
    })
    .await?;
    // The ledger may have lost the entry that made the caller a member.
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
