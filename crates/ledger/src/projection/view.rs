//! Reading: a consistent view of one moment.

use keyroll_core::names::Label;
use keyroll_core::state::{Denials, Member, Parts, Workflow, WorkspaceRow};
use keyroll_core::{
    Digest, Identity, Index, LedgerId, MemberId, Millis, Sequence, State, TreeSize, WorkspaceName,
};
use keyroll_merkle::Hash;
use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _};

use super::ProjectionError;
use super::rows::decode;
use super::schema::{
    DELEGATIONS, DENIALS, MEMBERS, MEMBERSHIPS, META, MemberRecord, PROBLEMS, Problem, RECEIPTS,
    REVOKED, WORKFLOWS, WORKSPACE_NUMBERS, WORKSPACES, WorkflowRecord, WorkspaceHead,
};

/// The read model at one moment.
pub struct View {
    tx: ReadTransaction,
}

/// One workspace at that moment.
pub struct WorkspaceView<'a> {
    view: &'a View,
    number: u32,
    head: WorkspaceHead,
}

/// The delegating identity, the delegated key, and the end.
type UsedDelegation = ((MemberId, Identity), Millis);

/// Maximum number of anomalous messages shown.
const PROBLEMS_SHOWN: usize = 100;

pub(super) fn damaged(what: impl Into<String>) -> ProjectionError {
    ProjectionError::Damaged(what.into())
}

impl View {
    pub(super) fn begin(db: &Database) -> Result<Self, ProjectionError> {
        Ok(Self {
            tx: db.begin_read()?,
        })
    }

    pub(super) const fn tx(&self) -> &ReadTransaction {
        &self.tx
    }

    /// The last message of the stream, with SHA-256 of its bytes; `None` before the first.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn head(&self) -> Result<Option<(Sequence, Digest)>, ProjectionError> {
        let meta = self.tx.open_table(META)?;
        let (Some(sequence), Some(digest)) = (meta.get("sequence")?, meta.get("digest")?) else {
            return Ok(None);
        };
        let sequence = sequence
            .value()
            .try_into()
            .map_err(|_| damaged("the head's sequence"))?;
        let digest = digest
            .value()
            .try_into()
            .map_err(|_| damaged("the head's digest"))?;
        Ok(Some((
            Sequence(u64::from_be_bytes(sequence)),
            Digest(digest),
        )))
    }

    /// Every workspace, by number.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn workspaces(&self) -> Result<Vec<(u32, WorkspaceHead)>, ProjectionError> {
        let mut found = Vec::new();
        for row in self.tx.open_table(WORKSPACES)?.iter()? {
            let (number, head) = row?;
            found.push((number.value(), decode(head.value())?));
        }
        Ok(found)
    }

    /// Entries of all workspaces.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn entries(&self) -> Result<u64, ProjectionError> {
        Ok(self.workspaces()?.iter().map(|(_, head)| head.size.0).sum())
    }

    /// Anomalous messages, of one workspace or of all.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn problems(&self, number: Option<u32>) -> Result<Vec<Problem>, ProjectionError> {
        let (least, most) = number.map_or((0, u32::MAX), |number| (number, number));
        let mut found = Vec::new();
        for row in self
            .tx
            .open_table(PROBLEMS)?
            .range((least, 0)..=(most, u64::MAX))?
            .take(PROBLEMS_SHOWN)
        {
            found.push(decode(row?.1.value())?);
        }
        Ok(found)
    }

    /// A workspace's number; `None` when the log has not named it.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn number_of(&self, name: &WorkspaceName) -> Result<Option<u32>, ProjectionError> {
        let numbers = self.tx.open_table(WORKSPACE_NUMBERS)?;
        Ok(numbers.get(name.as_str())?.map(|row| row.value()))
    }

    /// The entry that a command became, by its workspace's number, its actor's ordinal and its id.
    /// Every command needs this lookup, so it reads nothing else.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn receipt(
        &self,
        workspace: u32,
        actor: u32,
        command: &keyroll_core::CommandId,
    ) -> Result<Option<Index>, ProjectionError> {
        let receipts = self.tx.open_table(RECEIPTS)?;
        let row = receipts.get((workspace, actor, &command.0))?;
        Ok(row.map(|row| Index(row.value())))
    }

    /// One workspace; `None` when the log has not named it.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn workspace(
        &self,
        name: &WorkspaceName,
    ) -> Result<Option<WorkspaceView<'_>>, ProjectionError> {
        let Some(number) = self.number_of(name)? else {
            return Ok(None);
        };
        self.numbered(number).map(Some)
    }

    fn numbered(&self, number: u32) -> Result<WorkspaceView<'_>, ProjectionError> {
        let rows = self.tx.open_table(WORKSPACES)?;
        let head = rows
            .get(number)?
            .ok_or_else(|| damaged("a workspace's row is missing"))?;
        let head = decode(head.value())?;
        Ok(WorkspaceView {
            view: self,
            number,
            head,
        })
    }

    /// The workspaces that a member was not removed from. Memberships may have expired.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn memberships(
        &self,
        member: &MemberId,
    ) -> Result<Vec<WorkspaceView<'_>>, ProjectionError> {
        let (mut found, memberships) = (Vec::new(), self.tx.open_table(MEMBERSHIPS)?);
        for row in memberships.range((&member.0, 0)..=(&member.0, u32::MAX))? {
            let (key, _) = row?;
            found.push(self.numbered(key.value().1)?);
        }
        Ok(found)
    }
}

impl WorkspaceView<'_> {
    pub(super) const fn tx(&self) -> &ReadTransaction {
        &self.view.tx
    }

    /// Anomalous messages on its subject.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn problems(&self) -> Result<Vec<Problem>, ProjectionError> {
        self.view.problems(Some(self.number))
    }

    /// Its number.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Its head.
    pub const fn head(&self) -> &WorkspaceHead {
        &self.head
    }

    /// Number of entries.
    pub const fn size(&self) -> TreeSize {
        self.head.size
    }

    /// Root over them.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn root(&self) -> Result<Hash, ProjectionError> {
        keyroll_merkle::root(self, self.head.size.0)
    }

    /// Its own row.
    pub const fn row(&self) -> &WorkspaceRow {
        &self.head.row
    }

    /// The whole state, as a replay of the log up to here gives it.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn state(&self, ledger: LedgerId) -> Result<State, ProjectionError> {
        let parts = Parts {
            row: self.head.row.clone(),
            tree: self.head.tree.iter().map(|digest| Hash(digest.0)).collect(),
            size: self.head.size,
            members: self.members()?,
            secrets: self.all_secrets()?,
            revoked: self.revoked()?,
            delegations: self.delegations()?,
            sign_ins: self.sign_ins(None, None)?,
            sign_in_counts: self.sign_in_counts()?,
            invitations: self.invitations(None)?,
            denials: self.denials()?,
            workflows: self.workflows()?,
        };
        State::restore(ledger, self.head.name.clone(), parts)
            .ok_or_else(|| damaged("a workspace's tree"))
    }

    /// A member, even a former one.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn member(&self, identity: &MemberId) -> Result<Option<Member>, ProjectionError> {
        let members = self.view.tx.open_table(MEMBERS)?;
        let Some(row) = members.get((self.number, &identity.0))? else {
            return Ok(None);
        };
        Ok(Some(decode::<MemberRecord>(row.value())?.member))
    }

    /// Members, former ones too, in order of joining.
    ///
    /// # Errors
    /// [`ProjectionError`].
    fn members(&self) -> Result<Vec<(MemberId, Member)>, ProjectionError> {
        let mut found = Vec::new();
        for row in self.view.tx.open_table(MEMBERS)?.range(self.keys())? {
            let record: MemberRecord = decode(row?.1.value())?;
            found.push((record.identity, record.member));
        }
        found.sort_unstable_by_key(|(_, member)| member.ordinal);
        Ok(found)
    }

    const fn keys(&self) -> std::ops::RangeInclusive<(u32, &'static [u8; 32])> {
        (self.number, &[0; 32])..=(self.number, &[0xff; 32])
    }

    fn revoked(&self) -> Result<Vec<(MemberId, Identity)>, ProjectionError> {
        let mut found = Vec::new();
        let (least, most) = (&[0; 32], &[0xff; 32]);
        let range = (self.number, least, least)..=(self.number, most, most);
        for row in self.view.tx.open_table(REVOKED)?.range(range)? {
            let (key, _) = row?;
            let (_, identity, key) = key.value();
            found.push((MemberId(*identity), Identity(*key)));
        }
        Ok(found)
    }

    fn delegations(&self) -> Result<Vec<UsedDelegation>, ProjectionError> {
        let mut found = Vec::new();
        let (least, most) = (&[0; 32], &[0xff; 32]);
        let range = (self.number, least, least)..=(self.number, most, most);
        for row in self.view.tx.open_table(DELEGATIONS)?.range(range)? {
            let (key, end) = row?;
            let (_, identity, key) = key.value();
            found.push(((MemberId(*identity), Identity(*key)), Millis(end.value())));
        }
        Ok(found)
    }

    fn denials(&self) -> Result<Vec<(MemberId, Denials)>, ProjectionError> {
        let mut found = Vec::new();
        for row in self.view.tx.open_table(DENIALS)?.range(self.keys())? {
            let (key, value) = row?;
            found.push((MemberId(*key.value().1), decode(value.value())?));
        }
        Ok(found)
    }

    fn workflows(&self) -> Result<Vec<(Label, Workflow)>, ProjectionError> {
        let mut found = Vec::new();
        let workflows = self.view.tx.open_table(WORKFLOWS)?;
        for row in workflows.range::<(u32, &str)>((self.number, "")..(self.number + 1, ""))? {
            let record: WorkflowRecord = decode(row?.1.value())?;
            found.push((record.name, record.workflow));
        }
        Ok(found)
    }

    /// As [`View::receipt`], in this workspace.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn receipt(
        &self,
        actor: u32,
        command: &keyroll_core::CommandId,
    ) -> Result<Option<Index>, ProjectionError> {
        self.view.receipt(self.number, actor, command)
    }
}
