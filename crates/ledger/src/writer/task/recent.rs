//! Commands that became entries recently.

use std::collections::{BTreeMap, VecDeque};

use keyroll_core::{CommandId, Digest, Index, MemberId, TreeSize};

type Name = (MemberId, CommandId);

/// The recent commands that the read model may lack. It holds all others, so how many are in memory
/// depends on how far it lags, whatever the load.
#[derive(Default)]
pub(super) struct Recent {
    by_name: BTreeMap<Name, (Index, Digest)>,
    in_order: VecDeque<(Index, Name)>,
    /// How many entries the read model held when a command was last forgotten.
    forgotten: TreeSize,
}

impl Recent {
    pub(super) fn add(&mut self, name: Name, index: Index, digest: Digest) {
        self.by_name.insert(name, (index, digest));
        self.in_order.push_back((index, name));
    }

    /// The entry that a command became, and the digest of its bytes.
    pub(super) fn get(&self, name: &Name) -> Option<(Index, Digest)> {
        self.by_name.get(name).copied()
    }

    /// Forgets the commands that the read model holds: every view taken from now on holds them.
    pub(super) fn prune(&mut self, projected: TreeSize) {
        while let Some((index, name)) = self.in_order.front() {
            if index.0 >= projected.0 {
                break;
            }
            self.by_name.remove(name);
            self.in_order.pop_front();
            self.forgotten = projected;
        }
    }

    /// Whether the read model holds all commands.
    pub(super) fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    /// How many entries the read model must hold, so that no forgotten command is missing from
    /// both.
    pub(super) const fn forgotten(&self) -> TreeSize {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_read_model_has_takes_no_memory_and_nothing_else_is_forgotten() {
        let mut recent = Recent::default();
        let name = |number: u8| (MemberId([1; 32]), CommandId([number; 16]));
        for number in 0..100 {
            let digest = Digest([number; 32]);
            recent.add(name(number), Index(u64::from(number)), digest);
        }
        assert_eq!(recent.forgotten(), TreeSize(0));
        recent.prune(TreeSize(60));
        assert_eq!(recent.forgotten(), TreeSize(60));
        for number in 0..100 {
            let kept = Some((Index(u64::from(number)), Digest([number; 32])));
            let expected = kept.filter(|_| number >= 60);
            assert_eq!(recent.get(&name(number)), expected, "{number}");
        }
        assert_eq!((recent.by_name.len(), recent.in_order.len()), (40, 40));
    }
}
