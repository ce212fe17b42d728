//! Records which file a run used, so that `block replay` needs only the run's id.
//!
//! `runs/` in the home directory holds the path and the digest of the file, not its content.

use std::fs;
use std::path::{Path, PathBuf};

use keyroll_core::Digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::source::Source;
use crate::context::Context;
use crate::error::Failure;
use crate::private_file;

/// How many runs are recorded.
const MAX_RECORDS: usize = 1000;

/// The files of a run's block and `document`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunRecord {
    pub(super) file: PathBuf,
    /// SHA-256 of the file.
    digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<PathBuf>,
}

impl RunRecord {
    /// Whether the file is unchanged.
    pub(super) fn is(&self, source: &Source) -> bool {
        Digest::of(&source.bytes).to_string() == self.digest
    }
}

/// Records the file of a run. Only the convenience of a later replay depends on it, so a home directory that
/// cannot be written to is no failure.
pub(super) fn store(context: &Context, run: &Uuid, source: &Source, input: Option<&Path>) {
    let Ok(directory) = directory(context) else {
        return;
    };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let record = RunRecord {
        file: absolute(&source.path),
        digest: Digest::of(&source.bytes).to_string(),
        input: input.map(absolute),
    };
    let stored = serde_json::to_vec(&record)
        .map(|bytes| private_file::replace(&directory.join(name(run)), &bytes));
    if matches!(stored, Ok(Ok(()))) {
        forget_the_oldest(&directory);
    }
}

/// The record of a run.
pub(super) fn of_run(context: &Context, run: &str) -> Result<RunRecord, Failure> {
    let unknown = || {
        Failure::usage(format!(
            "this home directory has no record of run {run}. Name the file: `keyroll block replay {run} FILE`"
        ))
    };
    // The name becomes a path.
    let id: Uuid = run.parse().map_err(|_| unknown())?;
    let bytes = fs::read(directory(context)?.join(name(&id))).map_err(|_| unknown())?;
    serde_json::from_slice(&bytes).map_err(|_| unknown())
}

fn directory(context: &Context) -> Result<PathBuf, Failure> {
    Ok(context.settings()?.home.value.join("runs"))
}

fn name(run: &Uuid) -> String {
    format!("{}.json", run.hyphenated())
}

/// Removes the oldest records: their names begin with the time.
fn forget_the_oldest(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(MAX_RECORDS);
    for name in &names[..more] {
        // Another process may have removed it.
        let _ = fs::remove_file(directory.join(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go() {
        let home = tempfile::tempdir().expect("a directory");
        for number in 0..MAX_RECORDS + 3 {
            let path = home.path().join(format!("{number:08}.json"));
            fs::write(path, "").expect("written");
        }
        forget_the_oldest(home.path());
        let there = |number: usize| home.path().join(format!("{number:08}.json")).exists();
        assert_eq!(
            [0, 2, 3, MAX_RECORDS + 2].map(there),
            [false, false, true, true]
        );
    }
}
