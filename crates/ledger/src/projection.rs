//! The read model in redb. It contains no rules: the fold names the rows that changed, and they are
//! written. A deleted file is built again from the log, and its canonical dump is the same to the
//! last byte.

mod building;
mod commits;
mod digest;
mod follow_record;
mod invitations;
mod origin;
mod past;
mod rows;
mod scan;
mod schema;
mod secrets;
mod sign_ins;
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
    /// The file belongs to another ledger: most likely the data directory is wrong.
    #[error("{file} is the read model of ledger {found}, not of {expected}")]
    OtherLedger {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: LedgerId,
    },
    /// Its schema is not that of this program: it must be rebuilt.
    #[error("the read model has schema {found}, this program has {SCHEMA}")]
    OtherSchema {
        /// The schema found.
        found: u32,
    },
    /// It was written under other rules, and that may matter: it must be rebuilt.
    #[error(
        "the read model was written under rules up to {found}, this program knows them up to {}",
        Rules::CURRENT.number()
    )]
    OtherRules {
        /// The last rules that its program knew.
        found: u32,
    },
    /// A row does not decode, or rows contradict each other: it must be rebuilt.
    #[error("the read model is damaged: {0}")]
    Damaged(String),
    /// Another process has the file open.
    #[error("{0} is open in another process")]
    InUse(PathBuf),
    /// The file or the disk under it.
    #[error("the read model: {0}")]
    Storage(String),
    /// It is being opened again after a disk error.
    #[error("the read model is being opened again: try again shortly")]
    Closed,
}

impl ProjectionError {
    /// Whether a rebuild is the remedy.
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
    if let redb::Error::Corrupted(why) = error {
        return ProjectionError::Damaged(why);
    }
    // A file that is cut short, or is no redb file.
    let unreadable = |error: &std::io::Error| {
        matches!(
            error.kind(),
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
        )
    };
    let foreign = matches!(
        error,
        redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TypeDefinitionChanged { .. }
    );
    if foreign || matches!(&error, redb::Error::Io(error) if unreadable(error)) {
        ProjectionError::Damaged(error.to_string())
    } else {
        ProjectionError::Storage(error.to_string())
    }
}

/// How the database on a file is opened. Tests use one that fails.
pub type Opener = Arc<dyn Fn(&Path) -> Result<Database, redb::DatabaseError> + Send + Sync>;

/// The read model's file, open.
#[derive(Clone)]
pub struct Projection {
    /// None while it is opened again: redb accepts nothing more after an I/O error.
    db: Arc<RwLock<Option<Database>>>,
    opener: Opener,
    path: PathBuf,
    /// Whether a file under construction is complete, and flushed from then on.
    whole: Arc<AtomicBool>,
}

/// Opens files as they are.
pub fn plain_files() -> Opener {
    Arc::new(|path| Database::builder().set_cache_size(CACHE_BYTES).create(path))
}

/// Memory for redb's pages.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// A file up to this size is read when it is opened, and every checksum is compared. A larger one
/// would make the start slow. redb compares its checksums only then, so rows have their own.
const CHECKED_BYTES: u64 = 256 * 1024 * 1024;

fn open_checked(path: &Path, opener: &Opener) -> Result<Database, ProjectionError> {
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    let mut db = opener(path).map_err(|error| {
        if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
            return ProjectionError::InUse(path.to_owned());
        }
        classify(redb::Error::from(error))
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
    /// Opens the file, or creates it.
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

    /// Creates the file again. It must not be used before [`Projection::complete`].
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

    /// Makes everything written so far durable, and all durable writes from now on.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn complete(&self) -> Result<(), ProjectionError> {
        self.whole.store(true, Ordering::Release);
        self.write(&WriteBatch::default(), true)
    }

    /// As [`Projection::open`], but a file that is damaged or of another schema is set aside and
    /// created again: the log holds everything.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn open_or_recreate(path: &Path, ledger: &LedgerId) -> Result<Self, ProjectionError> {
        // The heads of all workspaces are needed before anything else, so they must be readable.
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

    /// Closes the file and opens it again after the error `why`. It then holds what it held
    /// durably; a damaged file is set aside, and the new one is empty.
    ///
    /// # Errors
    /// [`ProjectionError`]. The file then stays closed, and this can be tried again.
    pub fn reopen(&self, ledger: &LedgerId, why: &ProjectionError) -> Result<(), ProjectionError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Dropping a database that failed must not end the process.
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

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same read model after its file was moved.
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

    /// Writes a batch in one transaction. `durable` also makes everything written before it
    /// durable. Otherwise, rows that a crash takes are read from the log again.
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
    // Names, descriptions and members must not be readable by other users.
    let private = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    private.map_err(|error| ProjectionError::Storage(error.to_string()))?;
    // redb panics on some damaged pages instead of returning an error.
    catch_panics(|| {
        let db = open_checked(path, opener)?;
        origin::prepare(&db, path, ledger)?;
        Ok(db)
    })
}

fn set_aside(path: &Path, error: &ProjectionError) -> Result<(), ProjectionError> {
    tracing::warn!(%error, "the read model is rebuilt from the log");
    let aside = path.with_extension("redb.damaged");
    std::fs::rename(path, aside).map_err(|error| ProjectionError::Storage(error.to_string()))
}
