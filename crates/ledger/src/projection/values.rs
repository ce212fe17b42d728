//! Reading versions in order, some at a time: for the eraser.

use keyroll_core::state::VersionInfo;
use keyroll_core::{SecretId, Version};

use super::rows::decode;
use super::schema::{ENDING, VERSIONS};
use super::{ProjectionError, WorkspaceView};

/// A place in the order of versions: a secret's ordinal, and a version of it.
pub type Cursor = (u32, u32);

/// A version with its secret.
#[derive(Debug, Clone)]
pub struct StoredVersion {
    /// Its place in the order.
    pub cursor: Cursor,
    /// The secret.
    pub id: SecretId,
    /// The version.
    pub version: Version,
    /// Its state.
    pub info: VersionInfo,
}

impl WorkspaceView<'_> {
    /// The versions after a place in their order, at most `limit`.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn versions_after(
        &self,
        after: Cursor,
        limit: usize,
    ) -> Result<Vec<StoredVersion>, ProjectionError> {
        let mut found: Vec<StoredVersion> = Vec::new();
        let versions = self.tx().open_table(VERSIONS)?;
        let from = (self.number(), after.0, after.1.saturating_add(1));
        for row in versions.range(from..=(self.number(), u32::MAX, u32::MAX))? {
            if found.len() >= limit {
                break;
            }
            let (key, value) = row?;
            let (_, ordinal, version) = key.value();
            let id = match found.last() {
                Some(last) if last.cursor.0 == ordinal => last.id,
                _ => self.id_of(ordinal)?,
            };
            found.push(StoredVersion {
                cursor: (ordinal, version),
                id,
                version: Version(version),
                info: decode(value.value())?,
            });
        }
        Ok(found)
    }

    /// Versions after a place in their order that are ended and not yet recorded as erased, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn ending(
        &self,
        after: Cursor,
        limit: usize,
    ) -> Result<Vec<StoredVersion>, ProjectionError> {
        let mut found = Vec::new();
        let ending = self.tx().open_table(ENDING)?;
        let versions = self.tx().open_table(VERSIONS)?;
        let from = (self.number(), after.0, after.1.saturating_add(1));
        for row in ending
            .range(from..=(self.number(), u32::MAX, u32::MAX))?
            .take(limit)
        {
            let key = row?.0.value();
            let missing = || ProjectionError::Damaged("an ended version is missing".to_owned());
            let info = versions.get(key)?.ok_or_else(missing)?;
            found.push(StoredVersion {
                cursor: (key.1, key.2),
                id: self.id_of(key.1)?,
                version: Version(key.2),
                info: decode(info.value())?,
            });
        }
        Ok(found)
    }

    fn id_of(&self, ordinal: u32) -> Result<SecretId, ProjectionError> {
        let missing = || ProjectionError::Damaged("a version without its secret".to_owned());
        Ok(self.secret(ordinal)?.ok_or_else(missing)?.id)
    }
}
