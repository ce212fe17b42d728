//! Indexes of frequent properties: the entries of an actor, or with an event of a kind. Entries are
//! numbered without a gap, so one row covers 256 consecutive entries, one bit each.

use std::collections::BTreeMap;

use keyroll_core::Index;
use redb::{ReadableTable as _, Table, TableDefinition, WriteTransaction};

use super::scan::Indexes;
use super::write_batch::WorkspaceBatch;
use super::{ProjectionError, WorkspaceView};

/// (workspace, property, window) → the window's bits.
pub(super) type Windows = TableDefinition<'static, (u32, u32, u64), &'static [u8; 32]>;
type Bits = [u8; 32];

/// Entries of one window: the last byte of an index is its place in it.
const WINDOW: u64 = 256;

/// An index's window, and its byte and bit there.
const fn bit_of(index: u64) -> (u64, usize, u8) {
    let [at, ..] = index.to_le_bytes();
    (index / WINDOW, (at / 8) as usize, 1 << (at % 8))
}

/// Adds the properties of the batch's entries.
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
    let (window, byte, bit) = bit_of(index);
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

/// The indexes in `[from, last]` that are set in the bits of a window, newest first.
fn named(
    window: u64,
    bits: &Bits,
    (from, last): (u64, u64),
) -> impl Iterator<Item = Index> + use<> {
    let (begin, bits) = (window * WINDOW, *bits);
    let within = from.max(begin)..=last.min(begin + (WINDOW - 1));
    let set = move |index: &u64| {
        let (_, byte, bit) = bit_of(*index);
        bits[byte] & bit != 0
    };
    within.rev().filter(set).map(Index)
}

impl WorkspaceView<'_> {
    /// Indexes in `[from, last]` that a table has of a property, newest first.
    pub(super) fn scan_windows(
        &self,
        table: Windows,
        of: u32,
        (from, last): (u64, u64),
    ) -> Result<Indexes<'static>, ProjectionError> {
        let table = self.tx().open_table(table)?;
        let key = |index: u64| (self.number(), of, index / WINDOW);
        let rows = table.range(key(from)..=key(last))?.rev();
        Ok(Box::new(rows.flat_map(move |row| -> Indexes<'static> {
            match row {
                Ok((key, bits)) => {
                    Box::new(named(key.value().2, bits.value(), (from, last)).map(Ok))
                }
                Err(error) => Box::new(std::iter::once(Err(error.into()))),
            }
        })))
    }
}
