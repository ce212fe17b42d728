//! Reading: a consistent view of one moment.

use std::ops::Bound;

use keyroll_core::names::Label;
use keyroll_core::state::{Denials, Member, Parts, Secret, VersionInfo, Workflow, WorkspaceRow};
use keyroll_core::{
    Blob, Commit, Digest, Identity, Index, LedgerId, Millis, Recorded, SecretId, Sequence, State,
    TreeSize, Version, WorkspaceName,
};
use keyroll_merkle::Hash;
use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::ProjectionError;
use super::schema::{
    COMMITS, DENIALS, FORMER_NAMES, LAST_REVEALED, MEMBERS, META, MemberRecord, PROBLEMS, Problem,
    RECEIPTS, REVOKED, SECRET_NAMES, SECRETS, SecretRecord, VERSIONS, WORKFLOWS, WORKSPACE_NUMBERS,
    WORKSPACES, WorkflowRecord, WorkspaceHead,
};
use super::write::decode;

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

/// An entry found in its commit.
pub struct EntryAt {
    /// The entry's bytes.
    pub bytes: Blob,
    /// The entry, decoded.
    pub recorded: Recorded,
}

/// Odd messages shown at most: after these a log is odd enough.
const PROBLEMS_SHOWN: usize = 100;

fn damaged(what: impl Into<String>) -> ProjectionError {
    ProjectionError::Damaged(what.into())
}

/// The secret of an ordinal: they begin at 1 and have no gap, and rows are in their order.
fn of_ordinal(
    secrets: &mut [(SecretId, Secret)],
    ordinal: u32,
) -> Result<&mut (SecretId, Secret), ProjectionError> {
    let at = usize::try_from(ordinal)
        .ok()
        .and_then(|ordinal| ordinal.checked_sub(1));
    at.and_then(|at| secrets.get_mut(at))
        .filter(|(_, secret)| secret.ordinal == ordinal)
        .ok_or_else(|| damaged("a row without its secret"))
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

    /// Messages that were not what they should be: of one workspace, or all.
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

    /// The index that a command became, by its workspace's number, its actor's ordinal and its id:
    /// asked for every command, so without a look at anything else.
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
        let rows = self.tx.open_table(WORKSPACES)?;
        let head = rows
            .get(number)?
            .ok_or_else(|| damaged("a workspace's row is missing"))?;
        let head = decode(head.value())?;
        Ok(Some(WorkspaceView {
            view: self,
            number,
            head,
        }))
    }
}

impl WorkspaceView<'_> {
    pub(super) const fn tx(&self) -> &ReadTransaction {
        &self.view.tx
    }

    /// Messages on its subject that were not what they should be.
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

    /// Where it is.
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

    /// The whole state: what a replay of the log up to here gives.
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
            denials: self.denials()?,
            workflows: self.workflows()?,
        };
        State::restore(ledger, self.head.name.clone(), parts)
            .ok_or_else(|| damaged("a workspace's tree"))
    }

    fn all_secrets(&self) -> Result<Vec<(SecretId, Secret)>, ProjectionError> {
        let mut found: Vec<(SecretId, Secret)> = Vec::new();
        for row in self
            .view
            .tx
            .open_table(SECRETS)?
            .range((self.number, 0)..=(self.number, u32::MAX))?
        {
            let record: SecretRecord = decode(row?.1.value())?;
            found.push((record.id, record.secret));
        }
        for row in self
            .view
            .tx
            .open_table(LAST_REVEALED)?
            .range((self.number, 0)..=(self.number, u32::MAX))?
        {
            let (key, at) = row?;
            let (_, secret) = of_ordinal(&mut found, key.value().1)?;
            secret.last_revealed_at = Some(Millis(at.value()));
        }
        for row in self
            .view
            .tx
            .open_table(VERSIONS)?
            .range((self.number, 0, 0)..=(self.number, u32::MAX, u32::MAX))?
        {
            let (key, value) = row?;
            let (_, ordinal, version) = key.value();
            let (_, secret) = of_ordinal(&mut found, ordinal)?;
            secret.versions.push(decode(value.value())?);
            if secret.current() != Version(version) {
                return Err(damaged("a secret's versions have a gap"));
            }
        }
        Ok(found)
    }

    /// One secret by ordinal, without its versions.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn secret(&self, ordinal: u32) -> Result<Option<SecretRecord>, ProjectionError> {
        let (row, key) = (self.view.tx.open_table(SECRETS)?, (self.number, ordinal));
        let Some(row) = row.get(key)? else {
            return Ok(None);
        };
        let mut record: SecretRecord = decode(row.value())?;
        let last = self.view.tx.open_table(LAST_REVEALED)?.get(key)?;
        record.secret.last_revealed_at = last.map(|at| Millis(at.value()));
        Ok(Some(record))
    }

    /// Versions of a secret before `before`, newest first, until `more` says stop.
    ///
    /// # Errors
    /// [`ProjectionError`], or what `more` fails with.
    pub fn versions(
        &self,
        ordinal: u32,
        before: Version,
        mut more: impl FnMut(Version, VersionInfo) -> Result<bool, ProjectionError>,
    ) -> Result<(), ProjectionError> {
        let range = (self.number, ordinal, 0)..(self.number, ordinal, before.0);
        for row in self.view.tx.open_table(VERSIONS)?.range(range)?.rev() {
            let (key, value) = row?;
            if !more(Version(key.value().2), decode(value.value())?)? {
                break;
            }
        }
        Ok(())
    }

    /// Ordinals of secrets by name, those after the folded name `after`, until `more` says stop.
    ///
    /// # Errors
    /// [`ProjectionError`], or what `more` fails with.
    pub fn scan_names(
        &self,
        after: Option<&str>,
        more: impl FnMut(&str, u32) -> Result<bool, ProjectionError>,
    ) -> Result<(), ProjectionError> {
        self.scan_table(SECRET_NAMES, after, more)
    }

    pub(super) fn scan_table(
        &self,
        table: TableDefinition<'static, (u32, &'static str, u32), ()>,
        after: Option<&str>,
        mut more: impl FnMut(&str, u32) -> Result<bool, ProjectionError>,
    ) -> Result<(), ProjectionError> {
        let names = self.view.tx.open_table(table)?;
        let start = match after {
            Some(name) => Bound::Excluded((self.number, name, u32::MAX)),
            None => Bound::Included((self.number, "", 0)),
        };
        // Names are ASCII: nothing sorts behind this.
        let end = Bound::Excluded((self.number, "\u{7f}", 0));
        for row in names.range::<(u32, &str, u32)>((start, end))? {
            let (key, _) = row?;
            let (_, name, ordinal) = key.value();
            if !more(name, ordinal)? {
                break;
            }
        }
        Ok(())
    }

    /// Ordinals of all secrets under a folded name, in whatever state.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn ordinals_named(&self, folded: &str) -> Result<Vec<u32>, ProjectionError> {
        let range = (self.number, folded, 0)..=(self.number, folded, u32::MAX);
        let mut found = Vec::new();
        for row in self
            .view
            .tx
            .open_table(SECRET_NAMES)?
            .range::<(u32, &str, u32)>(range)?
        {
            found.push(row?.0.value().2);
        }
        Ok(found)
    }

    /// Ordinals of all secrets that ever had a folded name.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn ordinals_ever_named(&self, folded: &str) -> Result<Vec<u32>, ProjectionError> {
        let range = (self.number, folded, 0)..=(self.number, folded, u32::MAX);
        let mut found = Vec::new();
        for row in self
            .tx()
            .open_table(FORMER_NAMES)?
            .range::<(u32, &str, u32)>(range)?
        {
            found.push(row?.0.value().2);
        }
        Ok(found)
    }

    /// A member, even a former one.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn member(&self, identity: &Identity) -> Result<Option<Member>, ProjectionError> {
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
    fn members(&self) -> Result<Vec<(Identity, Member)>, ProjectionError> {
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

    fn revoked(&self) -> Result<Vec<(Identity, Identity)>, ProjectionError> {
        let mut found = Vec::new();
        let (least, most) = (&[0; 32], &[0xff; 32]);
        let range = (self.number, least, least)..=(self.number, most, most);
        for row in self.view.tx.open_table(REVOKED)?.range(range)? {
            let (key, _) = row?;
            let (_, identity, key) = key.value();
            found.push((Identity(*identity), Identity(*key)));
        }
        Ok(found)
    }

    /// Whether the delegation of an identity to a key was revoked.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn is_revoked(&self, identity: &Identity, key: &Identity) -> Result<bool, ProjectionError> {
        let revoked = self.view.tx.open_table(REVOKED)?;
        Ok(revoked.get((self.number, &identity.0, &key.0))?.is_some())
    }

    fn denials(&self) -> Result<Vec<(Identity, Denials)>, ProjectionError> {
        let mut found = Vec::new();
        for row in self.view.tx.open_table(DENIALS)?.range(self.keys())? {
            let (key, value) = row?;
            found.push((Identity(*key.value().1), decode(value.value())?));
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

    /// The commit that holds an index: its first index and its bytes.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn commit_of(&self, index: Index) -> Result<Option<(u64, Vec<u8>)>, ProjectionError> {
        let commits = self.view.tx.open_table(COMMITS)?;
        let mut before = commits.range((self.number, 0)..=(self.number, index.0))?;
        let Some(row) = before.next_back() else {
            return Ok(None);
        };
        let (key, value) = row?;
        Ok((index.0 < self.head.size.0).then(|| (key.value().1, value.value().to_vec())))
    }

    /// The entry at an index.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn entry(&self, index: Index) -> Result<Option<EntryAt>, ProjectionError> {
        let Some((first, bytes)) = self.commit_of(index)? else {
            return Ok(None);
        };
        let commit = Commit::decode(&bytes)
            .map_err(|rejection| damaged(rejection.message))?
            .payload;
        let entry = usize::try_from(index.0 - first)
            .ok()
            .and_then(|at| commit.entries.get(at).cloned());
        let bytes =
            entry.ok_or_else(|| damaged(format!("entry {index} is missing from its commit")))?;
        let recorded =
            Recorded::decode(index, &bytes.0).map_err(|rejection| damaged(rejection.message))?;
        Ok(Some(EntryAt { bytes, recorded }))
    }
}
