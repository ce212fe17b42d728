//! The Merkle tree, read back from the rows that are kept of it.

use keyroll_merkle::{Hash, Nodes, node_hash};

use super::schema::NODES;
use super::{ProjectionError, WorkspaceView};

fn damaged(what: impl Into<String>) -> ProjectionError {
    ProjectionError::Damaged(what.into())
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
        let mut hashes = Vec::with_capacity(usize::from(level - stored) + 1);
        for row in
            nodes.range((self.number(), stored, first)..(self.number(), stored, first + count))?
        {
            hashes.push(Hash(*row?.1.value()));
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
