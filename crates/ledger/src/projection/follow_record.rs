//! The follow record: knowledge of this file alone, which is in no log and in no digest.

use keyroll_core::Millis;
use redb::{
    Database, Durability, ReadableDatabase as _, ReadableTable, TableDefinition, TableError,
};

use super::{Projection, ProjectionError};

/// `followed`, `complete_from` → milliseconds since 1970; `ended` → 1, or nothing.
const LOCAL: TableDefinition<'_, &str, u64> = TableDefinition::new("local");

/// Since when the file is known to have followed the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FollowRecord {
    /// When a service last followed the log with it.
    pub followed: Option<Millis>,
    /// Whether that service ended in order, and followed nothing afterwards.
    pub ended: bool,
    /// Since when the file knows every entry of the log.
    pub complete_from: Option<Millis>,
}

fn read(table: &impl ReadableTable<&'static str, u64>) -> Result<FollowRecord, ProjectionError> {
    let read = |name| {
        let found = table.get(name)?;
        Ok::<_, ProjectionError>(found.map(|at| Millis(at.value())))
    };
    Ok(FollowRecord {
        followed: read("followed")?,
        ended: read("ended")?.is_some(),
        complete_from: read("whole_from")?,
    })
}

impl Projection {
    /// Reads the follow record.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn follow_record(&self) -> Result<FollowRecord, ProjectionError> {
        self.with(|db| {
            let tx = db.begin_read()?;
            match tx.open_table(LOCAL) {
                Ok(table) => read(&table),
                // A file without a record.
                Err(TableError::TableDoesNotExist(_)) => Ok(FollowRecord::default()),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Changes the follow record, durably.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn change_follow_record(
        &self,
        change: impl FnOnce(FollowRecord) -> FollowRecord,
    ) -> Result<(), ProjectionError> {
        self.with(|db: &Database| {
            let mut tx = db.begin_write()?;
            tx.set_durability(Durability::Immediate)?;
            {
                let mut table = tx.open_table(LOCAL)?;
                let local = change(read(&table)?);
                for (name, at) in [
                    ("followed", local.followed),
                    ("ended", local.ended.then_some(Millis(1))),
                    ("whole_from", local.complete_from),
                ] {
                    match at {
                        Some(at) => drop(table.insert(name, at.0)?),
                        None => drop(table.remove(name)?),
                    }
                }
            }
            tx.commit()?;
            Ok(())
        })
    }
}
