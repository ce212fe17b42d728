//! Which rows of the audit log are shown, as in the address.

use keyroll_core::event::KINDS;
use keyroll_core::{Index, Millis};
use keyroll_wire::query::{AuditLog, AuditOutcome};
use keyroll_wire::reply::MemberRow;
use keyroll_wire::time;
use serde::Deserialize;

use crate::failure::Failure;

/// The query part of the tab's address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    pub(super) actor: String,
    pub(super) action: String,
    pub(super) secret: String,
    pub(super) outcome: String,
    pub(super) since: String,
    pub(super) until: String,
    pub(super) run: String,
    pub(super) before: String,
}

impl Filter {
    /// The names and values of the filters, without the cursor.
    fn fields(&self) -> [(&'static str, &str); 7] {
        [
            ("actor", &self.actor),
            ("action", &self.action),
            ("secret", &self.secret),
            ("outcome", &self.outcome),
            ("since", &self.since),
            ("until", &self.until),
            ("run", &self.run),
        ]
    }

    /// Whether any filter is set.
    pub(super) fn is_filtered(&self) -> bool {
        self.fields()
            .iter()
            .any(|(_, value)| !value.trim().is_empty())
    }

    /// `?…` for an address, with a cursor or without.
    pub(super) fn query(&self, before: Option<Index>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.fields() {
            if !value.trim().is_empty() {
                query.append_pair(name, value.trim());
            }
        }
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        let query = query.finish();
        if query.is_empty() {
            query
        } else {
            format!("?{query}")
        }
    }

    /// The question for the ledger.
    pub(super) fn ask(&self, members: &[MemberRow], limit: u32) -> Result<AuditLog, Failure> {
        let set = |text: &str| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        Ok(AuditLog {
            run: set(&self.run),
            actor: set(&self.actor)
                .map(|who| actor(members, &who))
                .transpose()?,
            after: None,
            limit,
            since: set(&self.since).map(|at| moment(&at)).transpose()?,
            until: set(&self.until).map(|at| moment(&at)).transpose()?,
            action: set(&self.action).map(known_action).transpose()?,
            before: set(&self.before).map(|index| cursor(&index)).transpose()?,
            secret: set(&self.secret).map(|name| name.parse()).transpose()?,
            outcome: match self.outcome.trim() {
                "" => None,
                "granted" => Some(AuditOutcome::Granted),
                "denied" => Some(AuditOutcome::Denied),
                _ => return Err(Failure::field("The outcome must be granted or denied.")),
            },
        })
    }
}

fn actor(members: &[MemberRow], who: &str) -> Result<keyroll_core::MemberId, Failure> {
    if let Ok(key) = who.parse() {
        return Ok(key);
    }
    let named = |row: &&MemberRow| row.name.as_str().eq_ignore_ascii_case(who);
    // A present member goes before a former one of the same name.
    let found = members.iter().filter(named).min_by_key(|row| row.removed);
    found
        .map(|row| row.member)
        .ok_or_else(|| Failure::field(format!("There is no member {who}.")))
}

fn known_action(action: String) -> Result<String, Failure> {
    if KINDS.iter().any(|kind| kind.name == action) {
        return Ok(action);
    }
    Err(Failure::field(format!("There is no event {action}.")))
}

fn cursor(text: &str) -> Result<Index, Failure> {
    let index = text.parse().map(Index);
    index.map_err(|_| Failure::field(format!("{text} is not an entry number.")))
}

/// A moment in the format of a browser's date and time field; empty when the text is not one.
pub(super) fn for_field(text: &str) -> String {
    moment(text.trim())
        .map(|at| time::format(at, "%Y-%m-%dT%H:%M:%S"))
        .unwrap_or_default()
}

/// A moment in RFC 3339, or as a browser's date and time field sends it, taken as UTC.
fn moment(text: &str) -> Result<Millis, Failure> {
    time::parse(text)
        .or_else(|_| time::parse(&format!("{text}Z")))
        // Such a field may omit the seconds.
        .or_else(|_| time::parse(&format!("{text}:00Z")))
        .map_err(|why| Failure::field(format!("{text} is not a time ({why}).")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_holds_the_filter() {
        let filter = Filter {
            actor: "ana lee".to_owned(),
            outcome: "denied".to_owned(),
            ..Filter::default()
        };
        assert_eq!(
            filter.query(Some(Index(7))),
            "?actor=ana+lee&outcome=denied&before=7"
        );
        assert_eq!(Filter::default().query(None), "");
        assert!(filter.is_filtered() && !Filter::default().is_filtered());
    }

    #[test]
    fn an_error_names_the_bad_field() {
        let refused = |filter: Filter| filter.ask(&[], 10).expect_err("refused").message;
        let with = |set: fn(&mut Filter)| {
            let mut filter = Filter::default();
            set(&mut filter);
            refused(filter)
        };
        assert!(with(|filter| filter.actor = "bob".into()).contains("bob"));
        assert!(with(|filter| filter.action = "x.y".into()).contains("x.y"));
        assert!(with(|filter| filter.since = "soon".into()).contains("soon"));
        let offset = with(|filter| filter.until = "2030-01-01T00:00:00+25:00".into());
        assert!(offset.contains("+25:00"));
        assert_eq!(for_field("2030-01-31T12:00"), "2030-01-31T12:00:00");
        assert_eq!(for_field("2030-01-31T12:00:00Z"), "2030-01-31T12:00:00");
        assert!(with(|filter| filter.outcome = "maybe".into()).contains("granted"));
        assert!(with(|filter| filter.before = "-1".into()).contains("-1"));
    }

    #[test]
    fn times_are_read_as_utc() {
        for text in ["2023-11-14T22:13:20Z", "2023-11-14T22:13:20"] {
            assert_eq!(moment(text).ok(), Some(Millis(1_700_000_000_000)), "{text}");
            assert_eq!(for_field(text), "2023-11-14T22:13:20");
        }
        assert_eq!(for_field("soon"), "");
        assert_eq!(
            moment("2023-11-14T22:13").ok(),
            Some(Millis(1_699_999_980_000))
        );
    }
}
