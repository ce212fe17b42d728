//! `keyroll workspace`.

use clap::Subcommand;
use keyroll_api::Ask;
use keyroll_api::reply::{Answer, MemberRow, SecretRow, WorkspaceRow};
use keyroll_core::command::Nothing;
use keyroll_core::{Action, Code, WorkspaceName};
use serde_json::json;

use super::member;
use super::secret::rows;
use crate::cli::DryRun;
use crate::context::Context;
use crate::error::Failure;
use crate::render::Table;
use crate::session::{Session, answer, ask_ledger};

/// How often a state is read again because the workspace changed meanwhile.
const STATE_ATTEMPTS: usize = 5;

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// Make a workspace and become its owner (operators)
    Create {
        /// Lower-case letters, digits and hyphens
        name: String,
        #[command(flatten)]
        dry: DryRun,
    },
    /// Workspaces you are a member of
    List,
    /// Names, versions and members, never values
    State,
}

pub(crate) async fn run(context: &Context, command: WorkspaceCommand) -> Result<(), Failure> {
    match command {
        WorkspaceCommand::Create { name, dry } => create(context, &name, dry).await,
        WorkspaceCommand::List => list(context).await,
        WorkspaceCommand::State => state(context).await,
    }
}

async fn create(context: &Context, name: &str, dry: DryRun) -> Result<(), Failure> {
    let workspace: WorkspaceName = name.parse()?;
    if dry.dry_run {
        let json = json!({"dry_run": true, "workspace": workspace});
        return context
            .out
            .done(&json, &format!("would create workspace {workspace}"));
    }
    let client = context.client().await?;
    let acted = client
        .act(&workspace, Action::WorkspaceCreate(Nothing {}))
        .await?;
    let json = json!({"workspace": workspace, "index": acted.index, "receipt": acted.receipt});
    context.out.done(
        &json,
        &format!("created workspace {workspace} and became its owner"),
    )
}

async fn list(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let answered = ask_ledger(&client, Ask::WorkspaceList(Nothing {})).await?;
    let rows = answer!(answered, Answer::WorkspaceList)?.rows;
    let table = Table::<WorkspaceRow>(vec![
        ("WORKSPACE", |row| row.workspace.to_string()),
        ("ROLE", |row| row.role.as_str().to_owned()),
        ("ENTRIES", |row| row.size.to_string()),
    ]);
    let json = |row: &WorkspaceRow| json!({"workspace": row.workspace, "role": row.role, "entries": row.size});
    context.out.items(&rows, json, &table)
}

/// Members and secrets at one size of the workspace.
struct State {
    size: u64,
    root: String,
    secrets: Vec<SecretRow>,
    members: Vec<MemberRow>,
}

async fn state(context: &Context) -> Result<(), Failure> {
    let session = context.session().await?;
    let mut found = None;
    for _ in 0..STATE_ATTEMPTS {
        found = one_state(&session).await?;
        if found.is_some() {
            break;
        }
    }
    let Some(state) = found else {
        return Err(Failure::coded(
            Code::Busy,
            "the workspace changes too fast to be shown as one",
        ));
    };
    if context.out.json {
        return context.out.document(&json!({
            "workspace": session.workspace,
            "entries": state.size,
            "root": state.root,
            "secrets": state.secrets.iter().map(rows::json).collect::<Vec<_>>(),
            "members": state.members.iter().map(member::json).collect::<Vec<_>>(),
        }));
    }
    context.out.facts(
        &(),
        &[
            ("workspace", session.workspace.to_string()),
            ("entries", state.size.to_string()),
            ("root", state.root),
        ],
    )?;
    context.out.line("")?;
    context
        .out
        .items(&state.members, member::json, &member::table())?;
    context.out.line("")?;
    context
        .out
        .items(&state.secrets, rows::json, &rows::table())
}

/// `None` when an entry came in between: the parts would not belong together.
async fn one_state(session: &Session) -> Result<Option<State>, Failure> {
    let first = session.ask(Ask::MemberList(Nothing {})).await?;
    let (size, root) = (first.size, first.root.to_string());
    let mut members = answer!(first, Answer::MemberList)?.rows;
    members.retain(|row| !row.removed);
    let mut active = rows::all(session, false).await?;
    let gone = rows::all(session, true).await?;
    if active.size != size || gone.size != size {
        return Ok(None);
    }
    active.secrets.extend(gone.secrets);
    Ok(Some(State {
        size: size.0,
        root,
        secrets: active.secrets,
        members,
    }))
}
