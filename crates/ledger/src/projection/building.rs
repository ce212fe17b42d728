//! A file under construction. Until it is complete it is worthless, so nothing is flushed to disk
//! before: redb can reuse freed pages without waiting for a disk.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, Database, DatabaseError, StorageBackend};

use super::CACHE_BYTES;

type At = Bound<u64>;

#[derive(Debug)]
struct Building {
    file: FileBackend,
    whole: Arc<AtomicBool>,
}

/// Opens a file that is not flushed until `whole` is set; then all of it is.
pub(super) fn open(path: &Path, whole: Arc<AtomicBool>) -> Result<Database, DatabaseError> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let file = FileBackend::new(file)?;
    Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(Building { file, whole })
}

impl StorageBackend for Building {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.whole.load(Ordering::Acquire) {
            return self.file.sync_data();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: At, end: At) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: At, end: At) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: At, end: At) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: At, end: At) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: At, end: At) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: At, end: At) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
