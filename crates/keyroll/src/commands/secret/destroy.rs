//! `keyroll secret destroy`.

use std::time::Duration;

use clap::Args;
use keyroll_api::reply::VersionRow;
use keyroll_core::command::SecretDestroy;
use keyroll_core::state::{Lifecycle, ValueState};
use keyroll_core::{Action, Code, SecretName, Version};
use serde_json::json;

use super::lifecycle::warn_of_uses;
use super::read::versions;
use super::{add_receipt, would};
use crate::cli::DryRun;
use crate::context::Context;
use crate::error::Failure;
use crate::input::{confirm, secret_name};
use crate::session::Session;

/// How often to look whether the values are erased, and how many times at most: while a key is
/// rotated, that is said only at its end.
const POLL: Duration = Duration::from_millis(100);
const POLLS: u32 = 50;

#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    /// The secret
    name: String,
    /// Only these versions; all when absent
    #[arg(long, value_name = "N")]
    version: Vec<u32>,
    #[command(flatten)]
    dry: DryRun,
}

pub(crate) async fn run(context: &Context, args: DestroyArgs) -> Result<(), Failure> {
    let name = secret_name(&args.name, "destroy")?;
    let workspace = context.settings()?.workspace()?;
    let what = match args.version.as_slice() {
        [] => name.to_string(),
        [one] => format!("version {one} of {name}"),
        several => {
            let numbers: Vec<String> = several.iter().map(ToString::to_string).collect();
            format!("versions {} of {name}", numbers.join(", "))
        }
    };
    let session = context.session().await?;
    let row = session.secret(&name).await?;
    if args.version.is_empty() {
        warn_of_uses(context, &row);
    }
    if !args.dry.dry_run {
        let question = format!("Destroy {what} in {workspace}? Nothing brings the value back.");
        confirm(context, &question)?;
    }
    if row.state == Lifecycle::Destroyed {
        let message = format!("{name} is destroyed already");
        return Err(Failure::coded(Code::Destroyed, message));
    }
    let versions: Vec<Version> = args.version.iter().copied().map(Version).collect();
    let mut json = json!({"name": name, "version": row.version, "state": "destroyed"});
    if !versions.is_empty() {
        json["versions"] = json!(versions);
    }
    if args.dry.dry_run {
        return would(context, ("destroyed", &what, json));
    }
    let destroy = SecretDestroy {
        id: row.id,
        name: name.clone(),
        versions: (!versions.is_empty()).then_some(versions),
    };
    let acted = session.act(Action::SecretDestroy(destroy)).await?;
    add_receipt(&mut json, &acted);
    let erased = erased(&session, &name).await?;
    json["erased"] = erased.into();
    let storage = if erased {
        "erased"
    } else {
        "the service is erasing it, see `secret history`"
    };
    context.out.done(
        &json,
        &format!("destroyed {what} (entry {}): {storage}", acted.index),
    )
}

/// Whether everything destroyed of a secret is erased by now.
async fn erased(session: &Session, name: &SecretName) -> Result<bool, Failure> {
    for _ in 0..POLLS {
        let versions = versions(session, name.clone()).await?;
        let left = |row: &VersionRow| row.state == ValueState::Destroyed;
        if !versions.iter().any(left) {
            return Ok(true);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(false)
}
