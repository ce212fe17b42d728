//! The files that an operator puts into the directory `recover` beside the read model: read models
//! of other replicas (`*.redb`), bundles (`*.bundle`), and commits that an earlier recovery saved.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use keyroll_core::{Code, LedgerId, Rejection, WorkspaceName};

use crate::projection::{Projection, ProjectionError};
use keyroll_audit::bundle;
use keyroll_audit::commit_file;

/// The largest file of saved commits: it is read into memory.
const FILE_BYTES: u64 = 512 * 1024 * 1024;

type Take<'a> = dyn FnMut(&WorkspaceName, Bytes) -> Result<(), Rejection> + 'a;

pub(super) fn failed(path: &Path, why: impl std::fmt::Display) -> Rejection {
    Rejection::new(Code::Internal, format!("{}: {why}", path.display()))
}

/// The files in the directory, in order.
pub(super) fn files(beside: &Path) -> Result<Vec<PathBuf>, Rejection> {
    let entries = match std::fs::read_dir(beside) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(beside, error)),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Passes every commit of a file on, unverified. An unreadable file is an error: an operator put it
/// there for a reason.
pub(super) fn read(path: &Path, ledger: &LedgerId, take: &mut Take<'_>) -> Result<(), Rejection> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("redb") => read_model(path, ledger, take)?,
        Some("bundle") => {
            let file = File::open(path).map_err(|error| failed(path, error))?;
            let bundle = bundle::Reader::new(BufReader::new(file));
            let mut bundle = bundle.map_err(|why| failed(path, why))?;
            let workspace = bundle.header().workspace.clone();
            while let Some(commit) = bundle.commit().map_err(|why| failed(path, why))? {
                take(&workspace, Bytes::copy_from_slice(commit))?;
            }
        }
        Some("commits") => {
            for (workspace, commit) in commit_file::read(&whole(path)?) {
                take(&workspace, Bytes::copy_from_slice(commit))?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn whole(path: &Path) -> Result<Vec<u8>, Rejection> {
    let length = std::fs::metadata(path)
        .map_err(|error| failed(path, error))?
        .len();
    if length > FILE_BYTES {
        return Err(failed(path, "it is larger than 512 MiB"));
    }
    std::fs::read(path).map_err(|error| failed(path, error))
}

fn read_model(path: &Path, ledger: &LedgerId, take: &mut Take<'_>) -> Result<(), Rejection> {
    let wrong = |error: ProjectionError| failed(path, error);
    let projection = Projection::open(path, ledger).map_err(wrong)?;
    let view = projection.view().map_err(wrong)?;
    for (_, head) in view.workspaces().map_err(wrong)? {
        let Some(found) = view.workspace(&head.name).map_err(wrong)? else {
            continue;
        };
        let mut at = keyroll_core::Index(0);
        while at.0 < head.size.0 {
            let Some(commit) = found.commit_of(at).map_err(wrong)? else {
                break;
            };
            at = commit.next;
            take(&head.name, commit.bytes)?;
        }
    }
    Ok(())
}

/// Writes a file durably, whole or not at all. No file is written for no bytes.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), Rejection> {
    if bytes.is_empty() {
        return Ok(());
    }
    let write = || {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
            crate::durable::names_beside(directory)?;
        }
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        crate::durable::rename(&fresh, path)
    };
    write().map_err(|error: std::io::Error| failed(path, error))
}
