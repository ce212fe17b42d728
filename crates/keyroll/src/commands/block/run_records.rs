//! Which file a run was of, so that it can be repeated by its name alone.
//!
//! A path and a digest lie in `runs/` of keyroll's home; what a block says does not.

use std::fs;
use std::path::{Path, PathBuf};

use keyroll_core::Digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::source::Source;
use crate::context::Context;
use crate::error::Failure;
use crate::private_file;

/// How many runs are kept.
const MAX_RECORDS: usize = 1000;

/// Where a run's block and `document` lay.
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
    /// Whether the file is still what it was.
    pub(super) fn is(&self, source: &Source) -> bool {
        Digest::of(&source.bytes).to_string() == self.digest
    }
}

/// Keeps where a run's file lies. Nothing depends on it but the comfort of a later replay, so a
/// home that cannot be written to is no failure.
pub(super) fn keep(context: &Context, run: &Uuid, source: &Source, input: Option<&Path>) {
    let Ok(directory) = directory(context) else {
        return;
    };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let remembered = RunRecord {
        file: absolute(&source.path),
        digest: Digest::of(&source.bytes).to_string(),
        input: input.map(absolute),
    };
    let kept = serde_json::to_vec(&remembered)
        .map(|bytes| private_file::replace(&directory.join(name(run)), &bytes));
    if matches!(kept, Ok(Ok(()))) {
        forget_the_oldest(&directory);
    }
}

/// What is kept of a run.
pub(super) fn of_run(context: &Context, run: &str) -> Result<RunRecord, Failure> {
    let unknown = || {
        Failure::usage(format!(
            "which file was run {run} of? It is not kept here: say `keyroll block replay {run} FILE`"
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

/// Names of runs begin with their time.
fn forget_the_oldest(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(MAX_RECORDS);
    for name in &names[..more] {
        // Somebody else may have been quicker.
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
