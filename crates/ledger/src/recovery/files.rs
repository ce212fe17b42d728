//! The files that a recovery writes beside the read model before the log is replaced: the data that
//! it needs if it is interrupted, and the commits that it leaves out.

use std::path::{Path, PathBuf};

use keyroll_core::{Code, Digest, Millis, Rejection, cbor};
use keyroll_wire::query::TrustedSize;
use serde::{Deserialize, Serialize};

use super::chains::Chains;
use super::sources::{failed, put};
use crate::projection::Projection;
use keyroll_audit::commit_file;

/// The sizes of logs with lost entries, in a file: the log that shows them is about to be deleted.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    /// When that log was made. While it exists, the file does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Millis>,
    /// The size to record of each workspace.
    sizes: Vec<TrustedSize>,
}

/// The files of an unfinished recovery, in the directory where operators put files.
pub(super) struct RecoveryFiles(PathBuf);

impl RecoveryFiles {
    pub(super) fn beside(projection: &Projection) -> Self {
        Self(projection.path().with_file_name("recover"))
    }

    /// That directory.
    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    fn commits(&self) -> PathBuf {
        self.0.join("saved.commits")
    }

    fn sizes(&self) -> PathBuf {
        self.0.join("saved.sizes")
    }

    /// Writes the commits of no chain under names that no recovery reads; then the commits that
    /// only the log holds, and the sizes to record.
    pub(super) fn keep(
        &self,
        chains: &Chains,
        projection: &Projection,
        made: Option<Millis>,
    ) -> Result<(), Rejection> {
        let name = |digest: Digest, kind: &str| {
            let digest = &digest.to_string()[..16];
            self.0.join(format!("{digest}.{kind}.left"))
        };
        let unused = commit_file::write(chains.unused().iter());
        put(&name(Digest::of(&unused), "commits"), &unused)?;
        if let Some(left) = chains.left() {
            link(projection.path(), &name(left, "redb"))?;
        }
        put(&self.commits(), &commit_file::write(chains.more()))?;
        let sizes = chains.sizes();
        put(&self.sizes(), &cbor::encode(&Sizes { made, sizes }))
    }

    /// Recalls the sizes of a recovery that was interrupted after it had deleted the log.
    pub(super) fn recall(
        &self,
        chains: &mut Chains,
        made: Option<Millis>,
    ) -> Result<(), Rejection> {
        for gone in self.of_another_log(made)?.iter().flatten() {
            chains.recall(&gone.workspace, gone.size);
        }
        Ok(())
    }

    /// The sizes that an unfinished recovery saved of a log that is gone.
    fn of_another_log(&self, made: Option<Millis>) -> Result<Option<Vec<TrustedSize>>, Rejection> {
        let path = self.sizes();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path, error)),
        };
        let sizes: Sizes = cbor::decode(&bytes).map_err(|why| failed(&path, why.message))?;
        Ok((sizes.made != made).then_some(sizes.sizes))
    }

    /// Checks that no recovery was interrupted after it had deleted the log. The new log is valid
    /// as far as it goes, and does not show the missing entries.
    ///
    /// # Errors
    /// When one was, or the file cannot be read.
    pub(super) fn check_finished(&self, made: Option<Millis>) -> Result<(), Rejection> {
        if self.of_another_log(made)?.is_none() {
            return Ok(());
        }
        let message = "a recovery of the log was cut short, and entries may be missing: `keyroll recover` \
                       continues it";
        Err(Rejection::new(Code::Corrupt, message))
    }

    /// Removes the files: their content is in the log, recorded there, or left out.
    pub(super) fn done(&self) {
        for file in [self.sizes(), self.commits()] {
            // It may never have existed. If it reappears after a crash, it adds nothing.
            let _ = std::fs::remove_file(&file);
            let _ = crate::durable::names_beside(&file);
        }
    }
}

/// Gives a read model that is about to be replaced a second name.
fn link(from: &Path, to: &Path) -> Result<(), Rejection> {
    let link = || {
        if let Some(directory) = to.parent() {
            std::fs::create_dir_all(directory)?;
        }
        match std::fs::hard_link(from, to) {
            // The name is a digest of the content: an unfinished recovery has kept it before.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            // The directory may be on another file system.
            Err(_) => {
                let fresh = to.with_extension("new");
                let copied = std::fs::copy(from, &fresh)
                    .and_then(|_| std::fs::File::open(&fresh)?.sync_all())
                    .and_then(|()| crate::durable::rename(&fresh, to));
                if copied.is_err() {
                    // Half a copy would only take disk space.
                    let _ = std::fs::remove_file(&fresh);
                }
                copied
            }
            Ok(()) => crate::durable::names_beside(to),
        }
    };
    link().map_err(|error: std::io::Error| {
        Rejection::new(Code::Internal, format!("{}: {error}", to.display()))
    })
}
