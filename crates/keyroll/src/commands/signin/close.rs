//! `keyroll signin close`: every workspace is tried, whatever fails in another.

use std::collections::{BTreeMap, BTreeSet};

use clap::{ArgGroup, Args};
use keyroll_core::command::SignInClose;
use keyroll_core::{Action, Code, Identity, MemberId, WorkspaceName};
use keyroll_wire::reply::SignInRow;
use serde_json::{Value, json};

use super::open_in;
use crate::context::Context;
use crate::error::Failure;
use crate::session::Session;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["keys", "all", "origin"])))]
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
    /// The keys are of this member: close them in this workspace [default: you, or as `signin list` shows it]
    #[arg(long, value_name = "NAME|KEY", requires = "keys")]
    member: Option<String>,
}

/// What came of closing.
#[derive(Default)]
struct Closing {
    closed: Vec<(Identity, WorkspaceName)>,
    /// Keys that are none of the caller's sign-ins, and will not be.
    blocked: Vec<(Identity, WorkspaceName)>,
    failed: Vec<(Option<Identity>, WorkspaceName, Failure)>,
}

pub(super) async fn run(
    context: &Context,
    session: &Session,
    args: CloseArgs,
) -> Result<(), Failure> {
    let keys = args.keys.iter().map(|text| {
        let key = text.parse::<Identity>();
        key.map_err(|error| Failure::usage(format!("{text}: {error}")))
    });
    let keys: BTreeSet<Identity> = keys.collect::<Result<_, _>>()?;
    let own = session.client.member();
    let mut done = Closing::default();
    let member = match &args.member {
        Some(name) => Some(session.member(name).await?.member),
        None => None,
    };
    if let Some(member) = member.filter(|member| *member != own) {
        for key in keys {
            close_of(session, (key, member), &mut done).await;
        }
        return report(context, done);
    }
    let mut mine = BTreeSet::new();
    let others = others(session, own, &keys, &mut done).await;
    for key in keys {
        match others.get(&key) {
            Some(member) => close_of(session, (key, *member), &mut done).await,
            None => {
                mine.insert(key);
            }
        }
    }
    if args.all || args.origin.is_some() || !mine.is_empty() {
        let wanted = |row: &SignInRow| {
            let there = args.origin.as_deref() == Some(row.origin.as_str());
            args.all || there
        };
        close_own(session, mine, wanted, &mut done).await?;
    }
    report(context, done)
}

/// The members, other than the caller, whose sign-ins in this workspace have these keys.
async fn others(
    session: &Session,
    own: MemberId,
    keys: &BTreeSet<Identity>,
    done: &mut Closing,
) -> BTreeMap<Identity, MemberId> {
    if keys.is_empty() {
        return BTreeMap::new();
    }
    match open_in(session, &session.workspace, None).await {
        Ok(rows) => {
            let others = rows.into_iter().filter(|row| row.member != own);
            let others = others.filter(|row| keys.contains(&row.key));
            others.map(|row| (row.key, row.member)).collect()
        }
        Err(failure) => {
            let workspace = session.workspace.clone();
            done.failed.push((None, workspace, failure));
            BTreeMap::new()
        }
    }
}

async fn close_of(session: &Session, (key, member): (Identity, MemberId), done: &mut Closing) {
    let close = SignInClose {
        key,
        member: Some(member),
    };
    let here = session.workspace.clone();
    match close_one(session, &here, close).await {
        Ok(true) => done.closed.push((key, here)),
        Ok(false) => {}
        Err(failure) => done.failed.push((Some(key), here, failure)),
    }
}

/// Closes own sign-ins: with the member's own key in every workspace, opened there or not; with a sign-in where
/// they are open. The sign-in that signs comes last.
async fn close_own(
    session: &Session,
    mut keys: BTreeSet<Identity>,
    wanted: impl Fn(&SignInRow) -> bool,
    done: &mut Closing,
) -> Result<(), Failure> {
    let own = session.client.member();
    let mut known: BTreeMap<WorkspaceName, Option<BTreeSet<Identity>>> = BTreeMap::new();
    let workspaces = match session.client.workspaces().await {
        Ok(rows) => rows.into_iter().map(|row| row.workspace).collect(),
        Err(error) if keys.is_empty() => return Err(error.into()),
        Err(error) => {
            let failure = Failure::from(error).within("your workspaces cannot be listed");
            let failed = (None, session.workspace.clone(), failure);
            done.failed.push(failed);
            vec![session.workspace.clone()]
        }
    };
    for workspace in workspaces {
        // Where the list fails, the keys may be open.
        let rows = match open_in(session, &workspace, Some(own)).await {
            Ok(rows) => Some(rows),
            Err(failure) => {
                let failed = (None, workspace.clone(), failure);
                done.failed.push(failed);
                None
            }
        };
        let rows = rows.map(|rows| {
            let fitting = rows.iter().filter(|row| wanted(row));
            keys.extend(fitting.map(|row| row.key));
            rows.into_iter().map(|row| row.key).collect()
        });
        known.insert(workspace, rows);
    }
    let signed_in = session.client.signer().consent().map(|consent| consent.key);
    let mut keys: Vec<Identity> = keys.into_iter().collect();
    keys.sort_by_key(|key| Some(*key) == signed_in);
    for key in keys {
        let is_in = |open: &Option<BTreeSet<Identity>>| match open {
            Some(open) => open.contains(&key),
            None => true,
        };
        let is_own = known.values().any(is_in);
        for (workspace, open) in &known {
            if signed_in.is_some() && !is_in(open) {
                continue;
            }
            let close = SignInClose { key, member: None };
            let into = match close_one(session, workspace, close).await {
                Ok(true) if is_own => &mut done.closed,
                Ok(true) => &mut done.blocked,
                Ok(false) => continue,
                Err(failure) => {
                    let failed = (Some(key), workspace.clone(), failure);
                    done.failed.push(failed);
                    continue;
                }
            };
            into.push((key, workspace.clone()));
        }
    }
    Ok(())
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

fn report(context: &Context, done: Closing) -> Result<(), Failure> {
    let Closing {
        closed,
        blocked,
        failed,
    } = done;
    let rows = |of: &[(Identity, WorkspaceName)]| {
        let row = |(key, workspace): &(Identity, WorkspaceName)| json!({"id": key, "workspace": workspace});
        of.iter().map(row).collect::<Vec<Value>>()
    };
    let not: Vec<Value> = failed
        .iter()
        .map(|(key, workspace, why)| {
            json!({"id": key, "workspace": workspace, "code": why.code(), "message": why.message()})
        })
        .collect();
    let document = json!({"closed": rows(&closed), "blocked": rows(&blocked), "failed": not});
    let mut words: Vec<String> = closed
        .iter()
        .map(|(key, workspace)| format!("closed {key} in {workspace}"))
        .collect();
    words.extend(blocked.iter().map(|(key, workspace)| {
        format!(
            "{key} is none of your sign-ins. It is blocked for you in {workspace}. Name the member whose it is with \
             --member"
        )
    }));
    if words.is_empty() && failed.is_empty() {
        words.push("nothing to close: every sign-in that was meant is closed".to_owned());
    }
    if !words.is_empty() || context.out.json {
        context.out.done(&document, &words.join("\n"))?;
    }
    not_closed(&closed, failed)
}

/// The failure that names what was closed and what was not.
fn not_closed(
    closed: &[(Identity, WorkspaceName)],
    failed: Vec<(Option<Identity>, WorkspaceName, Failure)>,
) -> Result<(), Failure> {
    let place = |(key, workspace): &(Identity, WorkspaceName)| format!("{key} in {workspace}");
    let closed: Vec<String> = closed.iter().map(place).collect();
    let mut left: Vec<String> = Vec::new();
    let mut first = None;
    for (key, workspace, failure) in failed {
        let what = match key {
            Some(key) => format!("{key} in {workspace}"),
            None => format!("what is open in {workspace}"),
        };
        left.push(format!("{what} ({})", failure.message()));
        first = first.or(Some(failure));
    }
    let Some(first) = first else { return Ok(()) };
    let done = if closed.is_empty() {
        "nothing was closed".to_owned()
    } else {
        format!("closed: {}", closed.join(", "))
    };
    let message = format!(
        "{done}; not closed, or not known: {}. Try again: what is closed stays so",
        left.join(", ")
    );
    Err(first.saying(message))
}
