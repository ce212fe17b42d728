//! Invitations that nobody has used up: sent, or accepted and waiting for an owner.

use super::{Acceptance, Changes, Invitation, State};
use crate::command::{Action, MemberInvite, SignedCommand};
use crate::event::{MemberAccepted, MemberInvited};
use crate::ids::{Identity, MemberId, Millis};

impl State {
    /// The invitation of a code's key, as long as it is remembered.
    pub fn invitation(&self, key: &Identity) -> Option<&Invitation> {
        self.invitations.get(key)
    }

    /// Whether a command is by the code and the key that accepted an invitation, which waits for an
    /// owner.
    pub fn has_accepted(&self, signed: &SignedCommand) -> bool {
        let accepted = self
            .invitation(&signed.signer())
            .and_then(|known| known.accepted);
        let accepts = matches!(signed.command().action, Action::MemberAccept(_));
        accepts && accepted.is_some_and(|accepted| accepted.member == signed.actor())
    }

    /// All invitations that are remembered, by the key of the code.
    pub fn invitations(&self) -> impl Iterator<Item = (&Identity, &Invitation)> {
        self.invitations.iter()
    }

    pub(super) fn invite(
        &mut self,
        invite: &MemberInvite,
        invited: MemberInvited,
        (at, by): (Millis, MemberId),
        changes: &mut Changes,
    ) {
        if let Some(old) = &invite.renews {
            self.forget_invitation(old, changes);
        }
        // Only here does their number grow.
        let old: Vec<Identity> = self
            .invitations()
            .filter_map(|(key, known)| known.is_forgotten(at).then_some(*key))
            .collect();
        for key in old {
            self.forget_invitation(&key, changes);
        }
        let row = Invitation {
            by,
            name: invite.name.clone(),
            role: invite.role,
            until: invited.until,
            expires: invite.expires,
            secrets: invite.secrets.clone(),
            accepted: None,
            principal: invite.principal.clone(),
        };
        self.invitations.insert(invite.key, row);
        changes.invitations.insert(invite.key);
    }

    /// Notes who accepted. Only an invitation that an owner has to confirm is remembered then.
    pub(super) fn accept(
        &mut self,
        signed: &SignedCommand,
        accepted: &MemberAccepted,
        at: Millis,
        changes: &mut Changes,
    ) {
        let key = signed.signer();
        if let Some(known) = self.invitations.get_mut(&key)
            && let Some(until) = accepted.until
        {
            let member = accepted.member;
            known.until = until;
            known.accepted = Some(Acceptance { at, member });
            changes.invitations.insert(key);
        }
    }

    /// Makes a member of whoever accepted the invitation.
    pub(super) fn join(
        &mut self,
        (key, member): (&Identity, MemberId),
        at: Millis,
        changes: &mut Changes,
    ) {
        if let Some(known) = self.invitations.get(key) {
            let record = known.record(member);
            self.put_member(member, &record, at, changes);
            self.forget_invitation(key, changes);
        }
    }

    pub(super) fn forget_invitation(&mut self, key: &Identity, changes: &mut Changes) {
        if self.invitations.remove(key).is_some() {
            changes.invitations.insert(*key);
        }
    }

    /// Ends the invitations by a member who may manage members no longer, for good: who becomes an
    /// owner again does not revive them.
    pub(super) fn end_invitations_by(&mut self, member: MemberId, changes: &mut Changes) {
        if self
            .member(&member)
            .is_some_and(super::Member::is_lasting_owner)
        {
            return;
        }
        let by_member: Vec<Identity> = self
            .invitations()
            .filter_map(|(key, known)| (known.by == member).then_some(*key))
            .collect();
        for key in by_member {
            self.forget_invitation(&key, changes);
        }
    }
}
