//! `keyroll export`: audited reveals into a file that others can read again.

use std::path::{Path, PathBuf};

use clap::Args;
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::{Index, SecretName};
use keyroll_files::{Format, write};
use serde_json::json;

use super::secret::text;
use crate::context::Context;
use crate::error::Failure;
use crate::private_file;
use crate::reveals::{self, Chosen};

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// dotenv, json or yaml [default: by the extension of --out]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write to this file, for its owner alone, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file when there is one
    #[arg(long, requires = "out")]
    force: bool,
    /// Only these secrets
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(context: &Context, args: ExportArgs) -> Result<(), Failure> {
    let by_name = args.out.as_deref().and_then(Format::of);
    let Some(format) = args.format.or(by_name) else {
        return Err(Failure::usage(
            "which format? Say --format dotenv, json or yaml",
        ));
    };
    let only = reveals::names(&args.only)?;
    let reason = text(args.reason)?;
    let replace = args.force || context.global.yes;
    // Before anything is revealed for nothing.
    if let Some(path) = &args.out {
        check_place(path, replace)?;
    }
    let session = context.session().await?;
    let Chosen {
        names, left_out, ..
    } = reveals::choose(&session, only).await?;
    let purpose = Purpose::Export(Nothing {});
    let place = (context, &session);
    let revealed = reveals::paged(place, &names, &purpose, reason.as_ref()).await?;
    let values: Vec<(&SecretName, &[u8])> = revealed
        .values
        .iter()
        .map(|opened| (&opened.name, opened.value.as_slice()))
        .collect();
    let file = write(format, &values).map_err(|error| {
        let recorded = format!("{error}; their reveal is on record");
        Failure::coded(keyroll_core::Code::InvalidValue, recorded)
    })?;
    reveals::note_left_out(context, &left_out);
    let Some(path) = &args.out else {
        return context.out.bytes(&file);
    };
    if replace {
        private_file::replace(path, &file)?;
    } else {
        private_file::create(path, &file)?;
    }
    let json = json!({
        "file": path,
        "format": format.as_str(),
        "exported": values.len(),
        "left_out": left_out,
        "entries": revealed.entries,
        "warnings": revealed.warnings,
    });
    let words = format!(
        "exported {} secrets to {} ({})",
        values.len(),
        path.display(),
        entries(&revealed.entries)
    );
    context.out.done(&json, &words)
}

fn check_place(path: &Path, replace: bool) -> Result<(), Failure> {
    // Also a link that leads nowhere is there.
    let there = path.symlink_metadata().is_ok();
    if path.is_dir() {
        return Err(Failure::usage(format!("{} is a directory", path.display())));
    }
    if there && !replace {
        return Err(Failure::local(format!(
            "{} is there already and is not overwritten: say --force to replace it",
            path.display()
        )));
    }
    private_file::try_out(path)
}

fn entries(entries: &[Index]) -> String {
    match entries {
        [] => "nothing was revealed".to_owned(),
        [one] => format!("entry {one}"),
        [first, .., last] => format!("entries {first} to {last}"),
    }
}
