//! The vault's cache of sealed values.

use std::collections::BTreeMap;

use bytes::Bytes;
use keyroll_core::{Epoch, ObjectId};

/// Most bytes of sealed values in memory.
const MOST_BYTES: usize = 32 * 1024 * 1024;

type Name = (ObjectId, Epoch);

/// Values that have opened, and values that were read ahead. A value that does not open is never
/// cached, since an operator may repair the stored one at any time.
#[derive(Default)]
pub(super) struct Cache {
    bytes: usize,
    kept: BTreeMap<Name, Bytes>,
    /// How often everything was forgotten.
    generation: u64,
}

impl Cache {
    pub(super) fn get(&self, name: &Name) -> Option<Bytes> {
        self.kept.get(name).cloned()
    }

    /// How often everything was forgotten. A read that began in an earlier generation is not
    /// cached.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Caches the result of a read that began in this generation.
    pub(super) fn keep(&mut self, name: Name, bytes: &[u8], generation: u64) {
        if self.generation != generation {
            return;
        }
        self.remove(&name);
        if self.bytes + bytes.len() > MOST_BYTES {
            self.bytes = 0;
            self.kept.clear();
        }
        self.bytes += bytes.len();
        // A copy: the bytes are a part of what came from the network at once, and would keep all of it.
        self.kept.insert(name, Bytes::copy_from_slice(bytes));
    }

    /// Forgets one value. Returns the generation, for the read that follows.
    pub(super) fn remove(&mut self, name: &Name) -> u64 {
        if let Some(bytes) = self.kept.remove(name) {
            self.bytes -= bytes.len();
        }
        self.generation
    }

    /// Forgets everything, and the results of reads under way.
    pub(super) fn forget(&mut self) {
        *self = Self {
            generation: self.generation + 1,
            ..Self::default()
        };
    }
}
