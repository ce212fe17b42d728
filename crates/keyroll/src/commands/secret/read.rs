//! `keyroll secret list`, `show` and `history`: nothing here touches a value.

use std::time::Duration;

use clap::Args;
use keyroll_core::roles::{Permission, Role, allows};
use keyroll_core::state::Lifecycle;
use keyroll_core::{Glob, Millis, SecretName, Version};
use keyroll_wire::Question;
use keyroll_wire::query::{PAGE_ROWS, PointInTime, SecretHistory};
use keyroll_wire::reply::{Answer, MemberRow, SecretReader, SecretRow, VersionRow};
use keyroll_wire::time::now;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
use crate::input::secret_name;
use crate::output::{Table, Widths};
use crate::secret_rows;
use crate::session::{Session, answer};
use crate::time;

/// How many names the column of readers shows.
const SEEN_SHOWN: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Pattern of names with * and ?, as members have them [default: *]
    pattern: Option<String>,
    /// List deleted and destroyed secrets instead of active ones
    #[arg(long)]
    deleted: bool,
    /// List only secrets whose rotation is due
    #[arg(long)]
    stale: bool,
    /// List only secrets that no saved workflow references and nobody has revealed for PERIOD. Write it
    /// with `=`, as in --unused=30d [default: 90d]
    #[arg(long, value_name = "PERIOD", num_args = 0..=1, require_equals = true,
        default_missing_value = "90d")]
    unused: Option<String>,
    /// List them as they were at P: a number of entries, an RFC 3339 time, or a duration ago
    /// [default: now]
    #[arg(long, value_name = "P")]
    at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Name of the secret
    name: String,
    /// Also list the members who may reveal it
    #[arg(long)]
    readers: bool,
    /// Show it as it was at P: a number of entries, an RFC 3339 time, or a duration ago
    /// [default: now]
    #[arg(long, value_name = "P")]
    at: Option<String>,
}

pub(crate) async fn list(context: &Context, args: ListArgs) -> Result<(), Failure> {
    let pattern = args
        .pattern
        .as_deref()
        .map(str::parse::<Glob>)
        .transpose()?;
    let unused = args.unused.as_deref().map(time::duration).transpose()?;
    // No name begins with a digit, so this cannot be a pattern.
    if let (Some(_), Some(period)) = (&args.unused, &args.pattern)
        && time::duration(period).is_ok()
    {
        let message = format!("{period} is not a pattern of names. Write --unused={period}");
        return Err(Failure::usage(message));
    }
    let session = context.session().await?;
    let at = session.moment(args.at.as_deref()).await?;
    let time = at.map_or_else(now, |at| at.time);
    let fits = |row: &SecretRow| {
        pattern.as_ref().is_none_or(|glob| glob.matches(&row.name))
            && (!args.stale || row.stale)
            && unused.is_none_or(|period| is_unused(row, period, time))
    };
    let (table, json): (_, fn(&SecretRow) -> Value) = if args.deleted {
        (secret_rows::table_with_ids(), secret_rows::json_with_id)
    } else {
        (secret_rows::table(), secret_rows::json)
    };
    let (mut pages, mut widths) = (
        secret_rows::SecretPages::new(&session, args.deleted, at),
        Widths::default(),
    );
    while let Some(mut page) = pages.next().await? {
        page.retain(fits);
        context.out.more_items(&page, json, &table, &mut widths)?;
    }
    Ok(())
}

/// Whether no saved workflow references a secret and its value was not released for `period`. A secret that was
/// never released counts from its creation.
fn is_unused(row: &SecretRow, period: Duration, time: Millis) -> bool {
    let last = row.last_revealed_at.unwrap_or(row.created_at);
    let since = Duration::from_millis(time.0.saturating_sub(last.0));
    row.used_by.is_empty() && since > period
}

pub(crate) async fn show(context: &Context, args: ShowArgs) -> Result<(), Failure> {
    let name = secret_name(&args.name, "show")?;
    let session = context.session().await?;
    let at = session.moment(args.at.as_deref()).await?;
    let row = session.secret_at(&name, at).await?;
    let readers = if args.readers {
        Some(readers(&session, &row, at).await?)
    } else {
        None
    };
    let mut json = secret_rows::json_with_id(&row);
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
    let due = if row.stale { " (rotation is due)" } else { "" };
    let gone = secret_rows::gone(row).map_or_else(String::new, |gone| {
        format!(" ({gone}: edit the secret or roll it back to use it again)")
    });
    let never = || "never".to_owned();
    vec![
        ("name", row.name.to_string()),
        ("version", row.version.to_string() + &gone),
        ("state", secret_rows::state(row.state).to_owned()),
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
        ("hosts", secret_rows::hosts(row)),
        (
            "restricted",
            if row.restricted {
                "yes: only blocks that a runner runs get the value"
            } else {
                "no"
            }
            .to_owned(),
        ),
        ("used by", secret_rows::used_by(row)),
        ("id", row.id.to_string()),
    ]
}

/// A member, and the purpose for which it may reveal the secret.
struct Reader {
    member: MemberRow,
    purpose: &'static str,
}

/// The members who may reveal a secret, now or at `at`, by the same table that the ledger uses.
async fn readers(
    session: &Session,
    secret: &SecretRow,
    at: Option<PointInTime>,
) -> Result<Vec<Reader>, Failure> {
    // Nobody can reveal a deleted or destroyed secret.
    if secret.state != Lifecycle::Active {
        return Ok(Vec::new());
    }
    let time = at.map_or_else(now, |at| at.time);
    let covers = |member: &MemberRow| member.secrets.iter().any(|glob| glob.matches(&secret.name));
    let present =
        |member: &MemberRow| !member.removed && member.expires.is_none_or(|end| end > time);
    let members = session.members_at(at).await?;
    let readers = members.into_iter().filter_map(|member| {
        let purpose = purpose(member.role, secret.restricted)?;
        (present(&member) && covers(&member)).then_some(Reader { member, purpose })
    });
    Ok(readers.collect())
}

fn purpose(role: Role, restricted: bool) -> Option<&'static str> {
    if restricted {
        return allows(role, Permission::UseRestricted).then_some("blocks");
    }
    if allows(role, Permission::Reveal) {
        return Some("anything");
    }
    allows(role, Permission::Use).then_some("use")
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
    let (mut pages, mut widths) = (VersionPages::new(&session, name), Widths::default());
    let table = Table::<VersionRow>(vec![
        ("VERSION", |row| row.version.to_string()),
        ("AT", |row| time::short(row.at)),
        ("BY", |row| row.actor_name.clone()),
        ("TYPE", |row| row.kind.clone()),
        ("STATE", |row| row.state.as_str().to_owned()),
        ("SEEN BY", seen_by),
        ("REASON", |row| {
            row.reason
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default()
        }),
    ]);
    while let Some(page) = pages.next().await? {
        context
            .out
            .more_items(&page, version_json, &table, &mut widths)?;
    }
    Ok(())
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
        "seen_by": row.seen_by.as_ref().map(|seen| seen.iter().map(seen_json).collect::<Vec<_>>()),
        "seen_by_count": row.seen_by_count,
    })
}

fn seen_json(seen: &SecretReader) -> Value {
    json!({
        "actor": seen.actor,
        "actor_name": seen.actor_name,
        "count": seen.count,
        "first_at": time::rfc3339(seen.first_at),
        "last_at": time::rfc3339(seen.last_at),
        "index": seen.index,
    })
}

/// The members who have seen a version, for people: the latest first, and only some of many.
fn seen_by(row: &VersionRow) -> String {
    let (Some(seen), Some(count)) = (&row.seen_by, row.seen_by_count) else {
        return "?".to_owned();
    };
    let mut names: Vec<String> = seen
        .iter()
        .take(SEEN_SHOWN)
        .map(|seen| seen.actor_name.clone())
        .collect();
    let more = usize::try_from(count).unwrap_or(usize::MAX) - names.len();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    if names.is_empty() {
        return "nobody".to_owned();
    }
    names.join(", ")
}

/// The versions of a secret, newest first, page by page.
struct VersionPages<'a> {
    session: &'a Session,
    name: SecretName,
    before: Option<Version>,
    ended: bool,
}

impl<'a> VersionPages<'a> {
    const fn new(session: &'a Session, name: SecretName) -> Self {
        Self {
            session,
            name,
            before: None,
            ended: false,
        }
    }

    /// The next page; `None` after the last.
    async fn next(&mut self) -> Result<Option<Vec<VersionRow>>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let before = self.before;
        let ask = SecretHistory {
            name: self.name.clone(),
            limit: PAGE_ROWS,
            before,
        };
        let answered = self.session.ask(Question::SecretHistory(ask)).await?;
        let page = answer!(answered, Answer::SecretHistory)?;
        // A page whose successor does not advance is the last.
        let onward = |next: &Version| before.is_none_or(|before| *next < before);
        self.before = page.next.filter(onward);
        self.ended = self.before.is_none();
        Ok(Some(page.rows))
    }
}

/// All versions of a secret, newest first.
pub(super) async fn versions(
    session: &Session,
    name: SecretName,
) -> Result<Vec<VersionRow>, Failure> {
    let (mut rows, mut pages) = (Vec::new(), VersionPages::new(session, name));
    while let Some(page) = pages.next().await? {
        rows.extend(page);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_those_the_ledger_would_let() {
        let cells = |restricted| Role::ALL.map(|role| purpose(role, restricted));
        // Columns: owner, editor, reader, viewer, auditor, runner.
        let all = Some("anything");
        assert_eq!(cells(false), [all, all, all, None, None, Some("use")]);
        assert_eq!(cells(true), [None, None, None, None, None, Some("blocks")]);
    }
}
