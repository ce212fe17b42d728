//! What a recovery puts on disk before the log is made anew, beside the read model: what it needs if
//! it is cut short, and what it leaves out.

use std::path::{Path, PathBuf};

use keyroll_api::query::SeenSize;
use keyroll_core::{Code, Digest, Rejection, cbor};
use serde::{Deserialize, Serialize};

use super::chains::Chains;
use super::sources::{failed, put};
use crate::projection::Projection;
use crate::saved;

/// What is known to have been there, in a file: the log that said so is gone by then.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    /// Messages of the log that could not be read.
    lost: u64,
    /// The largest size of each workspace.
    sizes: Vec<SeenSize>,
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

    /// Keeps what only the log holds, and what is known of it; then what is of no chain, under names
    /// that no recovery reads.
    pub(super) fn keep(&self, chains: &Chains, projection: &Projection) -> Result<(), Rejection> {
        put(&self.commits(), &saved::write(chains.more()))?;
        let (lost, sizes) = (chains.lost(), chains.sizes());
        if lost > 0 || !sizes.is_empty() {
            put(&self.sizes(), &cbor::encode(&Sizes { lost, sizes }))?;
        }
        let name = |what: Digest, kind: &str| {
            let what = &what.to_string()[..16];
            self.0.join(format!("{what}.{kind}.left"))
        };
        let unused = saved::write(chains.unused().iter());
        put(&name(Digest::of(&unused), "commits"), &unused)?;
        match chains.left() {
            Some(left) => link(projection.path(), &name(left, "redb")),
            None => Ok(()),
        }
    }

    /// Takes in what a recovery that was cut short knew.
    pub(super) fn recall(&self, chains: &mut Chains) -> Result<(), Rejection> {
        let path = self.sizes();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(&path, error)),
        };
        let sizes: Sizes = cbor::decode(&bytes).map_err(|why| failed(&path, why.message))?;
        chains.lose(sizes.lost);
        for seen in &sizes.sizes {
            chains.know(&seen.workspace, seen.size);
        }
        Ok(())
    }

    /// All of it is in the log, or on record there, or left out.
    pub(super) fn done(&self) {
        for file in [self.commits(), self.sizes()] {
            // It may never have been there.
            let _ = std::fs::remove_file(file);
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
            Err(_) => std::fs::copy(from, to).and_then(|_| std::fs::File::open(to)?.sync_all()),
            Ok(()) => Ok(()),
        }?;
        crate::durable::names_beside(to)
    };
    link().map_err(|error: std::io::Error| {
        Rejection::new(Code::Internal, format!("{}: {error}", to.display()))
    })
}
