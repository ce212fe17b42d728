//! Compares a file with the secrets that exist. It cannot compare values: the ledger has no value.

use std::collections::BTreeMap;

use keyroll_core::SecretName;

use crate::ParsedEntry;

/// What an import would do, by the position of each entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// Entries that would be created.
    pub create: Vec<usize>,
    /// Entries that an earlier run of the same import created.
    pub done: Vec<usize>,
    /// Entries whose name another secret has, with its spelling there. Their values may be the same or not.
    pub taken: Vec<(usize, SecretName)>,
}

/// A secret that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Its name.
    pub name: SecretName,
    /// Whether an earlier run of the same import created it.
    pub own: bool,
}

/// Compares the entries with the secrets that exist, by folded name.
pub fn preview<'a>(
    entries: impl IntoIterator<Item = &'a ParsedEntry>,
    existing: &BTreeMap<String, Existing>,
) -> Preview {
    let mut preview = Preview::default();
    for (at, secret) in entries.into_iter().enumerate() {
        match existing.get(&secret.name.folded()) {
            None => preview.create.push(at),
            Some(known) if known.own => preview.done.push(at),
            Some(known) => preview.taken.push((at, known.name.clone())),
        }
    }
    preview
}
