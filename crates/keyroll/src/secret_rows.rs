//! Rows of secrets: how they are fetched, and shown to programs and people.

use keyroll_core::SecretName;
use keyroll_core::state::{Lifecycle, ValueState};
use keyroll_wire::Question;
use keyroll_wire::query::{PAGE_ROWS, PointInTime, SecretList};
use keyroll_wire::reply::{Answer, SecretRow, UsedBy};
use serde_json::{Value, json};

use crate::error::Failure;
use crate::output::Table;
use crate::session::{Session, answer};
use crate::time;

/// Pages of the secrets that the caller sees, now or in the past: the active ones, or the deleted and
/// destroyed ones.
pub(crate) struct SecretPages<'a> {
    session: &'a Session,
    deleted: bool,
    at: Option<PointInTime>,
    after: Option<String>,
    limit: u32,
    ended: bool,
}

impl<'a> SecretPages<'a> {
    pub(crate) const fn new(session: &'a Session, deleted: bool, at: Option<PointInTime>) -> Self {
        Self {
            session,
            deleted,
            at,
            after: None,
            limit: PAGE_ROWS,
            ended: false,
        }
    }

    /// The next page; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<SecretRow>>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let list = SecretList {
            at: self.at,
            after: self.after.clone(),
            limit: self.limit,
            deleted: self.deleted,
        };
        let answered = self.session.ask(Question::SecretList(list)).await?;
        let page = answer!(answered, Answer::SecretList)?;
        // A page whose successor does not advance is the last.
        self.ended = page.next.is_none() || page.next == self.after;
        self.after = page.next;
        Ok(Some(page.rows))
    }
}

/// All of them.
pub(crate) async fn all(
    session: &Session,
    deleted: bool,
    at: Option<PointInTime>,
) -> Result<Vec<SecretRow>, Failure> {
    let (mut secrets, mut pages) = (Vec::new(), SecretPages::new(session, deleted, at));
    while let Some(page) = pages.next().await? {
        secrets.extend(page);
    }
    Ok(secrets)
}

/// The secrets of a name, in any case: the active one, or the deleted and destroyed ones.
pub(crate) async fn named(
    session: &Session,
    name: &SecretName,
    deleted: bool,
) -> Result<Vec<SecretRow>, Failure> {
    let folded = name.folded();
    // The text that sorts right before the name: no name has a character after `z`.
    let after = folded.char_indices().next_back().and_then(|(at, last)| {
        let before = char::from_u32(u32::from(last).checked_sub(1)?)?;
        Some(format!("{}{before}~", &folded[..at]))
    });
    let mut pages = SecretPages {
        after,
        // One active secret has a name at most.
        limit: if deleted { PAGE_ROWS } else { 1 },
        ..SecretPages::new(session, deleted, None)
    };
    let mut found = Vec::new();
    while let Some(page) = pages.next().await? {
        let all = page.len();
        let same = page.into_iter().filter(|row| row.name.folded() == folded);
        let before = found.len();
        found.extend(same);
        // The page has another name, so there are no more of this one.
        if !deleted || found.len() - before < all {
            break;
        }
    }
    Ok(found)
}

pub(crate) const fn state(state: Lifecycle) -> &'static str {
    match state {
        Lifecycle::Active => "active",
        Lifecycle::Deleted => "deleted",
        Lifecycle::Destroyed => "destroyed",
    }
}

/// A secret for programs.
pub(crate) fn json(row: &SecretRow) -> Value {
    json!({
        "name": row.name,
        "version": row.version,
        "state": state(row.state),
        "value_state": row.value_state.map(ValueState::as_str),
        "description": row.description,
        "updated_at": time::rfc3339(row.updated_at),
        "updated_by": row.updated_by,
        "updated_by_name": row.updated_by_name,
        "last_revealed_at": row.last_revealed_at.map(time::rfc3339),
        "used_by": row.used_by,
        "stale": row.stale,
        "unused": row.unused,
        "restricted": row.restricted,
        "allowed_hosts": row.hosts,
    })
}

/// A deleted secret for programs, with its id, because several may have had one name.
pub(crate) fn json_with_id(row: &SecretRow) -> Value {
    let mut json = json(row);
    json["id"] = json!(row.id);
    json
}

/// Deleted secrets for people.
pub(crate) fn table_with_ids() -> Table<SecretRow> {
    let Table(mut columns) = table();
    columns.push(("ID", |row| row.id.to_string()));
    Table(columns)
}

/// Secrets for people.
pub(crate) fn table() -> Table<SecretRow> {
    Table(vec![
        ("NAME", |row| row.name.to_string()),
        ("VERSION", |row| row.version.to_string()),
        ("UPDATED", |row| time::short(row.updated_at)),
        ("BY", |row| row.updated_by_name.clone()),
        ("LAST REVEALED", |row| {
            row.last_revealed_at
                .map_or_else(|| "never".to_owned(), time::short)
        }),
        ("USED BY", |row| match row.used_by.as_slice() {
            [] => String::new(),
            [one] => format!("{}/{}", one.workflow, one.block),
            [one, more @ ..] => format!("{}/{} +{}", one.workflow, one.block, more.len()),
        }),
        ("FLAGS", flags),
        ("DESCRIPTION", |row| row.description.to_string()),
    ])
}

fn flags(row: &SecretRow) -> String {
    let flags = [
        (row.state != Lifecycle::Active, state(row.state)),
        (row.value_state.is_some(), gone(row).unwrap_or_default()),
        (row.stale, "stale"),
        (row.unused, "unused"),
        (row.restricted, "restricted"),
    ];
    flags
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| name)
        .collect::<Vec<_>>()
        .join(",")
}

/// The state of a current value that cannot be revealed, in words.
pub(crate) fn gone(row: &SecretRow) -> Option<&'static str> {
    row.value_state.map(|state| match state {
        ValueState::Lost => "value lost",
        _ => "value destroyed",
    })
}

/// The blocks that use a secret, in words.
pub(crate) fn used_by(row: &SecretRow) -> String {
    if row.used_by.is_empty() {
        let unused = if row.unused { " (unused)" } else { "" };
        return format!("no saved workflow{unused}");
    }
    let place = |used: &UsedBy| format!("{}/{}", used.workflow, used.block);
    let places: Vec<String> = row.used_by.iter().map(place).collect();
    places.join(", ")
}

/// Hosts in words.
pub(crate) fn hosts(row: &SecretRow) -> String {
    if row.hosts.is_empty() {
        return "any".to_owned();
    }
    row.hosts
        .iter()
        .map(keyroll_core::names::HostPattern::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use keyroll_core::{Identity, Millis, SecretId, Version};

    use super::*;

    fn row() -> SecretRow {
        SecretRow {
            id: SecretId([1; 16]),
            name: "API_Key".parse().expect("name"),
            hosts: vec!["api.example.com".parse().expect("host")],
            stale: true,
            state: Lifecycle::Deleted,
            unused: false,
            used_by: vec![UsedBy {
                block: "post".to_owned(),
                workflow: "billing".to_owned(),
            }],
            version: Version(3),
            created_at: Millis(0),
            restricted: false,
            updated_at: Millis(1_700_000_000_000),
            updated_by: keyroll_core::MemberId([7; 32]),
            description: "for billing".parse().expect("text"),
            value_state: None,
            rotate_every: None,
            updated_by_name: "alice".to_owned(),
            last_revealed_at: None,
        }
    }

    #[test]
    fn programs_get_the_documented_fields() {
        let json = json(&row());
        for (field, value) in [
            ("name", json!("API_Key")),
            ("version", json!(3)),
            ("state", json!("deleted")),
            ("value_state", Value::Null),
            ("description", json!("for billing")),
            ("updated_at", json!("2023-11-14T22:13:20.000Z")),
            ("updated_by", json!(Identity([7; 32]).to_string())),
            ("last_revealed_at", Value::Null),
            ("used_by", json!([{"workflow": "billing", "block": "post"}])),
            ("stale", json!(true)),
            ("unused", json!(false)),
            ("restricted", json!(false)),
            ("allowed_hosts", json!(["api.example.com"])),
        ] {
            assert_eq!(json[field], value, "{field}");
        }
    }

    #[test]
    fn people_get_a_line_per_secret() {
        let text = table().render(&[row()], false);
        let line = text.lines().nth(1).expect("a row");
        assert!(
            line.starts_with("API_Key  3        2023-11-14 22:13:20Z  alice  never"),
            "{line}"
        );
        assert!(line.contains("billing/post  deleted,stale"), "{line}");
        let mut gone = row();
        gone.state = Lifecycle::Active;
        gone.value_state = Some(ValueState::Lost);
        assert_eq!(json(&gone)["value_state"], "lost");
        let text = table().render(&[gone], false);
        assert!(text.contains("billing/post  value lost,stale"), "{text}");
        let mut two = row();
        two.used_by.push(two.used_by[0].clone());
        let text = table().render(&[two], false);
        assert!(text.contains("billing/post +1"), "{text}");
    }
}
