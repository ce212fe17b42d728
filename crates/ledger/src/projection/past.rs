//! History: rows as single entries left them. "At size P" means after the first P entries.

use std::collections::BTreeMap;

use keyroll_core::state::Member;
use keyroll_core::{Index, MemberId, Millis, TreeSize, Version};
use redb::{ReadableTable as _, WriteTransaction};

use super::rows::{decode, put};
use super::schema::{
    BY_SECRET, EXPOSURES, Exposure, FORMER_NAMES, LAST_REVEALED, MEMBERS_SINCE, MemberRecord,
    SECRETS_SINCE, SecretRecord, USES_SINCE,
};
use super::write_batch::WorkspaceBatch;
use super::{ProjectionError, USES_SHOWN, WorkspaceView};

pub(super) fn write(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    if !batch.secrets_since.is_empty() {
        let mut table = tx.open_table(SECRETS_SINCE)?;
        let mut sorted: Vec<_> = batch.secrets_since.iter().collect();
        sorted.sort_unstable_by_key(|(index, record)| (record.secret.ordinal, index.0));
        for (index, record) in sorted {
            put(&mut table, (number, record.secret.ordinal, index.0), record)?;
        }
    }
    if !batch.members_since.is_empty() {
        let mut table = tx.open_table(MEMBERS_SINCE)?;
        for (index, identity, member) in &batch.members_since {
            let record = MemberRecord {
                identity: *identity,
                member: member.clone(),
            };
            put(&mut table, (number, member.ordinal, index.0), &record)?;
        }
    }
    write_uses(tx, number, batch)?;
    write_exposures(tx, number, batch)
}

fn write_uses(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    if batch.uses_since.is_empty() {
        return Ok(());
    }
    let mut table = tx.open_table(USES_SINCE)?;
    for (index, one, begun) in &batch.uses_since {
        let (secret, workflow, block) = (&one.secret, &one.workflow, &one.block);
        let key = (
            number,
            secret.as_str(),
            workflow.as_str(),
            block.as_str(),
            index.0,
        );
        table.insert(key, begun)?;
    }
    Ok(())
}

/// Adds the batch's reveals to the exposures.
fn write_exposures(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    let mut fresh: BTreeMap<(u32, u32, MemberId), Exposure> = BTreeMap::new();
    for entry in &batch.entries {
        for (ordinal, version) in &entry.revealed {
            let (at, index) = (entry.at, entry.index);
            let once = Exposure {
                last: at,
                count: 1,
                first: at,
                index,
            };
            fresh
                .entry((*ordinal, version.0, entry.by))
                .and_modify(|known| *known = known.then(once))
                .or_insert(once);
        }
    }
    if fresh.is_empty() {
        return Ok(());
    }
    let (mut seen, mut last) = (tx.open_table(EXPOSURES)?, tx.open_table(LAST_REVEALED)?);
    let mut latest: BTreeMap<u32, (Index, Millis)> = BTreeMap::new();
    for ((ordinal, version, by), new) in fresh {
        let released = latest.entry(ordinal).or_insert((new.index, new.last));
        *released = (*released).max((new.index, new.last));
        let key = (number, ordinal, version, &by.0);
        let known = seen.get(key)?.map(|row| Exposure::of(row.value()));
        let row = known.map_or(new, |known| known.then(new));
        seen.insert(key, row.columns())?;
    }
    for (ordinal, (_, at)) in latest {
        last.insert((number, ordinal), at.0)?;
    }
    Ok(())
}

impl Exposure {
    const fn of((last, count, first, index): (u64, u64, u64, u64)) -> Self {
        Self {
            last: Millis(last),
            count,
            first: Millis(first),
            index: Index(index),
        }
    }

    const fn columns(self) -> (u64, u64, u64, u64) {
        (self.last.0, self.count, self.first.0, self.index.0)
    }

    fn then(self, later: Self) -> Self {
        Self {
            last: later.last,
            count: self.count.saturating_add(later.count),
            first: self.first,
            index: later.index,
        }
    }
}

impl WorkspaceView<'_> {
    /// A secret after the first `size` entries; `None` when it did not exist then.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn secret_at(
        &self,
        ordinal: u32,
        size: TreeSize,
    ) -> Result<Option<SecretRecord>, ProjectionError> {
        let (n, table) = (self.number(), self.tx().open_table(SECRETS_SINCE)?);
        let mut before = table.range((n, ordinal, 0)..(n, ordinal, size.0))?;
        let Some(row) = before.next_back() else {
            return Ok(None);
        };
        let (key, value) = row?;
        let changed = key.value().2;
        let mut record: SecretRecord = decode(value.value())?;
        // Since its last change it may have been revealed.
        let entries = self.tx().open_table(BY_SECRET)?;
        for row in entries
            .range((n, ordinal, changed)..(n, ordinal, size.0))?
            .rev()
        {
            let released = row?.1.value();
            if released > 0 {
                record.secret.last_revealed_at = Some(Millis(released));
                break;
            }
        }
        Ok(Some(record))
    }

    /// The ordinal of the last secret that the first `size` entries made: a secret with a later one
    /// is younger and need not be read.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn last_secret_at(&self, size: TreeSize) -> Result<u32, ProjectionError> {
        let (n, table) = (self.number(), self.tx().open_table(SECRETS_SINCE)?);
        // Ordinals are given in order, so the secrets of then come before all others.
        let (mut there, mut beyond) = (0, self.row().last_secret.saturating_add(1));
        while beyond - there > 1 {
            let middle = there.midpoint(beyond);
            if table
                .range((n, middle, 0)..(n, middle, size.0))?
                .next()
                .is_some()
            {
                there = middle;
            } else {
                beyond = middle;
            }
        }
        Ok(there)
    }

    /// Names that secrets ever had, those after the folded name and the ordinal `after`, with the
    /// secrets' ordinals, until `more` says stop.
    ///
    /// # Errors
    /// [`ProjectionError`], or what `more` fails with.
    pub fn scan_names_ever<E: From<ProjectionError>>(
        &self,
        after: Option<(&str, u32)>,
        more: impl FnMut(&str, u32) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.scan_table(FORMER_NAMES, after, more)
    }

    /// Members after the first `size` entries, in order of joining: those after the ordinal
    /// `after`, until `more` says stop.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn members_at(
        &self,
        size: TreeSize,
        after: u32,
        mut more: impl FnMut(MemberId, Member) -> bool,
    ) -> Result<(), ProjectionError> {
        let (n, table) = (self.number(), self.tx().open_table(MEMBERS_SINCE)?);
        for ordinal in after.saturating_add(1)..=self.row().last_member {
            let mut before = table.range((n, ordinal, 0)..(n, ordinal, size.0))?;
            let Some(row) = before.next_back() else {
                // Ordinals are given in order of joining.
                break;
            };
            let record: MemberRecord = decode(row?.1.value())?;
            if !more(record.identity, record.member) {
                break;
            }
        }
        Ok(())
    }

    /// The identities to whom a version of a secret was revealed, in the order of keys.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn exposures(
        &self,
        ordinal: u32,
        version: Version,
    ) -> Result<Vec<(MemberId, Exposure)>, ProjectionError> {
        let (n, table) = (self.number(), self.tx().open_table(EXPOSURES)?);
        let (least, most) = (&[0; 32], &[0xff; 32]);
        let range = (n, ordinal, version.0, least)..=(n, ordinal, version.0, most);
        let mut found = Vec::new();
        for row in table.range::<(u32, u32, u32, &[u8; 32])>(range)? {
            let (key, value) = row?;
            found.push((MemberId(*key.value().3), Exposure::of(value.value())));
        }
        Ok(found)
    }

    /// Workflows and blocks that referenced a name after the first `size` entries, in their order,
    /// the first [`USES_SHOWN`].
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn uses_at(
        &self,
        name: &str,
        size: TreeSize,
    ) -> Result<Vec<(String, String)>, ProjectionError> {
        let (n, table) = (self.number(), self.tx().open_table(USES_SINCE)?);
        let mut found: Vec<(String, String)> = Vec::new();
        for row in table.range::<(u32, &str, &str, &str, u64)>((n, name, "", "", 0)..)? {
            let (key, begun) = row?;
            let (number, secret, workflow, block, index) = key.value();
            if (number, secret) != (n, name) {
                break;
            }
            let same = |(known, of): &(String, String)| known == workflow && of == block;
            let known = found.last().is_some_and(same);
            if !known && found.len() >= USES_SHOWN {
                break;
            }
            // The rows of one use follow each other, the latest last.
            match (index < size.0, begun.value(), known) {
                (true, true, false) => found.push((workflow.to_owned(), block.to_owned())),
                (true, false, true) => {
                    found.pop();
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// The time of the last of the first `size` entries.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn time_of(&self, size: TreeSize) -> Result<Millis, ProjectionError> {
        let Some(last) = size.0.checked_sub(1) else {
            return Ok(Millis(0));
        };
        let entry = self.entry(Index(last))?;
        let missing = || ProjectionError::Damaged(format!("entry {last} is missing"));
        Ok(entry.ok_or_else(missing)?.recorded.at)
    }
}
