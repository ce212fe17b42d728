//! `apply` folds an entry's events into the state. It cannot fail: an event that does not fit its
//! command changes nothing, and full verification, which decides every command again, reports it.

use std::collections::BTreeSet;

use super::{
    Denials, Lifecycle, Member, Secret, State, ValueState, VersionInfo, VersionKind, Workflow,
};
use crate::command::{Action, MemberRecord, NewSecret, SecretDescribe, SecretEdit};
use crate::entry::Recorded;
use crate::event::{Event, SecretRevealed, Stored, WorkspaceCreated};
use crate::ids::{Epoch, Identity, MemberId, Millis, SecretId, Version};
use crate::names::{Glob, Label, MemberName};
use crate::roles::Role;
use crate::rules::Rules;

/// The changes of an entry: the rows that a read model has to write, and the keys of its audit
/// indexes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Secrets whose row changed. A release does not count here; `revealed` has it.
    pub secrets: BTreeSet<SecretId>,
    /// Versions whose row changed.
    pub versions: BTreeSet<(SecretId, Version)>,
    /// Members whose row changed.
    pub members: BTreeSet<MemberId>,
    /// Members whose count of refusals changed.
    pub denials: BTreeSet<MemberId>,
    /// Revoked delegations: the delegating identity and the key.
    pub revoked: BTreeSet<(MemberId, Identity)>,
    /// Delegations that are remembered or forgotten: the delegating identity and the key.
    pub delegations: BTreeSet<(MemberId, Identity)>,
    /// Sign-ins that are remembered or forgotten, by member.
    pub sign_ins: BTreeSet<(MemberId, Identity)>,
    /// Members whose count of sign-ins changed.
    pub sign_in_counts: BTreeSet<MemberId>,
    /// Invitations that were made, accepted or ended, by the code's key.
    pub invitations: BTreeSet<Identity>,
    /// Workflows that were saved or removed.
    pub workflows: BTreeSet<Label>,
    /// Values that were released.
    pub revealed: BTreeSet<(SecretId, Version)>,
    /// Secrets that the entry concerns, changed or not.
    pub touched: BTreeSet<SecretId>,
    /// Numbers of the kinds of its events.
    pub kinds: BTreeSet<u8>,
}

/// The time and the actor of an entry.
type By = (Millis, MemberId);

impl State {
    /// Folds in one entry that these rules decided. The caller has checked that its index is the
    /// size before it and that the rules are no older than those of the entry before it.
    pub fn apply(&mut self, rules: Rules, recorded: &Recorded) -> Changes {
        let mut changes = Changes::default();
        for event in &recorded.events {
            changes.kinds.insert(event.kind().number);
            self.apply_event(recorded, event, &mut changes);
        }
        self.remember_delegation(recorded, &mut changes);
        changes.touched.extend(changes.secrets.iter());
        self.row.at = recorded.at;
        self.row.rules = rules;
        self.tree.push(recorded.leaf);
        changes
    }

    /// Applies one event. It counts only together with an action that can lead to it.
    fn apply_event(&mut self, recorded: &Recorded, event: &Event, changes: &mut Changes) {
        let by = (recorded.at, recorded.command.actor());
        let action = &recorded.command.command().action;
        match event {
            Event::WorkspaceCreated(created) => self.begin(created, by, changes),
            Event::MemberAdded(_)
            | Event::MemberChanged(_)
            | Event::MemberRemoved(_)
            | Event::MemberInvited(_)
            | Event::MemberAccepted(_)
            | Event::MemberConfirmed(_)
            | Event::MemberRevoked(_) => self.apply_to_members(recorded, event, changes),
            Event::SecretCreated(stored) => self.put_created(action, stored, by, changes),
            Event::SecretEdited(stored) => self.put_edited(action, stored, by, changes),
            Event::SecretDescribed(_)
            | Event::SecretRenamed(_)
            | Event::SecretDeleted(_)
            | Event::SecretRestored(_) => self.secret_changed(event, action, by, changes),
            Event::SecretRevealed(revealed) => self.revealed(revealed, by.0, changes),
            Event::SecretDestroyed(destroyed) => {
                if let Action::SecretDestroy(destroy) = action {
                    self.end_values(
                        destroy.id,
                        &destroyed.versions,
                        ValueState::Destroyed,
                        changes,
                    );
                    self.close_if_empty(destroy.id, by, changes);
                }
            }
            Event::ValueErased(_) => {
                if let Action::ValueErase(erase) = action {
                    self.end_values(erase.id, &erase.versions, ValueState::Erased, changes);
                }
            }
            Event::ValuesLost(_) => {
                if let Action::ValuesLose(lose) = action {
                    for lost in &lose.values {
                        self.end_values(lost.id, &[lost.version], ValueState::Lost, changes);
                    }
                }
            }
            Event::LogTruncated(_) => {
                if let Action::LogTruncate(truncate) = action {
                    self.row.truncated = self.row.truncated.max(Some(truncate.size));
                }
            }
            Event::KeyRotated(rotated) => {
                self.row.retiring = Some(self.row.epoch);
                self.row.epoch = rotated.epoch;
            }
            Event::KeyErased(_) => {
                if let Action::KeyErase(erase) = action
                    && self.row.retiring == Some(erase.epoch)
                {
                    self.row.retiring = None;
                }
            }
            Event::DelegationRevoked(revoked) => {
                if let Action::DelegationRevoke(revoke) = action {
                    for identity in revoke.identity.iter().chain(&revoked.identities) {
                        self.revoked.insert((*identity, revoke.key));
                        changes.revoked.insert((*identity, revoke.key));
                    }
                }
            }
            Event::SignInOpened(opened) => {
                if let Action::SignInOpen(open) = action {
                    self.open_sign_in(opened, open, by.0, changes);
                }
            }
            Event::SignInClosed(closed) => self.close_sign_in(closed, action, by, changes),
            Event::AccessDenied(_) => self.count_denial(action, by, changes),
            Event::WorkflowSaved(_) | Event::WorkflowRemoved(_) => {
                self.put_workflow(action, by, changes);
            }
            Event::ValuesSwept(_) | Event::DenialsSummarized(_) => {}
        }
    }

    fn apply_to_members(&mut self, recorded: &Recorded, event: &Event, changes: &mut Changes) {
        let by = (recorded.at, recorded.command.actor());
        match (event, &recorded.command.command().action) {
            (
                Event::MemberAdded(_) | Event::MemberChanged(_),
                Action::MemberAdd(record) | Action::MemberChange(record),
            ) => {
                self.put_member(record.member, record, by.0, changes);
                self.end_invitations_by(record.member, changes);
            }
            (Event::MemberAdded(_), Action::MemberAccept(_)) => {
                self.join((&recorded.command.signer(), by.1), by.0, changes);
            }
            (Event::MemberAdded(_), Action::MemberConfirm(confirm)) => {
                self.join((&confirm.key, confirm.member), by.0, changes);
            }
            (Event::MemberRemoved(_), Action::MemberRemove(remove)) => {
                if let Some(member) = self.members.get_mut(&remove.member) {
                    member.removed = true;
                    changes.members.insert(remove.member);
                    self.end_sign_ins(remove.member, by.0, changes);
                    self.end_invitations_by(remove.member, changes);
                }
            }
            (Event::MemberInvited(invited), Action::MemberInvite(invite)) => {
                self.invite(invite, *invited, by, changes);
            }
            (Event::MemberAccepted(accepted), Action::MemberAccept(_)) => {
                self.accept(&recorded.command, accepted, by.0, changes);
            }
            (Event::MemberRevoked(_), Action::MemberRevoke(revoke)) => {
                self.forget_invitation(&revoke.key, changes);
            }
            // The pairs that are left do not belong together.
            _ => {}
        }
    }

    fn begin(&mut self, created: &WorkspaceCreated, (at, actor): By, changes: &mut Changes) {
        self.row.created = Some(created.clone());
        self.row.epoch = Epoch(1);
        if let Ok(name) = "owner".parse() {
            self.put_member(actor, &owner(actor, name), at, changes);
        }
    }

    fn put_created(&mut self, action: &Action, stored: &Stored, by: By, changes: &mut Changes) {
        if let Action::SecretCreate(create) = action {
            self.create(&create.secret, stored, by, changes);
        }
        if let Action::SecretImport(import) = action {
            let item = usize::try_from(stored.item)
                .ok()
                .and_then(|item| import.secrets.get(item));
            if let Some(new) = item {
                self.create(new, stored, by, changes);
            }
        }
    }

    fn put_edited(&mut self, action: &Action, stored: &Stored, by: By, changes: &mut Changes) {
        if let Action::SecretEdit(edit) = action {
            self.edit(edit, VersionKind::Edited, stored, by, changes);
        }
        if let Action::SecretRollback(rollback) = action {
            let kind = VersionKind::Rolledback(rollback.from);
            self.edit(&rollback.edit, kind, stored, by, changes);
        }
    }

    fn secret_changed(&mut self, event: &Event, action: &Action, by: By, changes: &mut Changes) {
        if let (Event::SecretDescribed(_), Action::SecretDescribe(describe)) = (event, action) {
            self.change_secret(describe.id, by, changes, |secret| {
                redescribe(secret, describe);
            });
        }
        if let (Event::SecretRenamed(_), Action::SecretRename(rename)) = (event, action) {
            self.names.remove(&rename.name.folded());
            self.names.insert(rename.to.folded(), rename.id);
            self.change_secret(rename.id, by, changes, |secret| {
                secret.name = rename.to.clone();
            });
        }
        if let (Event::SecretDeleted(_), Action::SecretDelete(delete)) = (event, action) {
            self.names.remove(&delete.name.folded());
            self.change_secret(delete.id, by, changes, |secret| {
                secret.lifecycle = Lifecycle::Deleted;
            });
        }
        if let (Event::SecretRestored(_), Action::SecretRestore(restore)) = (event, action) {
            self.names.insert(restore.name.folded(), restore.id);
            self.change_secret(restore.id, by, changes, |secret| {
                secret.lifecycle = Lifecycle::Active;
            });
        }
    }

    fn revealed(&mut self, revealed: &SecretRevealed, at: Millis, changes: &mut Changes) {
        for one in &revealed.secrets {
            if let Some(secret) = self.secrets.get_mut(&one.id) {
                secret.last_revealed_at = Some(at);
                changes.touched.insert(one.id);
                changes.revealed.insert((one.id, one.version));
            }
        }
    }

    pub(super) fn put_member(
        &mut self,
        identity: MemberId,
        record: &MemberRecord,
        at: Millis,
        changes: &mut Changes,
    ) {
        let known = self.members.get(&identity);
        // Whoever was no member for a while joins anew, and sign-ins from before stay ended.
        let current = known.filter(|known| known.is_in_force(at));
        let (joined, lapsed) = (current.map(|known| known.joined), current.is_none());
        let joined = joined.unwrap_or(at);
        let ordinal = if let Some(known) = known {
            known.ordinal
        } else {
            self.row.last_member = self.row.last_member.saturating_add(1);
            self.row.last_member
        };
        let member = Member {
            name: record.name.clone(),
            role: record.role,
            expires: record.expires,
            removed: false,
            secrets: record.secrets.clone(),
            ordinal,
            joined,
        };
        self.members.insert(identity, member);
        changes.members.insert(identity);
        if lapsed {
            self.end_sign_ins(identity, at, changes);
        }
    }

    fn create(&mut self, new: &NewSecret, stored: &Stored, (at, actor): By, changes: &mut Changes) {
        self.row.last_secret = self.row.last_secret.saturating_add(1);
        let version = VersionInfo {
            at,
            kind: VersionKind::Created,
            size: new.size,
            actor,
            epoch: stored.epoch,
            place: stored.place,
            state: ValueState::Live,
            digest: new.digest,
            reason: None,
        };
        let secret = Secret {
            name: new.name.clone(),
            hosts: new.hosts.clone(),
            ordinal: self.row.last_secret,
            lifecycle: Lifecycle::Active,
            restricted: new.restricted,
            description: new.description.clone(),
            rotate_every: new.rotate_every.filter(|period| *period > 0),
            updated_at: at,
            updated_by: actor,
            last_revealed_at: None,
            versions: vec![version],
        };
        self.names.insert(new.name.folded(), new.id);
        self.secrets.insert(new.id, secret);
        changes.secrets.insert(new.id);
        changes.versions.insert((new.id, Version::FIRST));
    }

    fn edit(
        &mut self,
        edit: &SecretEdit,
        kind: VersionKind,
        stored: &Stored,
        (at, actor): By,
        changes: &mut Changes,
    ) {
        self.change_secret(edit.id, (at, actor), changes, |secret| {
            secret.versions.push(VersionInfo {
                at,
                kind,
                size: edit.size,
                actor,
                epoch: stored.epoch,
                place: stored.place,
                state: ValueState::Live,
                digest: edit.digest,
                reason: edit.reason.clone(),
            });
        });
        changes.versions.insert((edit.id, edit.version));
    }

    fn change_secret(
        &mut self,
        id: SecretId,
        (at, actor): By,
        changes: &mut Changes,
        change: impl FnOnce(&mut Secret),
    ) {
        if let Some(secret) = self.secrets.get_mut(&id) {
            change(secret);
            secret.updated_at = at;
            secret.updated_by = actor;
            changes.secrets.insert(id);
        }
    }

    fn end_values(
        &mut self,
        id: SecretId,
        versions: &[Version],
        state: ValueState,
        changes: &mut Changes,
    ) {
        let Some(secret) = self.secrets.get_mut(&id) else {
            return;
        };
        for version in versions {
            let place = version
                .0
                .checked_sub(1)
                .and_then(|at| usize::try_from(at).ok());
            if let Some(info) = place.and_then(|at| secret.versions.get_mut(at)) {
                let (was, is) = (info.state, state);
                if was == ValueState::Destroyed {
                    self.row.ending = self.row.ending.saturating_sub(1);
                }
                if is == ValueState::Destroyed {
                    self.row.ending = self.row.ending.saturating_add(1);
                }
                info.state = state;
                changes.versions.insert((id, *version));
            }
        }
        changes.touched.insert(id);
    }

    /// Marks a secret without live values as destroyed.
    fn close_if_empty(&mut self, id: SecretId, by: By, changes: &mut Changes) {
        let Some(secret) = self.secrets.get(&id) else {
            return;
        };
        let live = secret
            .versions
            .iter()
            .any(|version| version.state == ValueState::Live);
        let (name, active) = (secret.name.folded(), secret.lifecycle == Lifecycle::Active);
        if active && !live {
            self.names.remove(&name);
        }
        self.change_secret(id, by, changes, |secret| {
            if !live {
                secret.lifecycle = Lifecycle::Destroyed;
            }
        });
    }

    fn put_workflow(&mut self, action: &Action, (at, actor): By, changes: &mut Changes) {
        if let Action::WorkflowSave(save) = action {
            let blocks = save.blocks.clone();
            let workflow = Workflow { at, actor, blocks };
            self.workflows.insert(save.workflow.clone(), workflow);
            changes.workflows.insert(save.workflow.clone());
            self.touch_named(action, changes);
        }
        if let Action::WorkflowRemove(remove) = action {
            self.workflows.remove(&remove.workflow);
            changes.workflows.insert(remove.workflow.clone());
        }
    }

    /// Notes that the entry concerns the secrets that its action names.
    fn touch_named(&self, action: &Action, changes: &mut Changes) {
        let named = action
            .names()
            .into_iter()
            .filter_map(|name| self.names.get(&name.folded()));
        changes.touched.extend(named);
    }

    fn count_denial(&mut self, action: &Action, (at, actor): By, changes: &mut Changes) {
        let minute = at.0 / 60_000;
        let known = self
            .denials
            .get(&actor)
            .filter(|denials| denials.minute == minute);
        let count = known.map_or(0, |denials| denials.count).saturating_add(1);
        self.denials.insert(actor, Denials { count, minute });
        changes.denials.insert(actor);
        self.touch_named(action, changes);
    }
}

fn owner(member: MemberId, name: MemberName) -> MemberRecord {
    MemberRecord {
        name,
        role: Role::Owner,
        member,
        expires: None,
        secrets: vec![Glob::any()],
    }
}

fn redescribe(secret: &mut Secret, describe: &SecretDescribe) {
    if let Some(hosts) = &describe.hosts {
        secret.hosts.clone_from(hosts);
    }
    if let Some(restricted) = describe.restricted {
        secret.restricted = restricted;
    }
    if let Some(description) = &describe.description {
        secret.description.clone_from(description);
    }
    if let Some(period) = describe.rotate_every {
        secret.rotate_every = (period > 0).then_some(period);
    }
}
