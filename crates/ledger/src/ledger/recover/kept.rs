//! What a recovery puts on disk before the log is made anew, beside the read model: what it needs if
//! it is cut short, and what it leaves out.

use std::path::{Path, PathBuf};

use keyroll_core::{Code, Digest, Millis, Rejection, cbor};
use keyroll_wire::query::TrustedSize;
use serde::{Deserialize, Serialize};

use super::chains::Chains;
use super::sources::{failed, put};
use crate::projection::Projection;
use keyroll_audit::commit_file;

/// What is known to be gone, in a file: the log that said so will be, too.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    /// When that log was made: as long as it is there, it speaks for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Millis>,
    /// The size to put on record of each workspace.
    sizes: Vec<TrustedSize>,
}

/// The files of a recovery that is not finished, in the directory that operators lay files in.
pub(super) struct Kept(PathBuf);

impl Kept {
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

    /// Keeps what is of no chain, under names that no recovery reads; then what only the log holds,
    /// and what is known of it.
    pub(super) fn keep(
        &self,
        chains: &Chains,
        projection: &Projection,
        made: Option<Millis>,
    ) -> Result<(), Rejection> {
        let name = |what: Digest, kind: &str| {
            let what = &what.to_string()[..16];
            self.0.join(format!("{what}.{kind}.left"))
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

    /// Takes in what a recovery knew that was cut short after it had deleted the log.
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

    /// What a recovery knew of a log that is gone, if one was begun and did not end.
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

    /// Whether a recovery was cut short that had deleted the log. The one that it was making looks
    /// well for as far as it goes, and says nothing of what is missing.
    ///
    /// # Errors
    /// That, or that it cannot be told.
    pub(super) fn is_finished(&self, made: Option<Millis>) -> Result<(), Rejection> {
        if self.of_another_log(made)?.is_none() {
            return Ok(());
        }
        let words = "a recovery of the log was cut short, and not all of it may be there or on record: \
                     `keyroll recover` goes on with it";
        Err(Rejection::new(Code::Corrupt, words))
    }

    /// All of it is in the log, or on record there, or left out.
    pub(super) fn done(&self) {
        for file in [self.sizes(), self.commits()] {
            // It may never have been there. Should it come again, it says nothing new.
            let _ = std::fs::remove_file(&file);
            let _ = crate::durable::names_beside(&file);
        }
    }
}

/// Gives a read model that another one takes the place of a second name.
fn link(from: &Path, to: &Path) -> Result<(), Rejection> {
    let link = || {
        if let Some(directory) = to.parent() {
            std::fs::create_dir_all(directory)?;
        }
        match std::fs::hard_link(from, to) {
            // Named by what it holds: kept before, by a recovery that was not finished.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            // That directory may be another file system's.
            Err(_) => {
                let fresh = to.with_extension("new");
                let copied = std::fs::copy(from, &fresh)
                    .and_then(|_| std::fs::File::open(&fresh)?.sync_all())
                    .and_then(|()| crate::durable::rename(&fresh, to));
                if copied.is_err() {
                    // Half of it would only take room.
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
