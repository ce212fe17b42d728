//! The ids of all executed commands: no actor may use an id twice. A log has millions of them, so
//! each takes twenty bytes, and they are compared once, at the end.

use std::collections::HashMap;

use keyroll_core::{CommandId, Index, MemberId};

/// The actor and id of each command, by the index of its entry.
#[derive(Default)]
pub(super) struct CommandIds {
    /// A number for each actor.
    actors: HashMap<MemberId, u32>,
    all: Vec<(u32, CommandId)>,
}

impl CommandIds {
    /// Adds the command of the next entry.
    pub(super) fn add(&mut self, actor: MemberId, id: CommandId) {
        let next = u32::try_from(self.actors.len()).unwrap_or(u32::MAX);
        let actor = *self.actors.entry(actor).or_insert(next);
        self.all.push((actor, id));
    }

    /// The entries that repeat the command of an earlier entry, in order.
    pub(super) fn repeated(self) -> Vec<Index> {
        let name = |at: &u32| self.all.get(*at as usize);
        let mut order: Vec<u32> = (0..).take(self.all.len()).collect();
        order.sort_unstable_by(|one, other| name(one).cmp(&name(other)).then(one.cmp(other)));
        let pairs = order.windows(2);
        let later = pairs.filter_map(|pair| (name(&pair[0]) == name(&pair[1])).then_some(pair[1]));
        let mut repeated: Vec<Index> = later.map(|at| Index(u64::from(at))).collect();
        repeated.sort_unstable();
        repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_actors_own_and_every_further_use_is_found() {
        let mut ids = CommandIds::default();
        let uses = [(1, 1), (1, 2), (2, 1), (1, 1), (2, 3), (1, 1), (2, 1)];
        for (actor, id) in uses {
            ids.add(MemberId([actor; 32]), CommandId([id; 16]));
        }
        assert_eq!(ids.repeated(), [3, 5, 6].map(Index));
        assert_eq!(CommandIds::default().repeated(), []);
    }
}
