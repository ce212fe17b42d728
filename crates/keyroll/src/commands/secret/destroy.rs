//! `keyroll secret destroy`.

use std::time::Duration;

use clap::Args;
use keyroll_core::command::SecretDestroy;
use keyroll_core::state::{Lifecycle, ValueState};
use keyroll_core::{Action, SecretName, Version};
use keyroll_wire::reply::{SecretRow, VersionRow};
use serde_json::json;

use super::lifecycle::warn_of_uses;
use super::read::versions;
use super::{NO_SECRET, shown};
use crate::context::Context;
use crate::dry_run::{Performed, add_receipt};
use crate::error::Failure;
use crate::input::{Confirmation, can_confirm, confirm, secret_name};
use crate::options::DryRun;
use crate::session::Session;

/// How often to check whether the values are erased, and how many times at most. During a key rotation the
/// service reports the erasure only at its end.
const POLL: Duration = Duration::from_millis(100);
const POLLS: u32 = 50;

#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    /// Name of the secret
    name: String,
    /// Version to destroy; repeat it for more [default: all versions, and the secret itself]
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
    let confirmation = Confirmation {
        question: format!("Destroy {what} in {workspace}? This cannot be undone."),
        refusal: match args.version.len() {
            0 | 1 => format!("{what} was not destroyed"),
            _ => format!("{what} were not destroyed"),
        },
    };
    if !args.dry.dry_run {
        can_confirm(context, &confirmation)?;
    }
    let session = context.session().await?;
    let wanted: Vec<Version> = args.version.iter().copied().map(Version).collect();
    let destroy = |id| {
        let versions = (!wanted.is_empty()).then(|| wanted.clone());
        let name = name.clone();
        Action::SecretDestroy(SecretDestroy { id, name, versions })
    };
    let act = Box::pin(session.perform(destroy(NO_SECRET), args.dry));
    let row = shown(session.secret(&name), act).await?;
    if wanted.is_empty() {
        warn_of_uses(context, &row);
    }
    let mut rows = Vec::new();
    if !wanted.is_empty() {
        rows = versions(&session, name.clone()).await?;
        warn_of_current(context, &row, (&rows, &wanted));
    }
    if !args.dry.dry_run {
        confirm(context, &confirmation)?;
    }
    let mut json = json!({"name": name, "version": row.version, "state": "destroyed"});
    if !wanted.is_empty() {
        json["versions"] = json!(wanted);
        json["destroys_current"] = wanted.contains(&row.version).into();
        let copies = copies(&rows, &wanted);
        for (copy, of) in &copies {
            context.out.note(&format!(
                "warning: version {copy} has the same value as version {of}, by a rollback, and stays. \
                 Destroy it too to remove the value"
            ));
        }
    }
    let outcome = session.perform(destroy(row.id), args.dry).await?;
    let acted = match &outcome {
        Performed::Decided(_) => {
            return outcome.report(context, ("destroyed", &what, json));
        }
        Performed::Recorded(acted) => acted,
    };
    add_receipt(context, &mut json, acted);
    let erased = erased(&session, &name).await?;
    json["erased"] = erased.into();
    let storage = if erased {
        "erased"
    } else {
        "the service is erasing it; `keyroll secret history` shows when it is erased"
    };
    context.out.done(
        &json,
        &format!("destroyed {what} (entry {}): {storage}", acted.index),
    )
}

/// Warns when a current version is to be destroyed.
fn warn_of_current(
    context: &Context,
    row: &SecretRow,
    (rows, ending): (&[VersionRow], &[Version]),
) {
    if row.state != Lifecycle::Active || !ending.contains(&row.version) {
        return;
    }
    let (name, version) = (&row.name, row.version);
    let stays = |row: &VersionRow| {
        matches!(row.state, ValueState::Live | ValueState::Lost) && !ending.contains(&row.version)
    };
    let fate = if rows.iter().any(stays) {
        "nobody can reveal the secret, and runs and blocks go without it, until it is edited or rolled back"
    } else {
        "no value is left, so the secret is destroyed with it"
    };
    context.out.warn(&format!(
        "version {version} is the current version of {name}: {fate}"
    ));
}

/// Live versions that are not to be destroyed and have, by rollbacks, the value of one that is.
fn copies(rows: &[VersionRow], ending: &[Version]) -> Vec<(Version, Version)> {
    // A rollback is always from an earlier version, so this comes to an end.
    let origin = |mut version: Version| {
        while let Some(from) = rows
            .iter()
            .find(|row| row.version == version)
            .and_then(|row| row.kind.strip_prefix("rolled back from ")?.parse().ok())
            .map(Version)
            .filter(|from| *from < version)
        {
            version = from;
        }
        version
    };
    let live = rows.iter().filter(|row| row.state == ValueState::Live);
    let staying = live.filter(|row| !ending.contains(&row.version));
    let copy = |row: &VersionRow| {
        let same = |ended: &&Version| origin(**ended) == origin(row.version);
        ending.iter().find(same).map(|of| (row.version, *of))
    };
    let mut copies: Vec<_> = staying.filter_map(copy).collect();
    copies.sort_unstable();
    copies
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
