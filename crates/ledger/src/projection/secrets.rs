//! Secrets and their versions, and the names that lead to them.

use std::ops::Bound;

use keyroll_core::state::{Secret, VersionInfo};
use keyroll_core::{Millis, SecretId, Version};
use redb::{ReadableTableMetadata as _, TableDefinition};

use super::rows::decode;
use super::schema::{FORMER_NAMES, LAST_REVEALED, SECRET_NAMES, SECRETS, SecretRecord, VERSIONS};
use super::view::damaged;
use super::{ProjectionError, WorkspaceView};

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

impl WorkspaceView<'_> {
    pub(super) fn all_secrets(&self) -> Result<Vec<(SecretId, Secret)>, ProjectionError> {
        let secrets = self.tx().open_table(SECRETS)?;
        let mut rows = secrets.range((self.number(), 0)..=(self.number(), u32::MAX))?;
        // A growing vector is in memory twice, and a workspace may have very many secrets.
        let last = rows.next_back().transpose()?;
        let count = last.as_ref().map_or(0, |(key, _)| u64::from(key.value().1));
        let count = count.min(secrets.len()?);
        let mut found = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        for row in rows.chain(last.map(Ok)) {
            let record: SecretRecord = decode(row?.1.value())?;
            found.push((record.id, record.secret));
        }
        for row in self
            .tx()
            .open_table(LAST_REVEALED)?
            .range((self.number(), 0)..=(self.number(), u32::MAX))?
        {
            let (key, at) = row?;
            let (_, secret) = of_ordinal(&mut found, key.value().1)?;
            secret.last_revealed_at = Some(Millis(at.value()));
        }
        for row in self
            .tx()
            .open_table(VERSIONS)?
            .range((self.number(), 0, 0)..=(self.number(), u32::MAX, u32::MAX))?
        {
            let (key, value) = row?;
            let (_, ordinal, version) = key.value();
            let (_, secret) = of_ordinal(&mut found, ordinal)?;
            if secret.versions.is_empty() {
                // Most secrets have one version, and the first push would make room for four.
                secret.versions.reserve_exact(1);
            }
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
        let (row, key) = (self.tx().open_table(SECRETS)?, (self.number(), ordinal));
        let Some(row) = row.get(key)? else {
            return Ok(None);
        };
        let mut record: SecretRecord = decode(row.value())?;
        let last = self.tx().open_table(LAST_REVEALED)?.get(key)?;
        record.secret.last_revealed_at = last.map(|at| Millis(at.value()));
        Ok(Some(record))
    }

    /// Versions of a secret before `before`, newest first, until `more` says stop.
    ///
    /// # Errors
    /// [`ProjectionError`], or what `more` fails with.
    pub fn versions<E: From<ProjectionError>>(
        &self,
        ordinal: u32,
        before: Version,
        mut more: impl FnMut(Version, VersionInfo) -> Result<bool, E>,
    ) -> Result<(), E> {
        let range = (self.number(), ordinal, 0)..(self.number(), ordinal, before.0);
        let table = self.tx().open_table(VERSIONS);
        let table = table.map_err(ProjectionError::from)?;
        for row in table.range(range).map_err(ProjectionError::from)?.rev() {
            let (key, value) = row.map_err(ProjectionError::from)?;
            if !more(Version(key.value().2), decode(value.value())?)? {
                break;
            }
        }
        Ok(())
    }

    /// Ordinals of secrets by name, those after the folded name and the ordinal `after`, until
    /// `more` says stop.
    ///
    /// # Errors
    /// [`ProjectionError`], or what `more` fails with.
    pub fn scan_names<E: From<ProjectionError>>(
        &self,
        after: Option<(&str, u32)>,
        more: impl FnMut(&str, u32) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.scan_table(SECRET_NAMES, after, more)
    }

    pub(super) fn scan_table<E: From<ProjectionError>>(
        &self,
        table: TableDefinition<'static, (u32, &'static str, u32), ()>,
        after: Option<(&str, u32)>,
        mut more: impl FnMut(&str, u32) -> Result<bool, E>,
    ) -> Result<(), E> {
        let names = self.tx().open_table(table).map_err(ProjectionError::from)?;
        let start = match after {
            Some((name, ordinal)) => Bound::Excluded((self.number(), name, ordinal)),
            None => Bound::Included((self.number(), "", 0)),
        };
        // Names are ASCII: nothing sorts behind this.
        let end = Bound::Excluded((self.number(), "\u{7f}", 0));
        let rows = names.range::<(u32, &str, u32)>((start, end));
        for row in rows.map_err(ProjectionError::from)? {
            let (key, _) = row.map_err(ProjectionError::from)?;
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
        let range = (self.number(), folded, 0)..=(self.number(), folded, u32::MAX);
        let mut found = Vec::new();
        for row in self
            .tx()
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
        let range = (self.number(), folded, 0)..=(self.number(), folded, u32::MAX);
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
}
