//! The options of `keyroll import`.

use std::path::PathBuf;

use clap::Args;
use keyroll_files::Format;

use crate::options::DryRun;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File to import
    pub(super) file: PathBuf,
    /// Format of the file: dotenv, json or yaml [default: by extension]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
    #[command(flatten)]
    pub(super) conflicts: ConflictPolicy,
    /// Leave out names with an empty value. By default such a name stops the import
    #[arg(long)]
    pub(super) skip_empty: bool,
    /// Reveal the new secrets only to blocks that a runner runs
    #[arg(long)]
    pub(super) restricted: bool,
    #[command(flatten)]
    pub(super) dry: DryRun,
}

/// The treatment of names that exist already. By default such a name stops the import.
#[derive(Debug, Args)]
pub(super) struct ConflictPolicy {
    /// Leave out names that exist already. By default such a name stops the import
    #[arg(long)]
    pub(super) skip_existing: bool,
    /// Give existing secrets the values of the file, each as a new version. By default an existing name
    /// stops the import
    #[arg(long, conflicts_with = "skip_existing")]
    pub(super) replace: bool,
}
