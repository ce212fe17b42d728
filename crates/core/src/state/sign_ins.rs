//! Sign-ins: which keys act for which members, and until when.

use super::{Changes, SignIn, SignInCount, State};
use crate::command::{Action, SignInClose, SignInOpen, SignedCommand};
use crate::event::{SignInClosed, SignInOpened};
use crate::ids::{Identity, MemberId, Millis};
use crate::limits;
use crate::sign_in::Principal;

/// What a state knows of the key that signed for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// It is the member's own.
    OwnKey,
    /// The member delegated to it.
    Delegated,
    /// It has an open sign-in of the member, or brings the member's proof for one.
    SignIn,
    /// Its sign-in of the member has ended, or was closed.
    Ended,
    /// Nothing: whoever signed claims to act for the member.
    Unknown,
}

impl State {
    /// How the signer of a command acts for its actor at `now`.
    pub fn signing(&self, signed: &SignedCommand, now: Millis) -> Signing {
        let actor = signed.actor();
        if let Some(key) = signed.proof_signer() {
            // A member's consent is needed even for a key that acts for the member already.
            return if Principal::of(&actor).is_key(&key) && !signed.acts_for_itself() {
                Signing::SignIn
            } else {
                Signing::Unknown
            };
        }
        if signed.acts_for_itself() {
            return Signing::OwnKey;
        }
        if signed.delegation().is_some() {
            return Signing::Delegated;
        }
        match self.sign_in(&actor, &signed.signer()) {
            Some(known) if known.is_open(now) => Signing::SignIn,
            Some(_) => Signing::Ended,
            None => Signing::Unknown,
        }
    }

    /// Whether a command is a present or former member's. Others learn nothing of a workspace, not
    /// even whether it exists.
    pub fn is_of_member(&self, signed: &SignedCommand, now: Millis) -> bool {
        self.any_member(&signed.actor()).is_some() && self.signing(signed, now) != Signing::Unknown
    }

    /// Whether whoever signed may learn what the member may, such as the size of the tree. Nobody
    /// acts under a delegation any more.
    pub fn speaks_for_member(&self, signed: &SignedCommand, now: Millis) -> bool {
        signed.delegation().is_none() && self.is_of_member(signed, now)
    }

    /// A sign-in of a member that is remembered.
    pub fn sign_in(&self, member: &MemberId, key: &Identity) -> Option<&SignIn> {
        self.sign_ins.get(&(*member, *key))
    }

    /// All sign-ins that are remembered. Those that have ended may be missing.
    pub fn sign_ins(&self) -> impl Iterator<Item = (&(MemberId, Identity), &SignIn)> {
        self.sign_ins.iter()
    }

    /// The sign-ins of a member that are remembered.
    pub fn sign_ins_of(&self, member: MemberId) -> impl Iterator<Item = (Identity, &SignIn)> {
        let all = (member, Identity([0; 32]))..=(member, Identity([0xff; 32]));
        let own = self.sign_ins.range(all);
        own.map(|((_, key), known)| (*key, known))
    }

    /// How many entries opened and closed sign-ins, by the member who acted.
    pub fn sign_in_counts(&self) -> impl Iterator<Item = (&MemberId, &SignInCount)> {
        self.sign_in_counts.iter()
    }

    /// Whether a member may open or close another sign-in at `now`.
    pub fn may_sign_in(&self, actor: &MemberId, now: Millis) -> bool {
        self.sign_in_counts.get(actor).is_none_or(|known| {
            known.minute != now.0 / 60_000 || known.count < limits::SIGN_INS_PER_MINUTE
        })
    }

    pub(super) fn open_sign_in(
        &mut self,
        opened: &SignInOpened,
        open: &SignInOpen,
        at: Millis,
        changes: &mut Changes,
    ) {
        let row = SignIn {
            until: opened.until,
            origin: Some(open.origin.clone()),
            opened: Some(at),
            closed: None,
        };
        self.put_sign_in((opened.member, open.key), row, changes);
        self.count_sign_in(opened.member, at, changes);
    }

    /// Closes the sign-in that an event names, or else the one that the command names.
    pub(super) fn close_sign_in(
        &mut self,
        closed: &SignInClosed,
        action: &Action,
        (at, actor): (Millis, MemberId),
        changes: &mut Changes,
    ) {
        if let Some(key) = closed.key {
            self.mark_closed((actor, key), at, changes);
        } else if let Action::SignInClose(SignInClose { key, member }) = action {
            self.mark_closed((member.unwrap_or(actor), *key), at, changes);
            self.count_sign_in(actor, at, changes);
        }
    }

    /// Ends every sign-in of a member whose membership has ended.
    pub(super) fn end_sign_ins(&mut self, member: MemberId, at: Millis, changes: &mut Changes) {
        let open: Vec<Identity> = self
            .sign_ins_of(member)
            // Closing one forgets those that have ended: to close them too would remember them anew.
            .filter(|(_, known)| known.closed.is_none() && !known.has_ended(at))
            .map(|(key, _)| key)
            .collect();
        for key in open {
            self.mark_closed((member, key), at, changes);
        }
    }

    fn mark_closed(&mut self, pair: (MemberId, Identity), at: Millis, changes: &mut Changes) {
        let row = self.sign_ins.get(&pair).cloned().unwrap_or(SignIn {
            // No proof that anybody has by now lasts longer.
            until: Millis(at.0.saturating_add(limits::SIGN_IN_MS + limits::FRESH_MS)),
            origin: None,
            opened: None,
            closed: None,
        });
        let row = SignIn {
            closed: Some(at),
            ..row
        };
        self.put_sign_in(pair, row, changes);
    }

    /// Remembers a sign-in, and forgets those of the same member that have ended by then.
    fn put_sign_in(&mut self, pair: (MemberId, Identity), row: SignIn, changes: &mut Changes) {
        let at = row.closed.or(row.opened).unwrap_or_default();
        self.sign_ins.insert(pair, row);
        changes.sign_ins.insert(pair);
        let ended = self.sign_ins_of(pair.0);
        let ended: Vec<Identity> = ended
            .filter_map(|(key, known)| known.has_ended(at).then_some(key))
            .collect();
        for key in ended {
            self.sign_ins.remove(&(pair.0, key));
            changes.sign_ins.insert((pair.0, key));
        }
    }

    fn count_sign_in(&mut self, actor: MemberId, at: Millis, changes: &mut Changes) {
        let minute = at.0 / 60_000;
        let known = self.sign_in_counts.get(&actor);
        let known = known.filter(|known| known.minute == minute);
        let count = known.map_or(0, |known| known.count).saturating_add(1);
        let row = SignInCount { count, minute };
        self.sign_in_counts.insert(actor, row);
        changes.sign_in_counts.insert(actor);
    }
}
