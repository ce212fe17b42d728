//! The Merkle tree, read back from its stored rows.

use keyroll_merkle::{Hash, Nodes, node_hash};
use redb::{ReadableTable as _, WriteTransaction};

use super::schema::NODES;
use super::view::damaged;
use super::write_batch::WorkspaceBatch;
use super::{ProjectionError, WorkspaceView};

/// Hashes in one row: a kibibyte, of which redb's pages hold three without waste.
const BLOCK: u64 = 32;
const HASH: usize = 32;

/// Adds the complete subtrees of a batch after those already stored.
pub(super) fn write(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    let entries = batch.entries.iter();
    let mut sorted: Vec<&(u8, u64, Hash)> = entries.flat_map(|entry| &entry.nodes).collect();
    sorted.sort_unstable_by_key(|(level, index, _)| (*level, *index));
    let mut table = tx.open_table(NODES)?;
    for block in sorted.chunk_by(|a, b| (a.0, a.1 / BLOCK) == (b.0, b.1 / BLOCK)) {
        let Some((level, first, _)) = block.first() else {
            continue;
        };
        let key = (number, *level, first / BLOCK);
        let known = table.get(key)?;
        let mut bytes = known.map_or_else(Vec::new, |row| row.value().to_vec());
        if bytes.len() as u64 != first % BLOCK * HASH as u64 {
            return Err(damaged(format!(
                "tree nodes before level {level}, index {first} are missing"
            )));
        }
        for (_, _, hash) in block {
            bytes.extend_from_slice(&hash.0);
        }
        table.insert(key, bytes.as_slice())?;
    }
    Ok(())
}

/// Levels 0, 8, 16 and 24 are stored; what lies between is computed from at most 128 of them.
impl Nodes for WorkspaceView<'_> {
    type Error = ProjectionError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, ProjectionError> {
        let stored = level / 8 * 8;
        let count = 1_u64 << (level - stored);
        let first = index
            .checked_mul(count)
            .ok_or_else(|| damaged("a tree node out of range"))?;
        let nodes = self.tx().open_table(NODES)?;
        let key = |index: u64| (self.number(), stored, index / BLOCK);
        let mut hashes = Vec::with_capacity(usize::from(level - stored) + 1);
        for row in nodes.range(key(first)..=key(first + count - 1))? {
            let (at, bytes) = row?;
            let (found, _) = bytes.value().as_chunks::<HASH>();
            let found = (at.value().2 * BLOCK..).zip(found);
            let wanted = found.filter(|(index, _)| (first..first + count).contains(index));
            hashes.extend(wanted.map(|(_, hash)| Hash(*hash)));
        }
        if hashes.len() as u64 != count {
            return Err(damaged(format!(
                "tree nodes under level {level}, index {index} are missing"
            )));
        }
        while hashes.len() > 1 {
            hashes = hashes
                .chunks(2)
                .map(|pair| node_hash(&pair[0], &pair[1]))
                .collect();
        }
        hashes.pop().ok_or_else(|| damaged("an empty tree node"))
    }
}
