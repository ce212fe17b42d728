//! `keyroll audit log`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use keyroll_api::Ask;
use keyroll_api::client::now;
use keyroll_api::query::{AuditLog, Outcome, PAGE_ROWS};
use keyroll_api::reply::{Answer, AuditRow, SecretVersion};
use keyroll_core::event::KINDS;
use keyroll_core::{Index, WorkspaceName};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
use crate::render::Table;
use crate::session::{Session, answer};
use crate::time;

/// How often the ledger is asked for news.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Entries that speak of this secret, by its present or a former name
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// Entries of this member: name or public key
    #[arg(long, value_name = "NAME|KEY")]
    actor: Option<String>,
    /// Events of this kind, such as secret.revealed
    #[arg(long, value_name = "EVENT")]
    action: Option<String>,
    /// Whether the actor got what was asked for
    #[arg(long)]
    outcome: Option<OutcomeArg>,
    /// Entries of this run of a block
    #[arg(long)]
    run: Option<String>,
    /// From this time on: RFC 3339, or how long ago
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Before this time: RFC 3339, or how long ago
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// The newest rows, at most this many
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Go on with what comes
    #[arg(long)]
    follow: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OutcomeArg {
    Granted,
    Denied,
}

pub(crate) async fn run(context: &Context, args: LogArgs) -> Result<(), Failure> {
    let (limit, goes_on) = (args.limit, args.follow);
    let session = context.session().await?;
    let filter = filter(&session, args).await?;
    let found = newest(&session, &filter, Some(limit)).await?;
    show(context, &session.workspace, &found.rows, true)?;
    if goes_on {
        follow(context, &session, filter, found.size).await
    } else {
        Ok(())
    }
}

async fn filter(session: &Session, args: LogArgs) -> Result<AuditLog, Failure> {
    let time = now();
    if let Some(action) = &args.action
        && !KINDS.iter().any(|kind| kind.1 == action)
    {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.1).collect();
        return Err(Failure::usage(format!(
            "{action:?} is no event; there are {}",
            known.join(", ")
        )));
    }
    let actor = match &args.actor {
        None => None,
        Some(text) => Some(match text.parse() {
            Ok(key) => key,
            Err(_) => session.member(text).await?.member,
        }),
    };
    Ok(AuditLog {
        run: args.run,
        actor,
        after: None,
        limit: PAGE_ROWS,
        since: args.since.map(|when| time::past(&when, time)).transpose()?,
        until: args.until.map(|when| time::past(&when, time)).transpose()?,
        action: args.action,
        before: None,
        secret: args.secret.map(|name| name.parse()).transpose()?,
        outcome: args.outcome.map(|outcome| match outcome {
            OutcomeArg::Granted => Outcome::Granted,
            OutcomeArg::Denied => Outcome::Denied,
        }),
    })
}

/// Every entry of a run of a block.
pub(crate) async fn of_run(session: &Session, run: &str) -> Result<Vec<AuditRow>, Failure> {
    let filter = AuditLog {
        run: Some(run.to_owned()),
        actor: None,
        after: None,
        limit: PAGE_ROWS,
        since: None,
        until: None,
        action: Some("secret.revealed".to_owned()),
        before: None,
        secret: None,
        outcome: Some(Outcome::Granted),
    };
    Ok(newest(session, &filter, None).await?.rows)
}

struct Found {
    /// The newest last.
    rows: Vec<AuditRow>,
    /// The first index that was not looked at.
    size: Index,
}

/// The newest rows that fit a filter, page by page backwards. Without a limit all of them.
async fn newest(
    session: &Session,
    filter: &AuditLog,
    limit: Option<u32>,
) -> Result<Found, Failure> {
    let mut pages: Vec<Vec<AuditRow>> = Vec::new();
    let (mut left, mut before, mut size) = (limit, filter.before, None);
    while left != Some(0) {
        let limit = left.map_or(PAGE_ROWS, |left| left.min(PAGE_ROWS));
        let ask = AuditLog {
            limit,
            before,
            ..filter.clone()
        };
        let answered = session.ask(Ask::AuditLog(ask)).await?;
        size = size.or(Some(answered.size.next_index()));
        let page = answer!(answered, Answer::AuditLog)?;
        let count = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
        left = left.map(|left| left.saturating_sub(count));
        pages.push(page.rows);
        match page.before {
            // Each page has to lie before the one before.
            Some(next) if before.is_none_or(|before| next < before) => before = Some(next),
            _ => break,
        }
    }
    let size = match size {
        Some(size) => size,
        None => Index(session.client.checkpoint(&session.workspace).await?.1.size),
    };
    let mut rows: Vec<AuditRow> = pages.into_iter().rev().flatten().collect();
    // Pages hold whole entries, and one of an import has hundreds of rows.
    if let Some(limit) = limit {
        rows.drain(..rows.len().saturating_sub(limit as usize));
    }
    Ok(Found { rows, size })
}

async fn follow(
    context: &Context,
    session: &Session,
    filter: AuditLog,
    mut next: Index,
) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(POLL).await;
        let ask = AuditLog {
            after: Some(next),
            ..filter.clone()
        };
        let found = newest(session, &ask, None).await?;
        show(context, &session.workspace, &found.rows, false)?;
        next = found.size.max(next);
    }
}

fn show(
    context: &Context,
    workspace: &WorkspaceName,
    rows: &[AuditRow],
    heading: bool,
) -> Result<(), Failure> {
    let table = table();
    if context.out.json || heading {
        return context
            .out
            .items(rows, |row| row_json(workspace, row), &table);
    }
    context.out.bytes(table.rows(rows).as_bytes())
}

fn table() -> Table<AuditRow> {
    Table(vec![
        ("INDEX", |row| row.index.to_string()),
        ("AT", |row| time::short(row.at)),
        ("ACTOR", |row| match &row.delegate_key {
            Some(key) => format!("{} (through {key})", row.actor_name),
            None => row.actor_name.clone(),
        }),
        ("EVENT", |row| match &row.attempted {
            Some(attempted) => format!("{} ({attempted})", row.kind),
            None => row.kind.clone(),
        }),
        ("SECRETS", |row| {
            row.secrets.iter().map(secret).collect::<Vec<_>>().join(" ")
        }),
        ("OUTCOME", |row| outcome(row.outcome).to_owned()),
        ("RUN", |row| match &row.run {
            Some(run) => format!("{}/{}/{}", run.workflow, run.block, run.run),
            None => String::new(),
        }),
        ("REASON", |row| row.reason.clone().unwrap_or_default()),
    ])
}

fn secret(secret: &SecretVersion) -> String {
    let version = secret
        .version
        .map(|version| format!("@{version}"))
        .unwrap_or_default();
    format!("{}{version}", secret.name)
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Granted => "granted",
        Outcome::Denied => "denied",
    }
}

fn row_json(workspace: &WorkspaceName, row: &AuditRow) -> Value {
    let secret = |secret: &SecretVersion| json!({"name": secret.name, "version": secret.version});
    json!({
        "workspace": workspace,
        "index": row.index,
        "at": time::rfc3339(row.at),
        "type": row.kind,
        "actor": row.actor,
        "actor_name": row.actor_name,
        "delegate_key": row.delegate_key,
        "secrets": row.secrets.iter().map(secret).collect::<Vec<_>>(),
        "outcome": outcome(row.outcome),
        "attempted": row.attempted,
        "reason": row.reason,
        "run": row.run.as_ref().map(|run| {
            json!({"workflow": run.workflow, "block": run.block, "run": run.run})
        }),
        "digest": row.digest,
    })
}

#[cfg(test)]
mod tests {
    use keyroll_api::reply::RunRow;
    use keyroll_core::{Digest, Identity, Millis, Version};

    use super::*;

    fn row() -> AuditRow {
        AuditRow {
            at: Millis(1_700_000_000_000),
            run: Some(RunRow {
                run: "r".into(),
                block: "b".into(),
                workflow: "w".into(),
            }),
            kind: "secret.revealed".to_owned(),
            actor: Identity([7; 32]),
            index: Index(12),
            digest: Digest([9; 32]),
            reason: None,
            outcome: Outcome::Granted,
            secrets: vec![SecretVersion {
                name: "API_Key".parse().expect("name"),
                version: Some(Version(3)),
            }],
            attempted: None,
            actor_name: "alice".to_owned(),
            delegate_key: None,
        }
    }

    #[test]
    fn programs_get_the_documented_fields() {
        let json = row_json(&"demo".parse().expect("name"), &row());
        for (field, value) in [
            ("workspace", json!("demo")),
            ("index", json!(12)),
            ("at", json!("2023-11-14T22:13:20.000Z")),
            ("type", json!("secret.revealed")),
            ("actor", json!(Identity([7; 32]).to_string())),
            ("actor_name", json!("alice")),
            ("secrets", json!([{"name": "API_Key", "version": 3}])),
            ("outcome", json!("granted")),
            ("run", json!({"workflow": "w", "block": "b", "run": "r"})),
            ("digest", json!("09".repeat(32))),
        ] {
            assert_eq!(json[field], value, "{field}");
        }
    }

    #[test]
    fn people_get_a_line_per_event() {
        let line = table().rows(&[row()]);
        let wanted =
            "12     2023-11-14 22:13:20Z  alice  secret.revealed  API_Key@3  granted  w/b/r\n";
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            wanted.split_whitespace().collect::<Vec<_>>()
        );
    }
}
