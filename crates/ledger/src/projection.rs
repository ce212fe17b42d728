//! The read model in redb. It holds no rule: the fold names the rows that changed, and they are
//! written. Drop the file and it is built again from the log, the same to the last byte of its
//! canonical dump.

mod building;
mod commits;
mod digest;
mod follow_record;
mod origin;
mod past;
mod rows;
mod scan;
mod schema;
mod secrets;
mod tree;
mod uses;
mod values;
mod view;
mod windows;
mod write;
mod write_batch;

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use keyroll_core::{Code, LedgerId, Rejection, Rules};
use redb::Database;

pub(crate) use commits::cut;
pub use commits::{CommitAt, EntryAt, Piece};
pub use digest::digest;
pub use follow_record::FollowRecord;
pub use scan::{AuditScan, Indexes};
pub use schema::{Exposure, LEDGER_ORDINAL, Problem, SCHEMA, SecretRecord, WorkspaceHead, run_key};
pub use uses::USES_SHOWN;
pub use values::{Cursor, StoredVersion};
pub use view::{View, WorkspaceView};
pub use write_batch::{EntryFacts, Use, WorkspaceBatch, WriteBatch};

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
    /// Its program knew other rules, and that may matter: it has to be rebuilt.
    #[error(
        "the read model was written under rules up to {found}, this program knows them up to {}",
        Rules::CURRENT.number()
    )]
    OtherRules {
        /// The last rules that its program knew.
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
    /// It is being opened again after the disk failed it.
    #[error("the read model is being opened again: try again shortly")]
    Closed,
}

impl ProjectionError {
    /// Whether building the read model anew is the remedy.
    pub const fn wants_rebuild(&self) -> bool {
        matches!(
            self,
            Self::OtherSchema { .. } | Self::OtherRules { .. } | Self::Damaged(_)
        )
    }
}

impl From<ProjectionError> for Rejection {
    fn from(error: ProjectionError) -> Self {
        let code = match error {
            ProjectionError::Closed => Code::Busy,
            ProjectionError::OtherLedger { .. }
            | ProjectionError::OtherSchema { .. }
            | ProjectionError::OtherRules { .. }
            | ProjectionError::Damaged(_)
            | ProjectionError::InUse(_)
            | ProjectionError::Storage(_) => Code::Internal,
        };
        Self::new(code, error.to_string())
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

/// How the database on a file is opened. Tests put one in that fails.
pub type Opener = Arc<dyn Fn(&Path) -> Result<Database, redb::DatabaseError> + Send + Sync>;

/// The read model's file, open.
#[derive(Clone)]
pub struct Projection {
    /// None while it is opened again: redb takes nothing more after an I/O error.
    db: Arc<RwLock<Option<Database>>>,
    opener: Opener,
    path: PathBuf,
    /// Whether a file that was built anew is whole, and flushed from then on.
    whole: Arc<AtomicBool>,
}

/// Opens files as they are.
pub fn plain_files() -> Opener {
    Arc::new(|path| Database::builder().set_cache_size(CACHE_BYTES).create(path))
}

/// Memory for redb's pages.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// A file up to this size is read through when it is opened, and every checksum in it compared.
/// A larger one would make the start slow: redb compares checksums then only, so rows have their own.
const CHECKED_BYTES: u64 = 256 * 1024 * 1024;

fn open_checked(path: &Path, opener: &Opener) -> Result<Database, ProjectionError> {
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    let mut db = opener(path).map_err(|error| match error {
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
pub(crate) fn catch_panics<T>(
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
        Self::open_with(path, ledger, plain_files())
    }

    /// As [`Projection::open`], with another way to the file.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn open_with(
        path: &Path,
        ledger: &LedgerId,
        opener: Opener,
    ) -> Result<Self, ProjectionError> {
        let db = open_database(path, ledger, &opener)?;
        Ok(Self {
            db: Arc::new(RwLock::new(Some(db))),
            opener,
            path: path.to_owned(),
            whole: Arc::new(AtomicBool::new(true)),
        })
    }

    /// Makes the file anew. It is worth nothing before [`Projection::complete`].
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn build(path: &Path, ledger: &LedgerId) -> Result<Self, ProjectionError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ProjectionError::Storage(error.to_string()));
            }
            _ => {}
        }
        let whole = Arc::new(AtomicBool::new(false));
        let opened = Arc::clone(&whole);
        let opener: Opener = Arc::new(move |path| building::open(path, Arc::clone(&opened)));
        let mut built = Self::open_with(path, ledger, opener)?;
        built.opener = plain_files();
        built.whole = whole;
        Ok(built)
    }

    /// Makes everything written so far last through a crash, and what is written durably from now
    /// on.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn complete(&self) -> Result<(), ProjectionError> {
        self.whole.store(true, Ordering::Release);
        self.write(&WriteBatch::default(), true)
    }

    /// As [`Projection::open`]; a file that is damaged or of another schema is put aside and made
    /// anew, as the log has it all.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn open_or_recreate(path: &Path, ledger: &LedgerId) -> Result<Self, ProjectionError> {
        // Where each workspace is has to be told before anything else.
        let opened = Self::open(path, ledger).and_then(|opened| {
            catch_panics(|| opened.view()?.workspaces())?;
            Ok(opened)
        });
        match opened {
            Err(error) if error.wants_rebuild() => {
                set_aside(path, &error)?;
                Self::open(path, ledger)
            }
            opened => opened,
        }
    }

    /// Closes the file and opens it again, after `why` came of it. What it held durably is there
    /// again; should it be damaged, it is empty and wants to be built anew.
    ///
    /// # Errors
    /// [`ProjectionError`]: then it stays closed, and this can be tried again.
    pub fn reopen(&self, ledger: &LedgerId, why: &ProjectionError) -> Result<(), ProjectionError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Whatever a database that failed does when it is dropped must not end the process.
        drop(catch_panics(|| {
            *db = None;
            Ok(())
        }));
        if why.wants_rebuild() && self.path.exists() {
            set_aside(&self.path, why)?;
        }
        let opened = match open_database(&self.path, ledger, &self.opener) {
            Err(error) if error.wants_rebuild() => {
                set_aside(&self.path, &error)?;
                open_database(&self.path, ledger, &self.opener)
            }
            opened => opened,
        };
        *db = Some(opened?);
        Ok(())
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
        self.with(View::begin)
    }

    /// Writes a batch in one transaction. `durable` also makes everything written before it last
    /// through a crash; what is lost otherwise comes again from the log.
    ///
    /// # Errors
    /// [`ProjectionError`]; nothing of the batch is written then.
    pub fn write(&self, batch: &WriteBatch, durable: bool) -> Result<(), ProjectionError> {
        self.with(|db| write::write(db, batch, durable))
    }

    fn with<T>(
        &self,
        run: impl FnOnce(&Database) -> Result<T, ProjectionError>,
    ) -> Result<T, ProjectionError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        run(db.as_ref().ok_or(ProjectionError::Closed)?)
    }
}

fn open_database(
    path: &Path,
    ledger: &LedgerId,
    opener: &Opener,
) -> Result<Database, ProjectionError> {
    // Names, descriptions and members are nobody else's business.
    let private = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    private.map_err(|error| ProjectionError::Storage(error.to_string()))?;
    // redb panics on some damaged pages instead of saying so.
    catch_panics(|| {
        let db = open_checked(path, opener)?;
        origin::prepare(&db, path, ledger)?;
        Ok(db)
    })
}

fn set_aside(path: &Path, error: &ProjectionError) -> Result<(), ProjectionError> {
    tracing::warn!(%error, "the read model is built anew from the log");
    let aside = path.with_extension("redb.damaged");
    std::fs::rename(path, aside).map_err(|error| ProjectionError::Storage(error.to_string()))
}
