//! `keyroll audit log`.

mod pages;

use std::time::Duration;

use clap::{Args, ValueEnum};
use keyroll_core::command::Purpose;
use keyroll_core::event::KINDS;
use keyroll_core::{Index, WorkspaceName};
use keyroll_wire::query::{AuditLog, AuditOutcome, PAGE_ROWS};
use keyroll_wire::reply::{AuditRow, SecretVersion};
use keyroll_wire::time::now;
use serde_json::{Value, json};

use self::pages::AuditPages;
use crate::context::Context;
use crate::error::Failure;
use crate::output::{Table, Widths};
use crate::session::Session;
use crate::time;

/// How often `--follow` asks for new entries.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Only entries about this secret, by its present or a former name [default: all secrets]
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// Only entries of this member: name or public key [default: all members]
    #[arg(long, value_name = "NAME|KEY")]
    actor: Option<String>,
    /// Only events of this type, such as secret.revealed [default: all types]
    #[arg(long, value_name = "EVENT")]
    action: Option<String>,
    /// Only commands that the ledger granted or denied [default: both]
    #[arg(long)]
    outcome: Option<OutcomeArg>,
    /// Only entries of this run of a block [default: all]
    #[arg(long)]
    run: Option<String>,
    /// Only entries since this time: RFC 3339, or a duration ago [default: the beginning]
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only entries before this time: RFC 3339, or a duration ago [default: now]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// How many rows at most, the newest ones
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Keep running, and print new entries as they come
    #[arg(long)]
    follow: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OutcomeArg {
    /// The ledger carried the command out
    Granted,
    /// The ledger refused the command
    Denied,
}

pub(crate) async fn run(context: &Context, args: LogArgs) -> Result<(), Failure> {
    let (limit, goes_on) = (args.limit, args.follow);
    let session = context.session().await?;
    let filter = filter(&session, args).await?;
    let mut found = AuditPages::newest(&session, filter.clone(), Some(limit)).await?;
    let mut shown = LogTable::default();
    while let Some(rows) = found.next(&session).await? {
        shown.rows(context, &session.workspace, &rows)?;
    }
    if goes_on {
        follow(context, &session, (filter, found.size), shown).await
    } else {
        Ok(())
    }
}

async fn filter(session: &Session, args: LogArgs) -> Result<AuditLog, Failure> {
    let time = now();
    if let Some(action) = &args.action
        && !KINDS.iter().any(|kind| kind.name == action)
    {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        return Err(Failure::usage(format!(
            "{action:?} is not an event type. The types are {}",
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
            OutcomeArg::Granted => AuditOutcome::Granted,
            OutcomeArg::Denied => AuditOutcome::Denied,
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
        outcome: Some(AuditOutcome::Granted),
    };
    let mut found = AuditPages::newest(session, filter, None).await?;
    let mut rows = Vec::new();
    while let Some(page) = found.next(session).await? {
        rows.extend(page);
    }
    Ok(rows)
}

async fn follow(
    context: &Context,
    session: &Session,
    (filter, mut next): (AuditLog, Index),
    mut shown: LogTable,
) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(POLL).await;
        let ask = AuditLog {
            after: Some(next),
            ..filter.clone()
        };
        let mut found = AuditPages::newest(session, ask, None).await?;
        while let Some(rows) = found.next(session).await? {
            shown.rows(context, &session.workspace, &rows)?;
        }
        next = found.size.max(next);
    }
}

/// The table so far: it has one heading, and its columns only get wider.
#[derive(Debug, Default)]
struct LogTable(Widths);

impl LogTable {
    fn rows(
        &mut self,
        context: &Context,
        workspace: &WorkspaceName,
        rows: &[AuditRow],
    ) -> Result<(), Failure> {
        let json = |row: &AuditRow| row_json(workspace, row);
        context.out.more_items(rows, json, &table(), &mut self.0)
    }
}

fn table() -> Table<AuditRow> {
    Table(vec![
        ("INDEX", |row| row.index.to_string()),
        ("AT", |row| time::short(row.at)),
        ("ACTOR", |row| match row.sign_in_key.or(row.delegate_key) {
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
        ("PURPOSE", |row| {
            row.purpose.as_ref().map(purpose).unwrap_or_default()
        }),
        ("REASON", |row| row.reason.clone().unwrap_or_default()),
    ])
}

/// What a reveal was for: of an agent its name and run, of a block its workflow, name and run.
fn purpose(purpose: &Purpose) -> String {
    match purpose {
        Purpose::View(_) | Purpose::Copy(_) | Purpose::Run(_) | Purpose::Export(_) => {
            purpose.as_str().to_owned()
        }
        Purpose::Agent(of) => match &of.run {
            Some(run) => format!("agent {} for {run}", of.name),
            None => format!("agent {}", of.name),
        },
        Purpose::Block(of) => format!("block {}/{}/{}", of.workflow, of.block, of.run),
    }
}

fn secret(secret: &SecretVersion) -> String {
    let version = secret
        .version
        .map(|version| format!("@{version}"))
        .unwrap_or_default();
    format!("{}{version}", secret.name)
}

const fn outcome(outcome: AuditOutcome) -> &'static str {
    match outcome {
        AuditOutcome::Granted => "granted",
        AuditOutcome::Denied => "denied",
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
        "sign_in_key": row.sign_in_key,
        "delegate_key": row.delegate_key,
        "secrets": row.secrets.iter().map(secret).collect::<Vec<_>>(),
        "outcome": outcome(row.outcome),
        "attempted": row.attempted,
        "reason": row.reason,
        "purpose": row.purpose.as_ref().map(Purpose::as_str),
        "agent": row.agent().map(|of| {
            json!({"name": of.name, "max_age": of.max_age, "run": of.run})
        }),
        "run": row.run.as_ref().map(|run| {
            json!({"workflow": run.workflow, "block": run.block, "run": run.run})
        }),
        "digest": row.digest,
    })
}

#[cfg(test)]
mod tests {
    use keyroll_core::command::AgentUse;
    use keyroll_core::{Digest, Identity, Millis, Version};
    use keyroll_wire::reply::RunRow;

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
            actor: keyroll_core::MemberId([7; 32]),
            index: Index(12),
            digest: Digest([9; 32]),
            reason: None,
            outcome: AuditOutcome::Granted,
            purpose: Some(Purpose::Agent(AgentUse {
                run: None,
                name: "sidecar".parse().expect("label"),
                max_age: Some(60),
            })),
            secrets: vec![SecretVersion {
                name: "API_Key".parse().expect("name"),
                version: Some(Version(3)),
            }],
            attempted: None,
            actor_name: "alice".to_owned(),
            sign_in_key: None,
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
            ("purpose", json!("agent")),
            (
                "agent",
                json!({"name": "sidecar", "max_age": 60, "run": null}),
            ),
            ("digest", json!("09".repeat(32))),
        ] {
            assert_eq!(json[field], value, "{field}");
        }
    }

    #[test]
    fn people_get_a_line_per_event() {
        let text = table().render(&[row()], false);
        let line = text.lines().nth(1).expect("a row");
        let wanted = "12     2023-11-14 22:13:20Z  alice  secret.revealed  API_Key@3  granted  agent sidecar\n";
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            wanted.split_whitespace().collect::<Vec<_>>()
        );
    }
}
