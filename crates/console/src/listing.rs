//! Which secrets the list shows, as in its address.

use keyroll_core::WorkspaceName;
use keyroll_wire::reply::SecretRow;
use serde::{Deserialize, Serialize};

/// The query part of the list's address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) q: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) show: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) after: String,
}

impl Listing {
    pub(crate) fn matches(&self, row: &SecretRow) -> bool {
        let wanted = match self.show.as_str() {
            "stale" => row.stale,
            "unused" => row.unused,
            "restricted" => row.restricted,
            _ => true,
        };
        let q = self.q.trim().to_lowercase();
        wanted
            && (q.is_empty()
                || row.name.folded().contains(&q)
                || row.description.as_str().to_lowercase().contains(&q))
    }

    /// Whether the console drops some of the rows that the ledger sends.
    pub(crate) fn is_filtered(&self) -> bool {
        !self.q.trim().is_empty() || matches!(self.show.as_str(), "stale" | "unused" | "restricted")
    }

    pub(crate) fn address(&self, workspace: &WorkspaceName) -> String {
        let path = format!("/w/{workspace}/secrets");
        let fields = [("q", &self.q), ("show", &self.show), ("after", &self.after)];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        let query = query.finish();
        if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        }
    }
}
