//! `keyroll secret rename`, `delete` and `restore`.

use clap::Args;
use keyroll_api::reply::SecretRow;
use keyroll_core::command::{SecretRef, SecretRename};
use keyroll_core::{Action, SecretName};
use serde_json::json;

use super::edit::active;
use super::{NO_SECRET, apply, rows, shown};
use crate::cli::DryRun;
use crate::context::Context;
use crate::error::Failure;
use crate::input::{confirm, secret_name};

#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// The secret
    name: String,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// The present name
    name: String,
    /// The new name
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
    let act = Box::pin(session.act(rename(NO_SECRET)));
    let row = shown(active(&session, &name), args.dry, act).await?;
    warn_of_uses(context, &row);
    let words = format!("{name} to {to}");
    let json = json!({"name": to, "version": row.version, "was": name});
    apply(
        context,
        &session,
        rename(row.id),
        args.dry,
        ("renamed", &words, json),
    )
    .await
}

/// Says which saved blocks reference a secret that is about to leave its name.
pub(super) fn warn_of_uses(context: &Context, row: &SecretRow) {
    if !row.used_by.is_empty() {
        context.out.note(&format!(
            "warning: {} is used by {}",
            row.name,
            rows::used_by(row)
        ));
    }
}

pub(crate) async fn delete(context: &Context, args: NamedArgs) -> Result<(), Failure> {
    let name = secret_name(&args.name, "delete")?;
    let workspace = context.settings()?.workspace()?;
    let session = context.session().await?;
    let delete = |id| {
        let name = name.clone();
        Action::SecretDelete(SecretRef { id, name })
    };
    let act = Box::pin(session.act(delete(NO_SECRET)));
    let row = shown(active(&session, &name), args.dry, act).await?;
    warn_of_uses(context, &row);
    if !args.dry.dry_run {
        confirm(
            context,
            &format!("Delete {name} in {workspace}? What uses it will fail."),
        )?;
    }
    let json = json!({"name": name, "version": row.version, "state": "deleted"});
    let words = name.to_string();
    apply(
        context,
        &session,
        delete(row.id),
        args.dry,
        ("deleted", &words, json),
    )
    .await
}

pub(crate) async fn restore(context: &Context, args: NamedArgs) -> Result<(), Failure> {
    let name = secret_name(&args.name, "restore")?;
    let session = context.session().await?;
    let restore = |id| {
        let name = name.clone();
        Action::SecretRestore(SecretRef { id, name })
    };
    let act = Box::pin(session.act(restore(NO_SECRET)));
    let row = shown(session.secret(&name), args.dry, act).await?;
    let json = json!({"name": name, "version": row.version, "state": "active"});
    let words = name.to_string();
    apply(
        context,
        &session,
        restore(row.id),
        args.dry,
        ("restored", &words, json),
    )
    .await
}
