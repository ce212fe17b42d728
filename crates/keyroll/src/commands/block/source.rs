//! A block file as it was read.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use keyroll_resolver::{BlockFile, HardCodedValue, Redactor, ResolveError, hard_coded_values};

use crate::context::Context;
use crate::error::Failure;

/// The resolver takes 1 MiB; one byte more lets it report a larger file.
const FILE_BYTES: u64 = 1024 * 1024 + 1;

/// A block file and its bytes.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) file: BlockFile,
}

impl Source {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read_limited(path, FILE_BYTES)?;
        let file = BlockFile::parse(&bytes)?;
        let path = path.to_owned();
        Ok(Self { path, bytes, file })
    }

    /// Hard-coded values in the file: those with well-known patterns, and those in `known`.
    pub(super) fn hard_coded(&self, known: Option<&Redactor>) -> Vec<HardCodedValue> {
        // It parsed as JSON, so it is UTF-8.
        hard_coded_values(&String::from_utf8_lossy(&self.bytes), known)
    }

    /// Adds the line and column in the file to an error about a block.
    pub(super) fn placed(&self, error: ResolveError) -> ResolveError {
        error.in_file(&self.bytes)
    }
}

pub(super) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

pub(super) fn warn_unmasked(context: &Context, names: &[String]) {
    for name in names {
        context.out.note(&format!(
            "warning: the value of {name} is shorter than 8 bytes and is not masked"
        ));
    }
}
