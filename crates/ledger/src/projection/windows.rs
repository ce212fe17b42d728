//! Indexes of what is frequent: which entries are of an actor, or have an event of a kind. Entries
//! are numbered without a gap, so a row says it of 256 that follow each other, one bit each.

use std::collections::BTreeMap;

use redb::{ReadableTable as _, Table, TableDefinition, WriteTransaction};

use super::write::WorkspaceBatch;
use super::{ProjectionError, WorkspaceView};

/// (workspace, of what, window) → the window's bits.
pub(super) type Windows = TableDefinition<'static, (u32, u32, u64), &'static [u8; 32]>;
type Bits = [u8; 32];

/// Entries of one window: the last byte of an index says where in it.
const WINDOW: u64 = 256;

/// An index's window, and its byte and bit there.
const fn place(index: u64) -> (u64, usize, u8) {
    let [at, ..] = index.to_le_bytes();
    (index / WINDOW, (at / 8) as usize, 1 << (at % 8))
}

/// Adds what the batch's entries are.
pub(super) fn write(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    let (mut actors, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    for entry in &batch.entries {
        add(&mut actors, entry.actor, entry.index.0);
        for kind in &entry.kinds {
            add(&mut kinds, u32::from(*kind), entry.index.0);
        }
    }
    put(&mut tx.open_table(super::schema::BY_ACTOR)?, number, actors)?;
    put(&mut tx.open_table(super::schema::BY_KIND)?, number, kinds)
}

fn add(windows: &mut BTreeMap<(u32, u64), Bits>, of: u32, index: u64) {
    let (window, byte, bit) = place(index);
    windows.entry((of, window)).or_default()[byte] |= bit;
}

fn put(
    table: &mut Table<'_, (u32, u32, u64), &'static Bits>,
    number: u32,
    windows: BTreeMap<(u32, u64), Bits>,
) -> Result<(), ProjectionError> {
    for ((of, window), mut bits) in windows {
        let key = (number, of, window);
        if let Some(known) = table.get(key)? {
            for (bits, known) in bits.iter_mut().zip(known.value()) {
                *bits |= known;
            }
        }
        table.insert(key, &bits)?;
    }
    Ok(())
}

impl WorkspaceView<'_> {
    /// Indexes in `[from, last]` that a table has of something, newest first, until `more` says
    /// stop.
    pub(super) fn scan_windows(
        &self,
        table: Windows,
        of: u32,
        (from, last): (u64, u64),
        more: &mut impl FnMut(u64) -> Result<bool, ProjectionError>,
    ) -> Result<(), ProjectionError> {
        let table = self.tx().open_table(table)?;
        let key = |index: u64| (self.number(), of, index / WINDOW);
        for row in table.range(key(from)..=key(last))?.rev() {
            let (key, bits) = row?;
            let begin = key.value().2 * WINDOW;
            for index in (from.max(begin)..=last.min(begin + (WINDOW - 1))).rev() {
                let (_, byte, bit) = place(index);
                if bits.value()[byte] & bit != 0 && !more(index)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
