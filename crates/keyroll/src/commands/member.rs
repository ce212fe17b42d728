//! `keyroll member`.

mod everywhere;
mod invite;

use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};
use keyroll_core::command::{MemberRecord, MemberRemove};
use keyroll_core::roles::{Permission, Role, allows};
use keyroll_core::{Action, Glob, Identity, Millis};
use keyroll_wire::reply::{InvitationRow, MemberRow};
use keyroll_wire::time::now;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
use crate::input::{Confirmation, can_confirm, confirm};
use crate::options::DryRun;
use crate::output::Table;
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// Add a member
    #[command(
        after_help = "Examples:\n  keyroll member add ana ed25519:KEY --role editor\n  keyroll member add ci ed25519:KEY --role runner --secrets 'deploy_*' --expires 90d"
    )]
    Add(AddArgs),
    /// Invite somebody, and print the link for them. They join with a key of their own
    #[command(
        after_help = "Examples:\n  keyroll member invite ana --role editor\n  keyroll member invite ana --renew"
    )]
    Invite(invite::InviteArgs),
    /// Confirm who accepted an invitation, once you have compared fingerprints
    #[command(
        after_help = "Examples:\n  keyroll member confirm ana\n  keyroll member confirm ana --fingerprint 7K2M-…"
    )]
    Confirm(invite::ConfirmArgs),
    /// End an invitation that nobody has joined by. Its link is then of no use
    #[command(after_help = "Example:\n  keyroll member revoke ana")]
    Revoke {
        /// Name in the invitation
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Change a member's name, role, patterns or end. The rest stays as it is
    #[command(
        after_help = "Examples:\n  keyroll member change ana --role auditor\n  keyroll member change ana --secrets 'stripe_*' --expires never"
    )]
    Change(ChangeArgs),
    /// Remove a member. The ledger refuses the member's commands from then on
    #[command(
        after_help = "Examples:\n  keyroll member remove ana\n  keyroll member remove ana --all-workspaces"
    )]
    Remove {
        /// Member: name or public key
        #[arg(value_name = "NAME|KEY")]
        member: String,
        /// Remove the person from all of your workspaces, as far as you may
        #[arg(long)]
        all_workspaces: bool,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List the members of the workspace, and who is invited
    #[command(
        after_help = "Examples:\n  keyroll member list\n  keyroll member list --removed --at 2h"
    )]
    List {
        /// Also list former members
        #[arg(long)]
        removed: bool,
        /// List them as they were at P: a number of entries, an RFC 3339 time, or a duration ago
        /// [default: now]
        #[arg(long, value_name = "P")]
        at: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Name of the member, unique in the workspace
    name: String,
    /// Public key of the member, as `keyroll identity show` prints it
    key: String,
    /// Role of the member
    #[arg(long)]
    role: RoleArg,
    /// Pattern with * and ? of the secrets that the member may access; repeat it for more
    /// [default: *]
    #[arg(long, value_name = "GLOB")]
    secrets: Vec<String>,
    /// When the membership ends: an RFC 3339 time, or a duration from now [default: never]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Member: name or public key
    #[arg(value_name = "NAME|KEY")]
    member: String,
    /// New name [default: unchanged]
    #[arg(long)]
    name: Option<String>,
    /// New role [default: unchanged]
    #[arg(long)]
    role: Option<RoleArg>,
    /// Pattern in place of the present ones; repeat it for more [default: unchanged]
    #[arg(long, value_name = "GLOB")]
    secrets: Vec<String>,
    /// When the membership ends: an RFC 3339 time, a duration from now, or `never`
    /// [default: unchanged]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

/// A role, as an argument: its choices and their words are those of [`Role`].
#[derive(Debug, Clone, Copy)]
pub(super) struct RoleArg(Role);

impl ValueEnum for RoleArg {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: [RoleArg; Role::ALL.len()] = {
            let mut all = [RoleArg(Role::Owner); Role::ALL.len()];
            let mut at = 0;
            while at < all.len() {
                all[at] = RoleArg(Role::ALL[at]);
                at += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.as_str()).help(self.0.about()))
    }
}

impl From<RoleArg> for Role {
    fn from(RoleArg(role): RoleArg) -> Self {
        role
    }
}

pub(crate) async fn run(context: &Context, command: MemberCommand) -> Result<(), Failure> {
    match command {
        MemberCommand::Add(args) => add(context, args).await,
        MemberCommand::Change(args) => change(context, args).await,
        MemberCommand::Invite(args) => invite::invite(context, args).await,
        MemberCommand::Confirm(args) => invite::confirm(context, args).await,
        MemberCommand::Revoke { name, dry } => invite::revoke(context, &name, dry).await,
        MemberCommand::Remove {
            member,
            all_workspaces: true,
            dry,
        } => everywhere::remove(context, &member, dry).await,
        MemberCommand::Remove { member, dry, .. } => remove(context, &member, dry).await,
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
        member: key.into(),
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

/// Notes that patterns do not narrow the audit log, where a bounded member may read it.
fn note_unbound(context: &Context, bounded: Option<Role>) {
    if bounded.is_some_and(|role| allows(role, Permission::Audit)) {
        context.out.note(
            "note: the patterns limit which secrets this member may access. They do not limit the audit log, \
             which shows the names of all secrets (see docs/roles.md)",
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
            "nothing to change. Add --name, --role, --secrets or --expires",
        ));
    }
    let patterns = globs(&args.secrets)?;
    let role = args.role.map(Role::from);
    let workspace = context.settings()?.workspace()?;
    if let (Some(role), false) = (role, args.dry.dry_run) {
        let (member, role) = (&args.member, role.as_str());
        let confirmation = Confirmation {
            question: format!("Make {member} {role} in {workspace}?"),
            refusal: format!("{member} was not changed"),
        };
        can_confirm(context, &confirmation)?;
    }
    let session = context.session().await?;
    let row = session.member(&args.member).await?;
    if let (Some(role), false) = (role, args.dry.dry_run) {
        let (name, was) = (&row.name, row.role.as_str());
        let role = role.as_str();
        let confirmation = Confirmation {
            question: format!("Change the role of {name} in {workspace} from {was} to {role}?"),
            refusal: format!("{name} was not changed"),
        };
        confirm(context, &confirmation)?;
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
    let confirmation = |who: &str| Confirmation {
        question: format!(
            "Remove {who} from {workspace}? The ledger then refuses all commands of this member."
        ),
        refusal: format!("{who} was not removed"),
    };
    if !dry.dry_run {
        can_confirm(context, &confirmation(member))?;
    }
    let session = context.session().await?;
    let row = session.member(member).await?;
    if !dry.dry_run {
        confirm(
            context,
            &confirmation(&format!("{} ({})", row.name, row.member)),
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
    let mut listed: Vec<Listed> = rows.into_iter().map(Listed::Member).collect();
    // Only the present has invitations: the ledger keeps no history of them but the log.
    if at.is_none() {
        let invited = session.client.invitations(&session.workspace).await?;
        listed.extend(invited.into_iter().map(Listed::Invited));
    }
    context.out.items(&listed, Listed::json, &Listed::table())
}

/// A row of the list of members.
enum Listed {
    Member(MemberRow),
    Invited(InvitationRow),
}

impl Listed {
    fn json(&self) -> Value {
        match self {
            Self::Member(row) => json(row),
            Self::Invited(row) => invite::row_json(row),
        }
    }

    fn table() -> Table<Self> {
        Table(vec![
            ("MEMBER", |row| match row {
                Self::Member(row) => row.name.to_string(),
                Self::Invited(row) => row.name.to_string(),
            }),
            ("ROLE", |row| match row {
                Self::Member(row) => role(row),
                Self::Invited(row) => invite::state(row),
            }),
            ("SECRETS", |row| match row {
                Self::Member(row) => join(&row.secrets),
                Self::Invited(row) => join(&row.secrets),
            }),
            ("EXPIRES", |row| match row {
                Self::Member(row) => end(row.expires),
                Self::Invited(row) => end(row.expires),
            }),
            ("KEY", |row| match row {
                Self::Member(row) => row.member.to_string(),
                Self::Invited(row) => invite::key(row),
            }),
        ])
    }
}

fn role(row: &MemberRow) -> String {
    if row.removed {
        return "removed".to_owned();
    }
    row.role.as_str().to_owned()
}

fn end(expires: Option<Millis>) -> String {
    expires.map_or_else(|| "never".to_owned(), expiry)
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
        ("ROLE", role),
        ("SECRETS", |row| join(&row.secrets)),
        ("EXPIRES", |row| end(row.expires)),
        ("KEY", |row| row.member.to_string()),
    ])
}

fn expiry(at: Millis) -> String {
    let note = if at <= now() { " (expired)" } else { "" };
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
