//! What the vault remembers of its store.

use std::collections::BTreeMap;

use bytes::Bytes;
use keyroll_core::{Epoch, ObjectId};

/// Bytes of sealed values kept in memory.
const MOST_BYTES: usize = 64 * 1024 * 1024;

type Name = (ObjectId, Epoch);

/// What opened, which it is for good; and what was read ahead, until it is used. That something does
/// not open is never remembered, since what is stored may be put right at any time.
#[derive(Default)]
pub(super) struct Cache {
    bytes: usize,
    kept: BTreeMap<Name, Bytes>,
    forgotten: u64,
}

impl Cache {
    pub(super) fn get(&self, name: &Name) -> Option<Bytes> {
        self.kept.get(name).cloned()
    }

    /// How often everything was forgotten: what was asked for before that is not kept after it.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Keeps what was asked for when everything had been forgotten so often.
    pub(super) fn keep(&mut self, name: Name, bytes: Bytes, forgotten: u64) {
        if self.forgotten != forgotten {
            return;
        }
        self.remove(&name);
        if self.bytes + bytes.len() > MOST_BYTES {
            self.bytes = 0;
            self.kept.clear();
        }
        self.bytes += bytes.len();
        self.kept.insert(name, bytes);
    }

    /// Forgets one thing; how often everything was forgotten.
    pub(super) fn remove(&mut self, name: &Name) -> u64 {
        if let Some(bytes) = self.kept.remove(name) {
            self.bytes -= bytes.len();
        }
        self.forgotten
    }

    /// Forgets everything, and what is on its way.
    pub(super) fn forget(&mut self) {
        *self = Self {
            forgotten: self.forgotten + 1,
            ..Self::default()
        };
    }
}
