//! `keyroll secret list`, `show` and `history`: nothing here touches a value.

use clap::Args;
use keyroll_api::Ask;
use keyroll_api::client::now;
use keyroll_api::query::Named;
use keyroll_api::reply::{Answer, MemberRow, SecretRow, VersionRow};
use keyroll_core::authorize::{Permission, Role, allows};
use serde_json::{Value, json};

use super::rows;
use crate::context::Context;
use crate::error::Failure;
use crate::input::secret_name;
use crate::render::Table;
use crate::session::{Session, answer};
use crate::time;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Deleted and destroyed secrets instead
    #[arg(long)]
    deleted: bool,
    /// Only those for which a new value is due
    #[arg(long)]
    stale: bool,
    /// Only those that nothing used for a long time
    #[arg(long)]
    unused: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The secret
    name: String,
    /// Also who may reveal it
    #[arg(long)]
    readers: bool,
}

pub(crate) async fn list(context: &Context, args: ListArgs) -> Result<(), Failure> {
    let session = context.session().await?;
    let mut secrets = rows::all(&session, args.deleted).await?.secrets;
    secrets.retain(|row| (!args.stale || row.stale) && (!args.unused || row.unused));
    context.out.items(&secrets, rows::json, &rows::table())
}

pub(crate) async fn show(context: &Context, args: ShowArgs) -> Result<(), Failure> {
    let name = secret_name(&args.name, "show")?;
    let session = context.session().await?;
    let row = session.secret(&name).await?;
    let readers = if args.readers {
        Some(readers(&session, &row).await?)
    } else {
        None
    };
    let mut json = rows::json(&row);
    json["id"] = json!(row.id);
    json["created_at"] = json!(time::rfc3339(row.created_at));
    json["rotate_every"] = json!(row.rotate_every);
    if let Some(readers) = &readers {
        json["readers"] = readers.iter().map(reader_json).collect();
    }
    context.out.facts(&json, &facts(&row))?;
    match readers {
        Some(readers) if !context.out.json => {
            context.out.line("")?;
            context.out.items(&readers, reader_json, &reader_table())
        }
        _ => Ok(()),
    }
}

fn facts(row: &SecretRow) -> Vec<(&'static str, String)> {
    let due = if row.stale {
        " (a new value is due)"
    } else {
        ""
    };
    let never = || "never".to_owned();
    vec![
        ("name", row.name.to_string()),
        ("version", row.version.to_string()),
        ("state", rows::state(row.state).to_owned()),
        ("description", row.description.to_string()),
        ("created", time::short(row.created_at)),
        (
            "updated",
            format!("{} by {}", time::short(row.updated_at), row.updated_by_name),
        ),
        (
            "last revealed",
            row.last_revealed_at.map_or_else(never, time::short),
        ),
        (
            "rotate every",
            row.rotate_every
                .map_or_else(never, |every| time::seconds(every) + due),
        ),
        ("hosts", rows::hosts(row)),
        (
            "restricted",
            if row.restricted {
                "to runners' blocks"
            } else {
                "no"
            }
            .to_owned(),
        ),
        ("used by", rows::used_by(row)),
        ("id", row.id.to_string()),
    ]
}

/// A member and what the secret's value may be revealed to it for.
struct Reader {
    member: MemberRow,
    purpose: &'static str,
}

/// Who may reveal a secret now, by the same table that the ledger decides with.
async fn readers(session: &Session, secret: &SecretRow) -> Result<Vec<Reader>, Failure> {
    let covers = |member: &MemberRow| member.secrets.iter().any(|glob| glob.matches(&secret.name));
    let present =
        |member: &MemberRow| !member.removed && member.expires.is_none_or(|end| end > now());
    let readers = session.members().await?.into_iter().filter_map(|member| {
        let purpose = purpose(member.role, secret.restricted)?;
        (present(&member) && covers(&member)).then_some(Reader { member, purpose })
    });
    Ok(readers.collect())
}

fn purpose(role: Role, restricted: bool) -> Option<&'static str> {
    match (restricted, role) {
        (true, Role::Runner) => Some("blocks"),
        (true, _) => None,
        (false, _) if allows(role, Permission::Reveal) => Some("anything"),
        (false, _) => allows(role, Permission::RevealForBlock).then_some("blocks"),
    }
}

fn reader_json(reader: &Reader) -> Value {
    let member = &reader.member;
    json!({"name": member.name, "member": member.member, "role": member.role, "for": reader.purpose})
}

fn reader_table() -> Table<Reader> {
    Table(vec![
        ("READER", |reader| reader.member.name.to_string()),
        ("ROLE", |reader| reader.member.role.as_str().to_owned()),
        ("FOR", |reader| reader.purpose.to_owned()),
        ("KEY", |reader| reader.member.member.to_string()),
    ])
}

pub(crate) async fn history(context: &Context, name: &str) -> Result<(), Failure> {
    let name = secret_name(name, "history")?;
    let session = context.session().await?;
    let answered = session.ask(Ask::SecretHistory(Named { name })).await?;
    let versions = answer!(answered, Answer::SecretHistory)?.rows;
    let table = Table::<VersionRow>(vec![
        ("VERSION", |row| row.version.to_string()),
        ("AT", |row| time::short(row.at)),
        ("BY", |row| row.actor_name.clone()),
        ("TYPE", |row| row.kind.clone()),
        ("STATE", |row| row.state.as_str().to_owned()),
        ("REASON", |row| {
            row.reason
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default()
        }),
    ]);
    context.out.items(&versions, version_json, &table)
}

fn version_json(row: &VersionRow) -> Value {
    json!({
        "version": row.version,
        "at": time::rfc3339(row.at),
        "actor": row.actor,
        "actor_name": row.actor_name,
        "type": row.kind,
        "state": row.state.as_str(),
        "reason": row.reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_those_the_ledger_would_let() {
        let cells = |restricted| Role::ALL.map(|role| purpose(role, restricted));
        let everything = Some("anything");
        assert_eq!(
            cells(false),
            [everything, everything, None, None, Some("blocks")]
        );
        assert_eq!(cells(true), [None, None, None, None, Some("blocks")]);
    }
}
