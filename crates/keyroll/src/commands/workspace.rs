//! `keyroll workspace`.

use clap::Subcommand;
use keyroll_core::command::Nothing;
use keyroll_core::{Action, WorkspaceName};
use keyroll_wire::reply::{WorkspaceAt, WorkspaceRow};
use keyroll_wire::time::now;
use serde_json::json;

use super::member;
use crate::context::Context;
use crate::error::Failure;
use crate::options::DryRun;
use crate::output::Table;
use crate::secret_rows;
use crate::session::Session;
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// Create a workspace and become its owner (operators)
    #[command(after_help = "Example:\n  keyroll workspace create billing")]
    Create {
        /// Name of the workspace: lower-case letters, digits and hyphens
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// List the workspaces that you are a member of
    #[command(after_help = "Example:\n  keyroll workspace list")]
    List,
    /// Show the secrets, without values, and the members of the workspace
    #[command(
        after_help = "Examples:\n  keyroll workspace state\n  keyroll workspace state --at 120 --json"
    )]
    State {
        /// Show them as they were at P: a number of entries, an RFC 3339 time, or a duration ago
        /// [default: now]
        #[arg(long, value_name = "P")]
        at: Option<String>,
    },
}

pub(crate) async fn run(context: &Context, command: WorkspaceCommand) -> Result<(), Failure> {
    match command {
        WorkspaceCommand::Create { name, dry } => create(context, &name, dry).await,
        WorkspaceCommand::List => list(context).await,
        WorkspaceCommand::State { at } => state(context, at.as_deref()).await,
    }
}

async fn create(context: &Context, name: &str, dry: DryRun) -> Result<(), Failure> {
    let workspace: WorkspaceName = name.parse()?;
    let client = context.client().await?;
    let json = json!({"workspace": workspace});
    let words = format!("workspace {workspace} with you as its owner");
    let session = Session { client, workspace };
    let outcome = session.perform(Action::WorkspaceCreate(Nothing {}), dry);
    outcome.await?.report(context, ("created", &words, json))
}

async fn list(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let rows = client.workspaces().await?;
    let table = Table::<WorkspaceRow>(vec![
        ("WORKSPACE", |row| row.workspace.to_string()),
        ("ROLE", |row| row.role.as_str().to_owned()),
        ("ENTRIES", |row| row.size.to_string()),
    ]);
    let json = |row: &WorkspaceRow| json!({"workspace": row.workspace, "role": row.role, "entries": row.size});
    context.out.items(&rows, json, &table)
}

async fn state(context: &Context, at: Option<&str>) -> Result<(), Failure> {
    let session = context.session().await?;
    // One point for every page: entries that come meanwhile lie after it.
    let WorkspaceAt { at, root } = match at {
        Some(text) => session.point(time::point(text, now())?).await?,
        None => session.present().await?,
    };
    let mut members = session.members_at(Some(at)).await?;
    members.retain(|row| !row.removed);
    let mut secrets = secret_rows::all(&session, false, Some(at)).await?;
    secrets.extend(secret_rows::all(&session, true, Some(at)).await?);
    if context.out.json {
        return context.out.document(&json!({
            "workspace": session.workspace,
            "entries": at.size,
            "root": root,
            "at": time::rfc3339(at.time),
            "secrets": secrets.iter().map(secret_rows::json).collect::<Vec<_>>(),
            "members": members.iter().map(member::json).collect::<Vec<_>>(),
        }));
    }
    context.out.facts(
        &(),
        &[
            ("workspace", session.workspace.to_string()),
            ("entries", at.size.to_string()),
            ("root", root.to_string()),
        ],
    )?;
    context.out.line("")?;
    context
        .out
        .items(&members, member::json, &member::table())?;
    context.out.line("")?;
    context
        .out
        .items(&secrets, secret_rows::json, &secret_rows::table())
}
