//! `keyroll member`.

use clap::{Args, Subcommand, ValueEnum};
use keyroll_core::authorize::{Permission, Role, allows};
use keyroll_core::command::{MemberRecord, MemberRemove};
use keyroll_core::{Action, Glob, Identity, Millis};
use keyroll_wire::reply::MemberRow;
use keyroll_wire::time::now;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
use crate::input::{can_confirm, confirm};
use crate::options::DryRun;
use crate::output::Table;
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// Let somebody in
    Add(AddArgs),
    /// Change what a member is called and may do; what is not named stays
    Change(ChangeArgs),
    /// Let a member no longer in
    Remove {
        /// Name or public key
        #[arg(value_name = "NAME|KEY")]
        member: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Members
    List {
        /// Former members too
        #[arg(long)]
        removed: bool,
        /// As they were: after N entries, at an RFC 3339 time, or a duration ago
        #[arg(long, value_name = "P")]
        at: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Display name, unique in the workspace
    name: String,
    /// Public key, as `keyroll identity show` prints it
    key: String,
    /// What the member may do
    #[arg(long)]
    role: RoleArg,
    /// Names of the secrets the member may touch: a pattern with * and ? [default: *]
    #[arg(long, value_name = "GLOB")]
    secrets: Vec<String>,
    /// When the membership ends: RFC 3339, or a duration from now
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Name or public key
    #[arg(value_name = "NAME|KEY")]
    member: String,
    /// Another display name
    #[arg(long)]
    name: Option<String>,
    /// Another role
    #[arg(long)]
    role: Option<RoleArg>,
    /// Other patterns; they replace the present ones
    #[arg(long, value_name = "GLOB")]
    secrets: Vec<String>,
    /// When the membership ends: RFC 3339, a duration from now, or `never`
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    /// Everything
    Owner,
    /// Secrets, their values included
    Editor,
    /// Names and history, never values
    Viewer,
    /// Names and history, and the whole audit log
    Auditor,
    /// Values for blocks, within its own patterns
    Runner,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Owner => Self::Owner,
            RoleArg::Editor => Self::Editor,
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Auditor => Self::Auditor,
            RoleArg::Runner => Self::Runner,
        }
    }
}

pub(crate) async fn run(context: &Context, command: MemberCommand) -> Result<(), Failure> {
    match command {
        MemberCommand::Add(args) => add(context, args).await,
        MemberCommand::Change(args) => change(context, args).await,
        MemberCommand::Remove { member, dry } => remove(context, &member, dry).await,
        MemberCommand::List { removed, at } => list(context, removed, at.as_deref()).await,
    }
}

fn globs(patterns: &[String]) -> Result<Vec<Glob>, Failure> {
    patterns
        .iter()
        .map(|pattern| pattern.parse().map_err(Failure::from))
        .collect()
}

async fn add(context: &Context, args: AddArgs) -> Result<(), Failure> {
    let key: Identity = args
        .key
        .parse()
        .map_err(|error| Failure::usage(format!("{error}")))?;
    let patterns = globs(&args.secrets)?;
    let record = MemberRecord {
        name: args.name.parse()?,
        role: args.role.into(),
        member: key,
        expires: args
            .expires
            .map(|when| time::future(&when, now()))
            .transpose()?,
        secrets: if patterns.is_empty() {
            vec![Glob::any()]
        } else {
            patterns
        },
    };
    let words = words(&record);
    let json = json!({"name": record.name, "member": record.member, "role": record.role});
    let session = context.session().await?;
    let unbound = (!record.secrets.contains(&Glob::any())).then_some(record.role);
    let outcome = session.perform(Action::MemberAdd(record), args.dry).await?;
    note_unbound(context, unbound);
    outcome.report(context, ("added", &words, json))
}

/// Patterns do not narrow the audit log: whoever gives them to a member who reads it should know.
fn note_unbound(context: &Context, bounded: Option<Role>) {
    if bounded.is_some_and(|role| allows(role, Permission::Audit)) {
        context.out.note(
            "note: the patterns bound which secrets this member may touch, not the audit log: it shows the \
             names of all secrets (see docs/roles.md)",
        );
    }
}

async fn change(context: &Context, args: ChangeArgs) -> Result<(), Failure> {
    let unchanged = args.name.is_none()
        && args.role.is_none()
        && args.secrets.is_empty()
        && args.expires.is_none();
    if unchanged {
        return Err(Failure::usage(
            "what is to change? Say --name, --role, --secrets or --expires",
        ));
    }
    let patterns = globs(&args.secrets)?;
    let role = args.role.map(Role::from);
    let workspace = context.settings()?.workspace()?;
    let question = role.map(|role| {
        let (member, role) = (&args.member, role.as_str());
        format!("Make {member} {role} in {workspace}?")
    });
    if let Some(question) = question.as_deref().filter(|_| !args.dry.dry_run) {
        can_confirm(context, question)?;
    }
    let session = context.session().await?;
    let row = session.member(&args.member).await?;
    if let (Some(role), false) = (role, args.dry.dry_run) {
        let (name, was) = (&row.name, row.role.as_str());
        let role = role.as_str();
        let question = format!("Change the role of {name} in {workspace} from {was} to {role}?");
        confirm(context, &question)?;
    }
    let record = MemberRecord {
        name: args.name.map_or(Ok(row.name), |name| name.parse())?,
        role: role.unwrap_or(row.role),
        member: row.member,
        expires: match args.expires.as_deref() {
            None => row.expires,
            Some("never") => None,
            Some(when) => Some(time::future(when, now())?),
        },
        secrets: if patterns.is_empty() {
            row.secrets
        } else {
            patterns
        },
    };
    let words = words(&record);
    let json = json!({"name": record.name, "member": record.member, "role": record.role});
    let unbound = (!record.secrets.contains(&Glob::any())).then_some(record.role);
    let outcome = session
        .perform(Action::MemberChange(record), args.dry)
        .await?;
    note_unbound(context, unbound);
    outcome.report(context, ("changed", &words, json))
}

async fn remove(context: &Context, member: &str, dry: DryRun) -> Result<(), Failure> {
    let workspace = context.settings()?.workspace()?;
    let question = |who: &str| {
        format!("Remove {who} from {workspace}? From the next command on it may do nothing here.")
    };
    if !dry.dry_run {
        can_confirm(context, &question(member))?;
    }
    let session = context.session().await?;
    let row = session.member(member).await?;
    if !dry.dry_run {
        confirm(
            context,
            &question(&format!("{} ({})", row.name, row.member)),
        )?;
    }
    let json = json!({"name": row.name, "member": row.member});
    let action = Action::MemberRemove(MemberRemove { member: row.member });
    let outcome = session.perform(action, dry).await?;
    outcome.report(context, ("removed", row.name.as_str(), json))
}

async fn list(context: &Context, removed: bool, at: Option<&str>) -> Result<(), Failure> {
    let session = context.session().await?;
    let at = session.moment(at).await?;
    let mut rows = session.members_at(at).await?;
    rows.retain(|row| removed || !row.removed);
    context.out.items(&rows, json, &table())
}

/// A member for programs.
pub(crate) fn json(row: &MemberRow) -> Value {
    json!({
        "name": row.name,
        "member": row.member,
        "role": row.role,
        "secrets": row.secrets,
        "expires": row.expires.map(time::rfc3339),
        "removed": row.removed,
    })
}

/// Members for people.
pub(crate) fn table() -> Table<MemberRow> {
    Table(vec![
        ("MEMBER", |row| row.name.to_string()),
        ("ROLE", |row| {
            if row.removed {
                "removed".to_owned()
            } else {
                row.role.as_str().to_owned()
            }
        }),
        ("SECRETS", |row| join(&row.secrets)),
        ("EXPIRES", |row| {
            row.expires.map_or_else(|| "never".to_owned(), expiry)
        }),
        ("KEY", |row| row.member.to_string()),
    ])
}

fn expiry(at: Millis) -> String {
    let note = if at <= now() { " (over)" } else { "" };
    format!("{}{note}", time::short(at))
}

fn join(globs: &[Glob]) -> String {
    globs.iter().map(Glob::as_str).collect::<Vec<_>>().join(" ")
}

/// A record in words.
fn words(record: &MemberRecord) -> String {
    format!(
        "{} ({}) of {}",
        record.name,
        record.role.as_str(),
        join(&record.secrets)
    )
}
