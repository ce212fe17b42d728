//! Delegations that entries have used. A revocation by the key alone revokes these.

use super::{Changes, State};
use crate::entry::Recorded;
use crate::ids::{Identity, MemberId, Millis};
use crate::limits;

impl State {
    /// Used delegations, the delegating member and the key, with their end. Expired ones may be
    /// missing.
    pub fn delegations(&self) -> impl Iterator<Item = (&(MemberId, Identity), &Millis)> {
        self.delegations.iter()
    }

    /// The end of a used delegation.
    pub fn delegation(&self, pair: &(MemberId, Identity)) -> Option<Millis> {
        self.delegations.get(pair).copied()
    }

    /// Remembers the delegation that the command was signed under, until it expires.
    pub(super) fn remember_delegation(&mut self, recorded: &Recorded, changes: &mut Changes) {
        let Some(delegation) = recorded.command.delegation() else {
            return;
        };
        let member = MemberId::from(delegation.identity);
        let pair = (member, delegation.key);
        let known = self.delegations.get(&pair).copied();
        if !delegation.covers(&self.ledger, &self.workspace, recorded.at)
            || known >= Some(delegation.not_after)
        {
            return;
        }
        self.delegations.insert(pair, delegation.not_after);
        changes.delegations.insert(pair);
        let of = (member, Identity([0; 32]))..=(member, Identity([0xff; 32]));
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
