//! What this file alone knows, and no log: it is in no digest, and gone with the file.

use keyroll_core::Millis;
use redb::{Database, Durability, ReadableDatabase as _, TableDefinition, TableError};

use super::{Projection, ProjectionError};

/// `followed`, `whole_from` → milliseconds since 1970.
const LOCAL: TableDefinition<'_, &str, u64> = TableDefinition::new("local");

/// How far back the file is known to have followed the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Local {
    /// When a service last followed the log with it.
    pub followed: Option<Millis>,
    /// Since when nothing can be in the log that it does not know of.
    pub whole_from: Option<Millis>,
}

impl Projection {
    /// What it knows.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn local(&self) -> Result<Local, ProjectionError> {
        self.with(|db| {
            let tx = db.begin_read()?;
            let table = match tx.open_table(LOCAL) {
                Ok(table) => table,
                // A file that nobody has said anything of.
                Err(TableError::TableDoesNotExist(_)) => return Ok(Local::default()),
                Err(error) => return Err(error.into()),
            };
            let read =
                |name| Ok::<_, ProjectionError>(table.get(name)?.map(|at| Millis(at.value())));
            Ok(Local {
                followed: read("followed")?,
                whole_from: read("whole_from")?,
            })
        })
    }

    /// Makes it know this, durably.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn set_local(&self, local: Local) -> Result<(), ProjectionError> {
        self.with(|db: &Database| {
            let mut tx = db.begin_write()?;
            tx.set_durability(Durability::Immediate)?;
            {
                let mut table = tx.open_table(LOCAL)?;
                for (name, at) in [
                    ("followed", local.followed),
                    ("whole_from", local.whole_from),
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
