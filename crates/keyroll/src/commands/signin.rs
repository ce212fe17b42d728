//! `keyroll signin`: which keys act for members, and closing them.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use keyroll_core::command::SignInClose;
use keyroll_core::{Action, Code, Identity, MemberId, WorkspaceName};
use keyroll_wire::query::{PAGE_ROWS, Question, SignInList};
use keyroll_wire::reply::{Answer, SignInRow};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
use crate::output::Table;
use crate::session::Session;
use crate::time;

#[derive(Debug, Subcommand)]
pub(crate) enum SignInCommand {
    /// List open sign-ins: your own ones, and as an owner or auditor those of all members
    #[command(after_help = "Examples:\n  keyroll signin list\n  keyroll signin list --member ana")]
    List {
        /// Only sign-ins of this member: name or public key [default: all that you may see]
        #[arg(long, value_name = "NAME|KEY")]
        member: Option<String>,
    },
    /// Close sign-ins before they end: your own ones in all your workspaces, those of others in this workspace
    #[command(
        after_help = "Examples:\n  keyroll signin close ed25519:KEY\n  keyroll signin close --where https://keyroll.example.com"
    )]
    Close(CloseArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct CloseArgs {
    /// Keys of sign-ins, as `signin list` and the audit log show them; required without --all or --where
    #[arg(value_name = "ID")]
    keys: Vec<String>,
    /// Close all of your own
    #[arg(long)]
    all: bool,
    /// Close your own that are used there, such as a console's address [default: see --all]
    #[arg(long = "where", value_name = "LABEL")]
    origin: Option<String>,
}

pub(crate) async fn run(context: &Context, command: SignInCommand) -> Result<(), Failure> {
    let session = context.session().await?;
    match command {
        SignInCommand::List { member } => list(context, &session, member.as_deref()).await,
        SignInCommand::Close(args) => close(context, &session, args).await,
    }
}

/// All open sign-ins of a workspace that the caller may see.
async fn open_in(
    session: &Session,
    workspace: &WorkspaceName,
    member: Option<MemberId>,
) -> Result<Vec<SignInRow>, Failure> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let ask = Question::SignInList(SignInList {
            after,
            limit: PAGE_ROWS,
            member,
        });
        let answered = session.client.query(Some(workspace), ask).await?;
        let Answer::SignInList(page) = answered.answer else {
            return Err(keyroll_client::unexpected().into());
        };
        rows.extend(page.rows);
        // A `next` that does not advance would loop for ever.
        if page.next.is_none() || page.next == after {
            return Ok(rows);
        }
        after = page.next;
    }
}

async fn list(context: &Context, session: &Session, member: Option<&str>) -> Result<(), Failure> {
    let member = match member {
        Some(name) => Some(session.member(name).await?.member),
        None => None,
    };
    let rows = open_in(session, &session.workspace, member).await?;
    let table = Table(vec![
        ("MEMBER", |row: &SignInRow| row.name.to_string()),
        // A member claims where a sign-in is used.
        ("WHERE (CLAIMED)", |row| row.origin.to_string()),
        ("OPENED", |row| time::short(row.opened)),
        ("UNTIL", |row| time::short(row.until)),
        ("ID", |row| row.key.to_string()),
    ]);
    context.out.items(&rows, row_json, &table)
}

fn row_json(row: &SignInRow) -> Value {
    json!({
        "id": row.key,
        "member": row.member,
        "name": row.name,
        "where": row.origin,
        "opened": time::rfc3339(row.opened),
        "until": time::rfc3339(row.until),
    })
}

async fn close(context: &Context, session: &Session, args: CloseArgs) -> Result<(), Failure> {
    let own = session.client.member();
    let mut closed = Vec::new();
    let mut mine = BTreeSet::new();
    if !args.keys.is_empty() {
        let here = open_in(session, &session.workspace, None).await?;
        for text in &args.keys {
            let key: Identity = text
                .parse()
                .map_err(|error| Failure::usage(format!("{text}: {error}")))?;
            let others = here.iter().find(|row| row.key == key && row.member != own);
            if let Some(row) = others {
                let member = Some(row.member);
                if close_one(session, &session.workspace, SignInClose { key, member }).await? {
                    closed.push((key, session.workspace.clone()));
                }
            } else {
                mine.insert(key);
            }
        }
    }
    let all = args.all || args.origin.is_some();
    let known = own_sign_ins(session, own).await?;
    if all {
        let origin = args.origin.as_deref();
        let wanted = known
            .iter()
            .filter(|(_, row)| origin.is_none_or(|origin| row.origin.as_str() == origin));
        mine.extend(wanted.map(|(_, row)| row.key));
    }
    closed.extend(close_own(session, &known, mine).await?);
    report(context, &closed)
}

type Known = (WorkspaceName, SignInRow);

/// The caller's own open sign-ins in all workspaces.
async fn own_sign_ins(session: &Session, own: MemberId) -> Result<Vec<Known>, Failure> {
    let mut known = Vec::new();
    for row in session.client.workspaces().await? {
        let rows = open_in(session, &row.workspace, Some(own)).await?;
        known.extend(rows.into_iter().map(|open| (row.workspace.clone(), open)));
    }
    Ok(known)
}

/// Closes own sign-ins: with the member's own key in every workspace, opened there or not; with a sign-in where
/// they are open. The sign-in that signs comes last.
async fn close_own(
    session: &Session,
    known: &[Known],
    keys: BTreeSet<Identity>,
) -> Result<Vec<(Identity, WorkspaceName)>, Failure> {
    let signed_in = session.client.signer().consent().map(|consent| consent.key);
    let mut keys: Vec<Identity> = keys.into_iter().collect();
    keys.sort_by_key(|key| Some(*key) == signed_in);
    let workspaces = session.client.workspaces().await?;
    let mut closed = Vec::new();
    for key in keys {
        for row in &workspaces {
            let open = |(workspace, open): &Known| *workspace == row.workspace && open.key == key;
            if signed_in.is_some() && !known.iter().any(open) {
                continue;
            }
            let close = SignInClose { key, member: None };
            if close_one(session, &row.workspace, close).await? {
                closed.push((key, row.workspace.clone()));
            }
        }
    }
    Ok(closed)
}

/// Closes a sign-in; false where it was closed before.
async fn close_one(
    session: &Session,
    workspace: &WorkspaceName,
    close: SignInClose,
) -> Result<bool, Failure> {
    let acted = session
        .client
        .execute(workspace, Action::SignInClose(close));
    match acted.await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Code::Conflict => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn report(context: &Context, closed: &[(Identity, WorkspaceName)]) -> Result<(), Failure> {
    let rows: Vec<Value> = closed
        .iter()
        .map(|(key, workspace)| json!({"id": key, "workspace": workspace}))
        .collect();
    let words: Vec<String> = closed
        .iter()
        .map(|(key, workspace)| format!("closed {key} in {workspace}"))
        .collect();
    let words = if words.is_empty() {
        "nothing to close: every sign-in that was meant is closed".to_owned()
    } else {
        words.join("\n")
    };
    context.out.done(&json!({"closed": rows}), &words)
}
