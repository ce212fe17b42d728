//! `keyroll secret rename`, `delete` and `restore`.

use clap::Args;
use keyroll_core::command::{SecretRef, SecretRename};
use keyroll_core::state::Lifecycle;
use keyroll_core::{Action, Code, SecretId, SecretName};
use keyroll_wire::reply::SecretRow;
use serde_json::json;

use super::edit::active;
use super::{NO_SECRET, shown};
use crate::context::Context;
use crate::error::Failure;
use crate::input::{Confirmation, can_confirm, confirm, secret_name};
use crate::options::DryRun;
use crate::secret_rows;
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// Name of the secret
    name: String,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Deleted secret: its name, or its id where several had the name
    #[arg(value_name = "NAME|ID")]
    secret: String,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// Present name
    name: String,
    /// New name
    to: String,
    #[command(flatten)]
    dry: DryRun,
}

pub(crate) async fn rename(context: &Context, args: RenameArgs) -> Result<(), Failure> {
    let name = secret_name(&args.name, "rename")?;
    let to: SecretName = args.to.parse()?;
    let session = context.session().await?;
    let rename = |id| {
        let (to, name) = (to.clone(), name.clone());
        Action::SecretRename(SecretRename { id, to, name })
    };
    let act = Box::pin(session.perform(rename(NO_SECRET), args.dry));
    let row = shown(active(&session, &name), act).await?;
    warn_of_uses(context, &row);
    if !row.used_by.is_empty() && !args.dry.dry_run {
        let confirmation = Confirmation {
            question: format!("Rename {name} to {to}? Blocks that use {name} will fail."),
            refusal: format!("{name} was not renamed"),
        };
        confirm(context, &confirmation)?;
    }
    let words = format!("{name} to {to}");
    let json = json!({"name": to, "version": row.version, "was": name});
    let outcome = session.perform(rename(row.id), args.dry).await?;
    outcome.report(context, ("renamed", &words, json))
}

/// Warns of the saved blocks that reference a secret which is about to lose its name.
pub(super) fn warn_of_uses(context: &Context, row: &SecretRow) {
    if !row.used_by.is_empty() {
        context.out.note(&format!(
            "warning: {} is used by {}",
            row.name,
            secret_rows::used_by(row)
        ));
    }
}

pub(crate) async fn delete(context: &Context, args: NamedArgs) -> Result<(), Failure> {
    let name = secret_name(&args.name, "delete")?;
    let workspace = context.settings()?.workspace()?;
    let confirmation = Confirmation {
        question: format!(
            "Delete {name} in {workspace}? Programs and blocks that use it will fail."
        ),
        refusal: format!("{name} was not deleted"),
    };
    if !args.dry.dry_run {
        can_confirm(context, &confirmation)?;
    }
    let session = context.session().await?;
    let delete = |id| {
        let name = name.clone();
        Action::SecretDelete(SecretRef { id, name })
    };
    let act = Box::pin(session.perform(delete(NO_SECRET), args.dry));
    let row = shown(active(&session, &name), act).await?;
    warn_of_uses(context, &row);
    if !args.dry.dry_run {
        confirm(context, &confirmation)?;
    }
    let json = json!({"name": name, "version": row.version, "state": "deleted"});
    let words = name.to_string();
    let outcome = session.perform(delete(row.id), args.dry).await?;
    outcome.report(context, ("deleted", &words, json))
}

pub(crate) async fn restore(context: &Context, args: RestoreArgs) -> Result<(), Failure> {
    let id = args.secret.parse::<SecretId>().ok();
    let name = match (secret_name(&args.secret, "restore"), id) {
        (Ok(name), _) => Some(name),
        (Err(_), Some(_)) => None,
        (Err(failure), None) => return Err(failure),
    };
    let session = context.session().await?;
    let restore = |id, name: &SecretName| {
        let name = name.clone();
        Action::SecretRestore(SecretRef { id, name })
    };
    let look = to_restore(&session, name.as_ref(), id);
    let row = if let Some(name) = &name {
        let act = Box::pin(session.perform(restore(NO_SECRET, name), args.dry));
        shown(look, act).await?
    } else {
        look.await?
    };
    let outcome = session.perform(restore(row.id, &row.name), args.dry);
    let json = json!({"name": row.name, "id": row.id, "version": row.version, "state": "active"});
    let words = row.name.to_string();
    outcome.await?.report(context, ("restored", &words, json))
}

/// Finds the secret to restore by name or id; a text that can be both is a name first. Among several
/// deleted secrets of one name, it is the one that was deleted last. The ledger decides whether it can be
/// restored.
async fn to_restore(
    session: &Session,
    name: Option<&SecretName>,
    id: Option<SecretId>,
) -> Result<SecretRow, Failure> {
    if let Some(name) = name {
        match session.secret(name).await {
            Ok(row) if row.state != Lifecycle::Active => return Ok(row),
            // Another secret has the name now, or none was deleted under it.
            Ok(row) => {
                let mut gone = secret_rows::named(session, name, true).await?;
                gone.retain(|row| row.state == Lifecycle::Deleted);
                let last = gone.into_iter().max_by_key(|row| row.updated_at);
                return Ok(last.unwrap_or(row));
            }
            Err(failure) if id.is_none() => return Err(failure),
            Err(_) => {}
        }
    }
    let mut rows = secret_rows::all(session, true, None).await?.into_iter();
    rows.find(|row| Some(row.id) == id).ok_or_else(|| {
        let message =
            "no deleted secret has this id. `keyroll secret list --deleted` shows the ids";
        Failure::coded(Code::NotFound, message)
    })
}
