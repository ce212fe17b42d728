//! What an import would do. Values are not compared: the ledger holds nothing to compare them with.

use std::collections::BTreeMap;

use keyroll_core::SecretName;

use crate::ParsedEntry;

/// What of a file an import would make, by position among what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// Would be created.
    pub create: Vec<usize>,
    /// Was created by an earlier run of the same import.
    pub done: Vec<usize>,
    /// The name is taken by another secret, which has it in this spelling. Whether the values
    /// are the same is not known.
    pub taken: Vec<(usize, SecretName)>,
}

/// A secret that exists under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Its name.
    pub name: SecretName,
    /// Whether an earlier run of the same import made it.
    pub own: bool,
}

/// Sorts what was found by what exists, by folded name.
pub fn preview<'a>(
    found: impl IntoIterator<Item = &'a ParsedEntry>,
    existing: &BTreeMap<String, Existing>,
) -> Preview {
    let mut preview = Preview::default();
    for (at, secret) in found.into_iter().enumerate() {
        match existing.get(&secret.name.folded()) {
            None => preview.create.push(at),
            Some(known) if known.own => preview.done.push(at),
            Some(known) => preview.taken.push((at, known.name.clone())),
        }
    }
    preview
}
