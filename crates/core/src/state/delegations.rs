//! Delegations that entries have shown in use: what a revocation by the key alone ends.

use super::{Changes, State};
use crate::entry::Recorded;
use crate::ids::{Identity, Millis};
use crate::limits;

impl State {
    /// Delegations seen in use, who delegated and to which key, with their end. Those that are over
    /// may be missing.
    pub fn delegations(&self) -> impl Iterator<Item = (&(Identity, Identity), &Millis)> {
        self.delegations.iter()
    }

    /// The end of a delegation that was seen in use.
    pub fn delegation(&self, pair: &(Identity, Identity)) -> Option<Millis> {
        self.delegations.get(pair).copied()
    }

    /// Remembers the delegation that the command was signed under, until it is over.
    pub(super) fn see_delegation(&mut self, recorded: &Recorded, changes: &mut Changes) {
        let Some(said) = recorded.command.delegation() else {
            return;
        };
        let seen = (said.identity, said.key);
        let known = self.delegations.get(&seen).copied();
        if !said.covers(&self.ledger, &self.workspace, recorded.at) || known >= Some(said.not_after)
        {
            return;
        }
        self.delegations.insert(seen, said.not_after);
        changes.delegations.insert(seen);
        let of = (said.identity, Identity([0; 32]))..=(said.identity, Identity([0xff; 32]));
        let mut own: Vec<_> = self
            .delegations
            .range(of)
            .map(|(pair, end)| (*end, *pair))
            .collect();
        own.sort_unstable();
        let over = own.iter().filter(|(end, _)| *end < recorded.at).count();
        let beyond = own.len().saturating_sub(limits::SEEN_DELEGATIONS);
        for (_, pair) in own.into_iter().take(over.max(beyond)) {
            self.delegations.remove(&pair);
            changes.delegations.insert(pair);
        }
    }
}
