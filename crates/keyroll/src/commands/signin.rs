//! `keyroll signin`: which keys act for members, and closing them.

mod close;

use clap::Subcommand;
use keyroll_core::{MemberId, WorkspaceName};
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
        after_help = "Examples:\n  keyroll signin close --where https://keyroll.example.com\n  keyroll signin close ed25519:KEY --member ana"
    )]
    Close(close::CloseArgs),
}

pub(crate) async fn run(context: &Context, command: SignInCommand) -> Result<(), Failure> {
    let session = context.session().await?;
    match command {
        SignInCommand::List { member } => list(context, &session, member.as_deref()).await,
        SignInCommand::Close(args) => close::run(context, &session, args).await,
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
