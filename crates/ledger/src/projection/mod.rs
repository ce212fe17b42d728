//! The read model in redb. It holds no rule: the fold names the rows that changed, and they are
//! written. Drop the file and it is built again from the log, the same to the last byte of its
//! canonical dump.

mod digest;
mod past;
mod scan;
mod schema;
mod tree;
mod uses;
mod values;
mod view;
mod write;

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_core::LedgerId;
use redb::Database;

pub use digest::digest;
pub use scan::AuditScan;
pub use schema::{Exposure, LEDGER_ORDINAL, Problem, SCHEMA, SecretRecord, WorkspaceHead};
pub use uses::USES_SHOWN;
pub use values::{Cursor, VersionOf};
pub use view::{EntryAt, View, WorkspaceView};
pub use write::{Batch, EntryFacts, Use, WorkspaceBatch};

/// The read model cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// The file is of another ledger: most likely the wrong data directory.
    #[error("{file} is the read model of ledger {found}, not of {expected}")]
    OtherLedger {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: LedgerId,
    },
    /// Its schema is not this program's: it has to be rebuilt.
    #[error("the read model has schema {found}, this program has {SCHEMA}")]
    OtherSchema {
        /// The schema found.
        found: u32,
    },
    /// A row does not decode, or rows do not fit each other: it has to be rebuilt.
    #[error("the read model is damaged: {0}")]
    Damaged(String),
    /// Another process has the file open.
    #[error("{0} is open in another process")]
    InUse(PathBuf),
    /// The file or the disk under it.
    #[error("the read model: {0}")]
    Storage(String),
}

impl ProjectionError {
    /// Whether building the read model anew is the remedy.
    pub const fn wants_rebuild(&self) -> bool {
        matches!(self, Self::OtherSchema { .. } | Self::Damaged(_))
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for ProjectionError {
            fn from(error: $error) -> Self {
                classify(redb::Error::from(error))
            }
        })*
    };
}

from_redb!(
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::SetDurabilityError
);

fn classify(error: redb::Error) -> ProjectionError {
    match error {
        redb::Error::Corrupted(why) => ProjectionError::Damaged(why),
        // What is no redb file, or is cut short.
        redb::Error::Io(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            ProjectionError::Damaged(error.to_string())
        }
        error @ (redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::TypeDefinitionChanged { .. }) => ProjectionError::Damaged(error.to_string()),
        other => ProjectionError::Storage(other.to_string()),
    }
}

/// The read model's file, open.
#[derive(Clone)]
pub struct Projection {
    db: Arc<Database>,
    path: PathBuf,
}

/// Memory for redb's pages.
const CACHE_BYTES: usize = 128 * 1024 * 1024;

/// A file up to this size is read through when it is opened, and every checksum in it compared.
/// A larger one would make the start slow; what is wrong with it shows when it is read.
const CHECKED_BYTES: u64 = 256 * 1024 * 1024;

fn open_checked(path: &Path) -> Result<Database, ProjectionError> {
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    let opened = Database::builder().set_cache_size(CACHE_BYTES).create(path);
    let mut db = opened.map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => ProjectionError::InUse(path.to_owned()),
        other => classify(redb::Error::from(other)),
    })?;
    if length > 0 && length <= CHECKED_BYTES {
        match db.check_integrity() {
            Ok(true) => {}
            Ok(false) => return Err(ProjectionError::Damaged("it had to be repaired".to_owned())),
            Err(error) => return Err(ProjectionError::Damaged(error.to_string())),
        }
    }
    Ok(db)
}

/// Runs something on the read model's file; a panic on damaged pages becomes an error.
///
/// # Errors
/// As `run`, and [`ProjectionError::Damaged`] for a panic.
pub(crate) fn contained<T>(
    run: impl FnOnce() -> Result<T, ProjectionError>,
) -> Result<T, ProjectionError> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    caught.unwrap_or_else(|_| {
        Err(ProjectionError::Damaged(
            "its pages do not make sense".to_owned(),
        ))
    })
}

impl Projection {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn open(path: &Path, ledger: &LedgerId) -> Result<Self, ProjectionError> {
        // Names, descriptions and members are nobody else's business.
        let private = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        private.map_err(|error| ProjectionError::Storage(error.to_string()))?;
        // redb panics on some damaged pages instead of saying so.
        contained(|| {
            let db = open_checked(path)?;
            let projection = Self {
                db: Arc::new(db),
                path: path.to_owned(),
            };
            write::prepare(&projection, ledger)?;
            Ok(projection)
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// After the file was moved.
    #[must_use]
    pub fn moved_to(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// A consistent view of this moment.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn view(&self) -> Result<View, ProjectionError> {
        View::begin(&self.db)
    }

    /// Writes a batch in one transaction. `durable` also makes everything written before it last
    /// through a crash; what is lost otherwise comes again from the log.
    ///
    /// # Errors
    /// [`ProjectionError`]; nothing of the batch is written then.
    pub fn write(&self, batch: &Batch, durable: bool) -> Result<(), ProjectionError> {
        write::write(&self.db, batch, durable)
    }
}
