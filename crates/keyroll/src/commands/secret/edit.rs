//! `keyroll secret edit`, `describe` and `rollback`.

use clap::Args;
use keyroll_client::RequestedValue;
use keyroll_core::command::{Nothing, Purpose, SecretDescribe};
use keyroll_core::names::Text;
use keyroll_core::state::Lifecycle;
use keyroll_core::{Action, Code, SecretId, SecretName, Version};
use keyroll_wire::reply::SecretRow;
use serde_json::json;

use super::{NO_SECRET, hosts, period, shown};
use crate::context::Context;
use crate::dry_run::Performed;
use crate::error::Failure;
use crate::input::{ValueArgs, secret_name, text};
use crate::options::DryRun;
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// Name of the secret
    name: String,
    #[command(flatten)]
    value: ValueArgs,
    /// Reason, for the audit log [default: none]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Edit only while this version is current; otherwise fail with a conflict (exit status 5)
    /// [default: the version that is current now]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    if_version: Option<u32>,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// Name of the secret
    name: String,
    /// New description [default: unchanged]
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Host that blocks may send the value to, in place of the present ones; repeat it for more
    /// [default: unchanged]
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Let blocks send the value to any host
    #[arg(long, conflicts_with = "allow_host")]
    any_host: bool,
    /// From now on reveal the value only to blocks that a runner runs. This cannot be undone
    /// [default: unchanged; true where the flag has no value]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    restricted: Option<bool>,
    /// How often the value is to be rotated, such as 90d, or `never` [default: unchanged]
    #[arg(long, value_name = "PERIOD")]
    rotate_every: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// Name of the secret
    name: String,
    /// Version whose value becomes current again
    #[arg(long, value_name = "VERSION")]
    to: u32,
    /// Reason, for the audit log [default: none]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

pub(crate) async fn edit(context: &Context, args: EditArgs) -> Result<(), Failure> {
    args.value.check("edit")?;
    let name = secret_name(&args.name, "edit")?;
    let reason = text(args.reason)?;
    let value = args.value.read(context, &name)?;
    let session = context.session().await?;
    let note = (reason.clone(), None);
    let act = Box::pin(unshown(&session, &name, &value, note, args.dry));
    let row = shown(active(&session, &name), act).await?;
    let done = Edit {
        verb: "edited",
        row: &row,
        // The ledger decides whether this version is still current.
        before: args.if_version.map_or(row.version, Version),
        reason,
        from: None,
        dry: args.dry,
    };
    new_version(context, &session, done, &value).await
}

pub(crate) async fn rollback(context: &Context, args: RollbackArgs) -> Result<(), Failure> {
    let name = secret_name(&args.name, "rollback")?;
    let reason = text(args.reason)?;
    let from = Version(args.to);
    let session = context.session().await?;
    // The ledger refuses this without looking at the value, so any value will do.
    let note = (reason.clone(), Some(from));
    let act = Box::pin(unshown(&session, &name, b"-", note, args.dry));
    let row = shown(active(&session, &name), act).await?;
    if from >= row.version || from < Version::FIRST {
        let message = format!(
            "{name} has version {} now. Choose an earlier one with --to",
            row.version
        );
        return Err(Failure::coded(Code::InvalidField, message));
    }
    let done = Edit {
        verb: "rolled back",
        row: &row,
        before: row.version,
        reason,
        from: Some(from),
        dry: args.dry,
    };
    // The ledger never sees a value, so this client reveals the old one and seals it again.
    let wanted = [RequestedValue {
        name,
        version: Some(from),
    }];
    let purpose = Purpose::Copy(Nothing {});
    let words = format!("rollback to version {from}").parse::<Text>()?;
    let why = done.reason.clone().unwrap_or(words);
    if args.dry.dry_run {
        let (client, workspace) = (&session.client, &session.workspace);
        let reveal = client.dry_run_reveal(workspace, &wanted, &purpose, Some(&why));
        reveal.await?;
        // The ledger sees no value, so a dry run can use any.
        return new_version(context, &session, done, b"-").await;
    }
    let reveal = session.reveal(context.out, &wanted, &purpose, Some(&why));
    let reveal = reveal.await?;
    let Some(opened) = reveal.values.first() else {
        return Err(Failure::coded(
            Code::Corrupt,
            "the ledger released no value",
        ));
    };
    if opened.id != done.row.id {
        let name = &done.row.name;
        let message = format!(
            "another secret took the name {name} just now (entry {}), so nothing was changed. Try again",
            reveal.index
        );
        return Err(Failure::coded(Code::Conflict, message));
    }
    new_version(context, &session, done, &opened.value).await
}

/// Makes a new version of a secret that the ledger does not show to the caller.
async fn unshown(
    session: &Session,
    name: &SecretName,
    value: &[u8],
    note: (Option<Text>, Option<Version>),
    dry: DryRun,
) -> Result<Performed, Failure> {
    let next = Version::FIRST.next();
    store(session, (NO_SECRET, name), next, value, (note, dry)).await
}

/// Makes a new version, or only has the ledger decide it.
async fn store(
    session: &Session,
    place: (SecretId, &SecretName),
    next: Version,
    value: &[u8],
    (note, dry): ((Option<Text>, Option<Version>), DryRun),
) -> Result<Performed, Failure> {
    let (client, workspace) = (&session.client, &session.workspace);
    if dry.dry_run {
        let events = client.dry_run_edit(workspace, place, next, value, note);
        return Ok(Performed::Decided(events.await?));
    }
    Ok(client
        .edit(workspace, place, next, value, note)
        .await?
        .into())
}

struct Edit<'a> {
    verb: &'static str,
    row: &'a SecretRow,
    /// The version that is current before it.
    before: Version,
    reason: Option<Text>,
    from: Option<Version>,
    dry: DryRun,
}

async fn new_version(
    context: &Context,
    session: &Session,
    edit: Edit<'_>,
    value: &[u8],
) -> Result<(), Failure> {
    let (name, next) = (&edit.row.name, edit.before.next());
    let from = edit
        .from
        .map(|from| format!(" to the value of version {from}"))
        .unwrap_or_default();
    let words = format!("{name}{from}, as version {next}");
    let json = json!({"name": name, "version": next});
    let note = (edit.reason, edit.from);
    let outcome = store(session, (edit.row.id, name), next, value, (note, edit.dry)).await?;
    outcome.report(context, (edit.verb, &words, json))
}

pub(crate) async fn describe(context: &Context, args: DescribeArgs) -> Result<(), Failure> {
    let name = secret_name(&args.name, "describe")?;
    let rotate_every = match args.rotate_every.as_deref() {
        None => None,
        Some("never") => Some(0),
        Some(every) => Some(period(every)?),
    };
    let hosts = match (args.any_host, args.allow_host.is_empty()) {
        (true, _) => Some(Vec::new()),
        (false, true) => None,
        (false, false) => Some(hosts(&args.allow_host)?),
    };
    let description = text(args.description)?;
    let nothing = [
        hosts.is_none(),
        args.restricted.is_none(),
        description.is_none(),
        rotate_every.is_none(),
    ];
    if nothing == [true; 4] {
        return Err(Failure::usage(
            "nothing to change. Add --description, --allow-host, --any-host, --restricted or --rotate-every",
        ));
    }
    let session = context.session().await?;
    let describe = |id| {
        Action::SecretDescribe(SecretDescribe {
            id,
            name: name.clone(),
            hosts: hosts.clone(),
            restricted: args.restricted,
            description: description.clone(),
            rotate_every,
        })
    };
    let act = Box::pin(session.perform(describe(NO_SECRET), args.dry));
    let row = shown(active(&session, &name), act).await?;
    let (words, json) = (
        name.to_string(),
        json!({"name": name, "version": row.version}),
    );
    let outcome = session.perform(describe(row.id), args.dry).await?;
    outcome.report(context, ("described", &words, json))
}

/// The active secret of a name; fails as the change itself would.
pub(super) async fn active(session: &Session, name: &SecretName) -> Result<SecretRow, Failure> {
    let row = session.secret(name).await?;
    let (code, what) = match row.state {
        Lifecycle::Active => return Ok(row),
        Lifecycle::Deleted => (
            Code::Deleted,
            "deleted. Restore it first with `keyroll secret restore`",
        ),
        Lifecycle::Destroyed => (Code::Destroyed, "destroyed"),
    };
    Err(Failure::coded(code, format!("{name} is {what}")))
}
