//! The options of `keyroll import`.

use std::path::PathBuf;

use clap::Args;
use keyroll_files::Format;

use crate::options::DryRun;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file
    pub(super) file: PathBuf,
    /// Its format: dotenv, json or yaml [default: by extension]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) conflicts: ConflictPolicy,
    /// Leave out names whose value is empty; else nothing is imported when there are any
    #[arg(long)]
    pub(super) skip_empty: bool,
    /// Reveal them to runners' blocks only, to nobody else
    #[arg(long)]
    pub(super) restricted: bool,
    #[command(flatten)]
    pub(super) dry: DryRun,
}

/// What becomes of names that are taken. Nothing is imported when there are any and nothing is said.
#[derive(Debug, Args)]
pub(super) struct ConflictPolicy {
    /// Leave out names that are taken; else nothing is imported when there are any
    #[arg(long)]
    pub(super) skip_existing: bool,
    /// Give secrets whose names are taken the file's values, each as a new version
    #[arg(long, conflicts_with = "skip_existing")]
    pub(super) replace: bool,
}
